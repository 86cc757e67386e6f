"""FP32 ONNX -> FP16 ONNX, strongly typed: precision lives in the graph, not in a builder's flags."""

from collections.abc import Iterable, Iterator, Mapping

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
    floats = {name for name, kind in _tensor_types(model.graph).items() if kind == TensorProto.FLOAT}
    entries = (_inputs_of(inside) & floats) - made_inside
    left = made_inside & floats & _inputs_of(outside)
    weights = {weight.name for weight in model.graph.initializer if weight.data_type == TensorProto.FLOAT}
    halved = weights & _inputs_of(inside)
    shared = halved & _inputs_of(outside)
    half = with_weights(model, _weights(model.graph, halved, shared))
    inside, outside = _split(half.graph, chosen)
    _rename_inputs(inside, {name: f"{name}_fp16" for name in entries | shared})
    _rename_inputs(outside, {name: f"{name}_fp32" for name in left})
    _insert_casts(half.graph, entries, left)
    return checked(half)


def _split(graph: onnx.GraphProto, names: set[str]) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """Return the nodes of these names, and the others."""
    inside = [node for node in graph.node if node.name in names]
    return inside, [node for node in graph.node if node.name not in names]


def _tensor_types(graph: onnx.GraphProto) -> dict[str, int]:
    """Return the element type of every tensor that is no weight."""
    values = (*graph.value_info, *graph.input, *graph.output)
    weights = {weight.name for weight in graph.initializer}
    return {value.name: value.type.tensor_type.elem_type for value in values if value.name not in weights}


def _inputs_of(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    return {name for node in nodes for name in node.input}


def _weights(graph: onnx.GraphProto, halved: set[str], shared: set[str]) -> Iterator[onnx.TensorProto]:
    """Give all weights, those of half nodes in FP16; one that FP32 nodes use too is there twice."""
    for weight in graph.initializer:
        yield _halved(weight, weight.name) if weight.name in halved - shared else weight
    for weight in graph.initializer:
        if weight.name in shared:
            yield _halved(weight, f"{weight.name}_fp16")


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
