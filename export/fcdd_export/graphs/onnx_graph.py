"""Torch module -> checked ONNX graph with named axes."""

import ast
import contextlib
import io
import logging
import math
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator

import onnx
import torch

from fcdd_export.networks.served import IMAGE_SIZE, ServedNetwork

OPSET = 18
MAX_IR_VERSION = 10
"""ONNX Runtime releases in use on appliances refuse later ones."""

LARGE = 1024
"""Number of values above which a weight is a kernel, not an argument of an operation."""


def onnx_from_network(network: ServedNetwork) -> onnx.ModelProto:
    """Export the served network.

    Inputs: `mip`, and `reference` where the network compares two images, uint8 [batch, 1, 224, 224]. Outputs: `score`
    float32 [batch, 1], `anomaly_map` float32 [batch, 1, 28, 28]. Node names follow the torch modules, such as
    `trunk.0.conv2d`. The bytes depend on the weights and package versions only.
    """
    # Traced with a batch of 2: a batch of 1 would be taken for a constant. A tensor of its own for each input: one that
    # were given twice would be taken for one input.
    examples = tuple(torch.zeros(2, 1, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.uint8) for _ in network.inputs)
    batch = torch.export.Dim("batch", min=1, max=1024)
    with _quiet():
        program = torch.onnx.export(
            network,
            examples,
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=list(network.inputs),
            output_names=["score", "anomaly_map"],
            dynamic_shapes=({0: batch},) * len(network.inputs),
        )
    assert program is not None
    return checked(_named_by_module(program.model_proto))


def in_trunk(node: onnx.NodeProto) -> bool:
    """Whether a node lies in one of `ServedNetwork.trunks`; the other nodes stay FP32 in every precision."""
    return node.name.partition(".")[0].endswith("trunk")


def checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Check the model, write the types of all its tensors into it, and return it.

    Large weights stay out of the checker and of shape inference, which copy all that they are given: half a gigabyte
    several times over for the largest network.

    Raises
    ------
    onnx.checker.ValidationError
        If the graph is not valid ONNX, beyond `MAX_IR_VERSION`, or keeps weights outside the file.
    """
    light = onnx.shape_inference.infer_shapes(_without_large_weights(model), check_type=True, strict_mode=True)
    onnx.checker.check_model(light, full_check=True)
    external = [weight.name for weight in model.graph.initializer if weight.external_data]
    if model.ir_version > MAX_IR_VERSION or external:
        raise onnx.checker.ValidationError(f"IR version {model.ir_version}, weights outside the file: {external}")
    model.graph.ClearField("value_info")
    model.graph.value_info.extend(light.graph.value_info)
    return model


def with_weights(model: onnx.ModelProto, weights: Iterable[onnx.TensorProto]) -> onnx.ModelProto:
    """Return a copy of a graph with other weights, and without the types of its tensors, which `checked` writes.

    A weight that is replaced inside a copied graph stays in memory as long as the graph does.
    """
    light = onnx.helper.make_graph(model.graph.node, model.graph.name, model.graph.input, model.graph.output, [])
    copy: onnx.ModelProto = onnx.helper.make_model(
        light,
        ir_version=model.ir_version,
        opset_imports=model.opset_import,
        functions=model.functions,
        producer_name=model.producer_name,
    )
    copy.graph.initializer.extend(weights)
    return copy


def _without_large_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with its large weights as inputs, which have types and shapes only."""
    graph = model.graph
    large = [weight for weight in graph.initializer if math.prod(weight.dims) > LARGE]
    names = {weight.name for weight in large}
    inputs = [onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims) for weight in large]
    light = onnx.helper.make_graph(
        graph.node,
        graph.name,
        [*graph.input, *inputs],
        graph.output,
        [weight for weight in graph.initializer if weight.name not in names],
        value_info=[value for value in graph.value_info if value.name not in names],
    )
    return onnx.helper.make_model(
        light, ir_version=model.ir_version, opset_imports=model.opset_import, functions=model.functions
    )


def _named_by_module(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name nodes after torch modules and drop the exporter's traces, which hold paths of the exporting machine."""
    model.producer_name = "fcdd-edge"
    model.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    model.graph.name = "fcdd"
    taken: Counter[str] = Counter()
    for node in model.graph.node:
        scopes = {entry.key: entry.value for entry in node.metadata_props}.get("pkg.torch.onnx.name_scopes")
        module, operation = (ast.literal_eval(scopes) if scopes else ["", node.name])[-2:]
        name = f"{module}.{operation}".removeprefix(".")
        # One operation of torch can become several nodes.
        node.name = f"{name}.{taken[name]}" if taken[name] else name
        taken[name] += 1
    for named in (*model.graph.node, *model.graph.initializer, *model.graph.value_info, *model.graph.input):
        named.ClearField("metadata_props")
        named.ClearField("doc_string")
    for output in model.graph.output:
        output.ClearField("metadata_props")
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the exporter's progress and its remarks on packages that are not needed here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def onnx_bytes(model: onnx.ModelProto) -> bytes:
    """Serialise a graph so that the same graph always gives the same bytes."""
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised
