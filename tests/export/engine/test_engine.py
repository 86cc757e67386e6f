"""Engines: what TensorRT-RTX parses and builds on a CPU, what is refused, and what an engine says of itself."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from fcdd_export.engine.build import engine_from_onnx, layers_from_onnx
from fcdd_export.engine.errors import build_error
from fcdd_export.engine.layers import Layer, check_layers, quantized_convolutions
from fcdd_export.engine.settings import EngineSettings
from fcdd_export.gate.drawn import drawn_images
from fcdd_export.graphs.fp16 import fp16_from_onnx
from fcdd_export.graphs.onnx_graph import onnx_bytes, onnx_from_network
from fcdd_export.int8.quantize import int8_from_network
from fcdd_export.networks import fcdd_ref
from fcdd_export.networks.registry import published_network
from fcdd_export.networks.served import ServedNetwork
from fcdd_runtime.backends.tensorrt.identity import EngineIdentity
from fcdd_runtime.backends.tensorrt.library import Message
from fcdd_runtime.contract import Precision
from fcdd_runtime.errors import EngineBuildError, GateError, MissingExtraError

NETWORKS = {
    "FCDD_CNN224": "fcdd",
    "FCDD_CNN224_VGG_NOPT": "fcdd",
    "CNN224_CROP": "hsc",
    "VGG_BCE_CROP": "bce",
    "FCDD_REF_CNN224_VGG_NOPT": "fcddrefs_symmetric",
}
"""Network -> the objective that it is exported for."""
SETTINGS = EngineSettings("tensorrt-rtx", max_batch_size=8)


@pytest.fixture(scope="module", autouse=True)
def narrow_classifier() -> Iterator[None]:
    """VGG's hidden layers hold 120 of FCDD_REF's 134 million weights: a few values build the same layers."""
    patch = pytest.MonkeyPatch()
    patch.setattr(fcdd_ref, "HIDDEN", 16)
    yield
    patch.undo()


@pytest.fixture(scope="module", params=NETWORKS)
def graph(request: pytest.FixtureRequest) -> onnx.ModelProto:
    return seeded_graph(request.param)


@pytest.fixture(scope="module")
def small_graph() -> onnx.ModelProto:
    return seeded_graph("FCDD_CNN224")


def seeded_graph(net: str) -> onnx.ModelProto:
    return onnx_from_network(seeded_network(net))


def seeded_network(net: str) -> ServedNetwork:
    torch.manual_seed(0)
    return published_network(net).eval().served(NETWORKS[net], [0.2] * 3, [0.1] * 3)


def in_precision(graph: onnx.ModelProto, precision: Precision) -> bytes:
    return onnx_bytes({"fp32": lambda: graph, "fp16": lambda: fp16_from_onnx(graph)}[precision]())


def quantized_graph(
    zero_point: type[np.generic] = np.int8, weight_quantized: bool = True, int32_bias: bool = False
) -> bytes:
    """A trunk of one convolution behind Q/DQ, and a plain head: the least that an INT8 graph of ours has."""
    weights = np.random.default_rng(0).integers(-127, 128, (4, 1, 3, 3)).astype(np.int8)
    constants = {
        "full": np.float32(255),
        "scale": np.float32(1 / 127),
        "zero": zero_point(0),
        "kernel_codes": weights,
        "kernel_scale": np.full(4, 0.01, np.float32),
        "kernel_zero": np.zeros(4, np.int8),
        "bias_codes": np.arange(4, dtype=np.int32),
        "bias_zero": np.zeros(4, np.int32),
        "plain_kernel": weights.astype(np.float32) * np.float32(0.01),
        "bias": np.arange(4, dtype=np.float32),
        "last_kernel": np.ones((1, 4, 1, 1), np.float32),
        "cells": np.array([2, 3]),
    }
    nodes = [
        helper.make_node("Cast", ["mip"], ["pixels"], name="normalise.cast", to=TensorProto.FLOAT),
        helper.make_node("Div", ["pixels", "full"], ["image"], name="normalise.div"),
        helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["codes"], name="trunk.0.quantize"),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["back"], name="trunk.0.dequantize"),
    ]
    if weight_quantized:
        inputs = ["kernel_codes", "kernel_scale", "kernel_zero"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, ["kernel"], name="trunk.0.kernel", axis=0))
    if int32_bias:
        inputs = ["bias_codes", "kernel_scale", "bias_zero"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, ["long_bias"], name="trunk.0.bias", axis=0))
    kernel, bias = "kernel" if weight_quantized else "plain_kernel", "long_bias" if int32_bias else "bias"
    nodes += [
        helper.make_node("Conv", ["back", kernel, bias], ["t"], name="trunk.0.conv2d", pads=[1] * 4, strides=[8, 8]),
        helper.make_node("Relu", ["t"], ["features"], name="trunk.1.relu"),
        helper.make_node("Conv", ["features", "last_kernel"], ["o"], name="last.conv2d"),
        helper.make_node("Abs", ["o"], ["anomaly_map"], name="abs"),
        helper.make_node("ReduceMean", ["anomaly_map", "cells"], ["score"], name="mean", keepdims=0),
    ]
    used = {name for node in nodes for name in node.input}
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "quantized",
            [helper.make_tensor_value_info("mip", TensorProto.UINT8, ["batch", 1, 224, 224])],
            [
                helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 1]),
                helper.make_tensor_value_info("anomaly_map", TensorProto.FLOAT, ["batch", 1, 28, 28]),
            ],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if name in used],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    return onnx_bytes(model)


def with_operator(graph: onnx.ModelProto, node_name: str, operator: str) -> bytes:
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    [node] = [node for node in changed.graph.node if node.name == node_name]
    node.op_type = operator
    node.ClearField("attribute")
    return onnx_bytes(changed)


def convolutions(layers: list[Layer]) -> list[Layer]:
    return [layer for layer in layers if layer.kind == "CONVOLUTION"]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_network_builds_without_a_gpu(graph: onnx.ModelProto, precision: Precision) -> None:
    artefact = in_precision(graph, precision)
    engine = engine_from_onnx(artefact, precision, SETTINGS)
    assert len(engine.plan) > len(artefact) // 2
    assert engine.identity.engine_sha256 == hashlib.sha256(engine.plan).hexdigest()
    assert engine.identity.onnx_sha256 == hashlib.sha256(artefact).hexdigest()
    assert "Engine generation completed" in engine.log


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_trunk_has_its_precision_and_the_head_is_float_up_to_both_outputs(
    graph: onnx.ModelProto, precision: Precision
) -> None:
    layers = layers_from_onnx(in_precision(graph, precision), "tensorrt-rtx")
    check_layers(layers, precision)
    trunk = {kind for layer in convolutions(layers) if layer.in_trunk for kind in layer.output_types}
    assert trunk == {"FLOAT" if precision == "fp32" else "HALF"}
    types = {name: kind for layer in layers for name, kind in zip(layer.outputs, layer.output_types, strict=True)}
    assert (types["score"], types["anomaly_map"]) == ("FLOAT", "FLOAT")
    assert {layer.kind for layer in layers if "HALF" in layer.input_types and "FLOAT" in layer.output_types} <= {"CAST"}


@pytest.mark.parametrize("net", NETWORKS)
def test_every_network_builds_in_int8_with_its_head_float(net: str) -> None:
    artefact = onnx_bytes(int8_from_network(seeded_network(net), drawn_images(16), "fast", "s8"))
    layers = layers_from_onnx(artefact, "tensorrt-rtx")
    check_layers(layers, "int8")
    trunk = [layer.name for layer in convolutions(layers) if layer.in_trunk]
    assert len(quantized_convolutions(layers)) == len(trunk) - sum(".0." in name for name in trunk)
    types = {name: kind for layer in layers for name, kind in zip(layer.outputs, layer.output_types, strict=True)}
    assert (types["score"], types["anomaly_map"]) == ("FLOAT", "FLOAT")
    assert len(engine_from_onnx(artefact, "int8", SETTINGS).plan) > len(artefact) // 4


def test_a_quantised_convolution_is_found_between_its_dequantize_layers() -> None:
    artefact = quantized_graph()
    layers = layers_from_onnx(artefact, "tensorrt-rtx")
    check_layers(layers, "int8")
    assert quantized_convolutions(layers) == ["trunk.0.conv2d"]
    assert len(engine_from_onnx(artefact, "int8", SETTINGS).plan) > 1000


@pytest.mark.parametrize(
    ("made", "claimed", "layer"),
    [
        ("fp32", "fp16", "trunk.0.conv2d"),
        ("fp16", "fp32", "to_fp16"),
        ("fp16", "int8", "no convolution of the trunk"),
    ],
)
def test_a_graph_of_another_precision_than_claimed_is_not_built(
    small_graph: onnx.ModelProto, made: Precision, claimed: Precision, layer: str
) -> None:
    with pytest.raises(GateError, match=layer):
        engine_from_onnx(in_precision(small_graph, made), claimed, SETTINGS)


def test_a_head_in_half_precision_is_refused(small_graph: onnx.ModelProto) -> None:
    layers = layers_from_onnx(in_precision(small_graph, "fp16"), "tensorrt-rtx")
    [index] = [index for index, layer in enumerate(layers) if layer.kind == "UNARY"]
    squeezed = [*layers[:index], replace(layers[index], output_types=("HALF",)), *layers[index + 1 :]]
    with pytest.raises(GateError, match=layers[index].name):
        check_layers(squeezed, "fp16")


def test_a_convolution_whose_weights_lost_their_quantisation_is_refused() -> None:
    with pytest.raises(GateError, match=r"trunk\.0\.conv2d.*only one of image and weights"):
        engine_from_onnx(quantized_graph(weight_quantized=False), "int8", SETTINGS)


@pytest.mark.parametrize(
    ("refused", "named"),
    [
        (quantized_graph(int32_bias=True), r"refuses the node trunk\.0\.bias \(DequantizeLinear\).*Int32"),
        # TensorRT-RTX takes these codes for signed ones and only warns: every value above 127 would be clipped.
        (quantized_graph(zero_point=np.uint8), r"would change the node trunk\.0\.quantize \(QuantizeLinear\)"),
        (b"no graph", "cannot read the graph"),
    ],
    ids=["int32 bias", "uint8 activations", "no graph"],
)
def test_what_the_parser_refuses_is_one_sentence_with_the_nodes_name(refused: bytes, named: str) -> None:
    with pytest.raises(EngineBuildError, match=named) as raised:
        engine_from_onnx(refused, "int8", SETTINGS)
    assert "\n" not in str(raised.value)


def test_a_failed_build_advises_what_an_export_of_the_snapshot_takes() -> None:
    library = pytest.importorskip("tensorrt_rtx")
    memory = build_error("tensorrt-rtx", library, [Message("ERROR", "Error Code 2: OutOfMemory (no memory for 9 GB)")])
    other = build_error("tensorrt-rtx", library, [])
    assert str(memory).endswith("or export the snapshot again with a smaller --max-batch-size")
    assert str(other).endswith("export the snapshot with --target python instead")


def test_an_operator_that_the_parser_does_not_know_is_named(small_graph: onnx.ModelProto) -> None:
    [node] = [node for node in small_graph.graph.node if node.op_type == "Sqrt"]
    with pytest.raises(EngineBuildError, match=rf"refuses the node {node.name} \(Det\)"):
        engine_from_onnx(with_operator(small_graph, node.name, "Det"), "fp32", SETTINGS)


def test_the_identity_says_what_the_engine_was_built_for_and_that_it_is_not_proven(
    small_graph: onnx.ModelProto,
) -> None:
    identity = engine_from_onnx(in_precision(small_graph, "fp16"), "fp16", SETTINGS).identity
    assert (identity.profile.smallest, identity.profile.best, identity.profile.largest) == (1, 2, 8)
    assert (identity.flavour, identity.proven) == ("tensorrt-rtx", False)
    assert identity.timing_cache_sha256 is None
    assert EngineIdentity.from_json(identity.to_json()) == identity
    if identity.gpu is None:
        assert identity.hardware_compatible
        assert {"8.0", "8.9", "12.0"} <= {*identity.compute_capabilities}


def test_the_plan_lies_alone_in_its_file_with_the_identity_and_the_log_beside_it(small_graph: onnx.ModelProto) -> None:
    engine = engine_from_onnx(in_precision(small_graph, "fp32"), "fp32", SETTINGS)
    assert {*engine.files()} == {"model.plan", "engine.json", "engine_build.log"}
    assert engine.files()["model.plan"] == engine.plan


def test_a_version_compatible_engine_of_tensorrt_rtx_is_refused(small_graph: onnx.ModelProto) -> None:
    with pytest.raises(EngineBuildError, match="TensorRT-RTX builds no engines for other releases"):
        engine_from_onnx(in_precision(small_graph, "fp32"), "fp32", replace(SETTINGS, version_compatible=True))


def test_a_flavour_that_is_not_installed_names_its_extra(small_graph: onnx.ModelProto) -> None:
    pytest.importorskip("tensorrt_rtx")
    try:
        import tensorrt  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        with pytest.raises(MissingExtraError, match=r"TensorRT is not installed: pip install 'fcdd-edge\[tensorrt\]'"):
            engine_from_onnx(in_precision(small_graph, "fp32"), "fp32", replace(SETTINGS, flavour="tensorrt"))
    else:
        pytest.skip("TensorRT is installed here")


def test_the_build_tells_its_progress(small_graph: onnx.ModelProto) -> None:
    told: list[tuple[str, int, int]] = []
    engine_from_onnx(in_precision(small_graph, "fp32"), "fp32", SETTINGS, lambda *step: told.append(step))
    assert "Building engine" in {phase for phase, _, _ in told}
    assert all(1 <= done <= steps for _, done, steps in told)


def test_an_interrupt_ends_the_build_and_the_next_one_goes_well(small_graph: onnx.ModelProto) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    artefact = in_precision(small_graph, "fp32")
    with pytest.raises(KeyboardInterrupt):
        engine_from_onnx(artefact, "fp32", SETTINGS, interrupt)
    assert engine_from_onnx(artefact, "fp32", SETTINGS).plan


def test_building_an_engine_imports_neither_torch_nor_onnx() -> None:
    lines = (
        "import sys, fcdd_export.engine.build",
        "fcdd_export.engine.build.load_library('tensorrt-rtx')",
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'onnxscript'} & {*sys.modules}))",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
