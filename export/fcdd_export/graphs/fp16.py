"""FP32 ONNX -> FP16 ONNX, strongly typed: precision lives in the graph, not in a builder's flags."""

from collections.abc import Iterable, Mapping
from itertools import chain

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fcdd_export.graphs.onnx_graph import checked, in_trunk, with_weights


def fp16_from_onnx(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with its trunks in FP16, and normalisation, last layers, head and mean in FP32.

    In FP16 the head would answer 0 for |o| <= 0.03 and infinity for |o| >= 256, so it never sees a half-precision
    tensor.

    Parameters
    ----------
    model : a graph of `onnx_from_network`, left as it is
    """
    return with_half_nodes(model, {node.name for node in model.graph.node if in_trunk(node)})


def with_half_nodes(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Return the graph with some of its nodes in FP16.

    Every FP32 tensor that enters the half nodes is cast once, and so is every tensor that leaves them; between half
    nodes nothing is cast. Weights of half nodes are stored in FP16; whole numbers, such as shapes, stay as they are.

    Parameters
    ----------
    model : FP32, with the types of its tensors as `checked` leaves them; left as it is
    names : names of the nodes; the outputs of the graph come from others
    """
    chosen = set(names)
    inside, outside = _split(model.graph, chosen)
    made_inside = {name for node in inside for name in node.output}
    weights = {weight.name: weight for weight in model.graph.initializer}
    tensors = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    floats = {tensor.name for tensor in tensors if tensor.type.tensor_type.elem_type == TensorProto.FLOAT} - {*weights}
    entries = (_inputs_of(inside) & floats) - made_inside
    left = made_inside & floats & _inputs_of(outside)
    halved = {name for name in _inputs_of(inside) if name in weights and weights[name].data_type == TensorProto.FLOAT}
    shared = halved & _inputs_of(outside)
    # A weight that FP32 nodes use too is there twice.
    kept = (_halved(weight, name) if name in halved - shared else weight for name, weight in weights.items())
    twice = (_halved(weight, f"{name}_fp16") for name, weight in weights.items() if name in shared)
    half = with_weights(model, chain(kept, twice))
    inside, outside = _split(half.graph, chosen)
    _rename_inputs(inside, {name: f"{name}_fp16" for name in entries | shared})
    _rename_inputs(outside, {name: f"{name}_fp32" for name in left})
    _insert_casts(half.graph, entries, left)
    return checked(half)


def _split(graph: onnx.GraphProto, names: set[str]) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """Return the nodes of these names, and the others."""
    inside = [node for node in graph.node if node.name in names]
    return inside, [node for node in graph.node if node.name not in names]


def _inputs_of(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    return {name for node in nodes for name in node.input}


def _halved(weight: onnx.TensorProto, name: str) -> onnx.TensorProto:
    # An overflow becomes an infinity here, and verification then refuses the model.
    with np.errstate(over="ignore"):
        return numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), name)


def _rename_inputs(nodes: Iterable[onnx.NodeProto], new_names: Mapping[str, str]) -> None:
    for node in nodes:
        for index, name in enumerate(node.input):
            node.input[index] = new_names.get(name, name)


def _insert_casts(graph: onnx.GraphProto, entries: set[str], left: set[str]) -> None:
    """Put every cast right behind the node that gives its tensor; graph inputs are cast in front."""
    nodes = [_cast(value.name, "fp16") for value in graph.input if value.name in entries]
    for node in graph.node:
        nodes.append(node)
        nodes += [_cast(name, "fp16") for name in node.output if name in entries]
        nodes += [_cast(name, "fp32") for name in node.output if name in left]
    graph.ClearField("node")
    graph.node.extend(nodes)


def _cast(tensor: str, kind: str) -> onnx.NodeProto:
    to = {"fp16": TensorProto.FLOAT16, "fp32": TensorProto.FLOAT}[kind]
    return helper.make_node("Cast", [tensor], [f"{tensor}_{kind}"], name=f"{tensor}.to_{kind}", to=to)
