"""Torch module -> checked ONNX graph with named axes."""

import ast
import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx
import torch

from fcdd_export.network import IMAGE_SIZE, ServedNetwork

OPSET = 18
MAX_IR_VERSION = 10
"""ONNX Runtime releases in use on appliances refuse later ones."""

TRUNK_PREFIX = "trunk."
"""Names of the nodes before the last convolution begin with this; the other nodes stay FP32 in every precision."""


def onnx_from_network(network: ServedNetwork) -> onnx.ModelProto:
    """Export the served network.

    Inputs: `mip` uint8 [batch, 1, 224, 224]. Outputs: `score` float32 [batch, 1], `anomaly_map` float32
    [batch, 1, 28, 28]. Node names follow the torch modules, such as `trunk.0.conv2d`. The bytes depend on the
    weights and package versions only.
    """
    # Traced with a batch of 2: a batch of 1 would be taken for a constant.
    example = torch.zeros(2, 1, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=1024)
    with _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=["mip"],
            output_names=["score", "anomaly_map"],
            dynamic_shapes=({0: batch},),
        )
    assert program is not None
    return checked(_named_by_module(program.model_proto))


def checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model after the checker, shape inference and our own limits.

    Raises
    ------
    onnx.checker.ValidationError
        If the graph is not valid ONNX, beyond `MAX_IR_VERSION`, or keeps weights outside the file.
    """
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    external = [weight.name for weight in model.graph.initializer if weight.external_data]
    if model.ir_version > MAX_IR_VERSION or external:
        raise onnx.checker.ValidationError(f"IR version {model.ir_version}, weights outside the file: {external}")
    return model


def _named_by_module(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name nodes after torch modules and drop the exporter's traces, which hold paths of the exporting machine."""
    model.producer_name = "fcdd-edge"
    model.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    model.graph.name = "fcdd"
    for node in model.graph.node:
        scopes = {entry.key: entry.value for entry in node.metadata_props}.get("pkg.torch.onnx.name_scopes")
        module, operation = (ast.literal_eval(scopes) if scopes else ["", node.name])[-2:]
        node.name = f"{module}.{operation}".removeprefix(".")
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
