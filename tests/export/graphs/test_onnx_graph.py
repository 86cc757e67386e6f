"""The exported graph: its interface, its limits, and that it computes what the published formula says."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto

from fcdd_export.gate.drawn import drawn_images, extreme_images
from fcdd_export.gate.drift import Outputs
from fcdd_export.gate.outputs import onnxruntime_outputs, torch_outputs
from fcdd_export.graphs.fp16 import fp16_from_onnx
from fcdd_export.graphs.onnx_graph import MAX_IR_VERSION, onnx_from_network
from fcdd_export.networks.fcdd import FcddSmallNetwork, ServedFcdd
from fcdd_export.networks.served import pseudo_huber
from fcdd_export.networks.snapshot import load_snapshot
from rounding import assert_equal_but_for_rounding
from support import WriteSnapshot

GREY = ([0.2] * 3, [0.1] * 3)
COLOURED = ([0.1, 0.2, 0.3], [0.2, 0.1, 0.3])


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, write_snapshot: WriteSnapshot) -> ServedFcdd:
    snapshot = load_snapshot(write_snapshot(tmp_path_factory.mktemp("snapshot")))
    return ServedFcdd(snapshot.network, *GREY)


@pytest.fixture(scope="module")
def graph(network: ServedFcdd) -> onnx.ModelProto:
    return onnx_from_network(network)


def published_outputs(
    network: torch.nn.Module, images: npt.NDArray[np.uint8], mean: list[float], std: list[float]
) -> Outputs:
    """Score by the published formulas in float64: three channels, batch norm apart, plain pseudo-Huber norm."""
    pixels = torch.from_numpy(images).double().repeat(1, 3, 1, 1) / 255
    normalised = (pixels - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    with torch.inference_mode():
        maps = (network.double().eval()(normalised) ** 2 + 1).sqrt() - 1
    network.float()
    return Outputs(maps.mean((1, 2, 3)).float().numpy(), maps[:, 0].float().numpy())


@pytest.mark.parametrize("statistics", [GREY, COLOURED], ids=["grey", "coloured"])
@pytest.mark.parametrize("net", ["FCDD_CNN224", "FCDD_CNN224_W", "FCDD_CNN224_VGG_F"])
def test_the_graph_computes_the_published_score_and_map(
    net: str, statistics: tuple[list[float], list[float]], tmp_path: Path, write_snapshot: WriteSnapshot
) -> None:
    snapshot = load_snapshot(write_snapshot(tmp_path, net=net))
    images = np.concatenate([drawn_images(2), extreme_images()])
    expected = published_outputs(snapshot.network, images, *statistics)
    served = ServedFcdd(snapshot.network, *statistics)
    outputs = onnxruntime_outputs(onnx_from_network(served), {"mip": images})
    assert_equal_but_for_rounding(outputs, expected, served, {"mip": images})


def test_the_interface_is_one_grey_uint8_channel_in_and_score_and_map_out(graph: onnx.ModelProto) -> None:
    def described(value: onnx.ValueInfoProto) -> tuple[str, int, list[str | int]]:
        tensor = value.type.tensor_type
        return value.name, tensor.elem_type, [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]

    assert [described(value) for value in graph.graph.input] == [("mip", TensorProto.UINT8, ["batch", 1, 224, 224])]
    assert [described(value) for value in graph.graph.output] == [
        ("score", TensorProto.FLOAT, ["batch", 1]),
        ("anomaly_map", TensorProto.FLOAT, ["batch", 1, 28, 28]),
    ]


def test_the_graph_stays_within_what_appliances_read(graph: onnx.ModelProto) -> None:
    for model in (graph, fp16_from_onnx(graph)):
        onnx.checker.check_model(model, full_check=True)
        assert model.ir_version <= MAX_IR_VERSION
        assert max(entry.version for entry in model.opset_import) <= 20
        assert not [weight for weight in model.graph.initializer if weight.external_data]
        assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_the_graph_names_modules_and_nothing_of_the_exporting_machine(graph: onnx.ModelProto) -> None:
    assert "trunk.0.conv2d" in {node.name for node in graph.graph.node}
    assert b"/python" not in graph.SerializeToString()
    assert b".py" not in graph.SerializeToString()


@pytest.mark.parametrize("batch", [1, 2, 5, 33])
def test_any_batch_size_gives_every_image_its_own_score_and_map(
    batch: int, network: ServedFcdd, graph: onnx.ModelProto
) -> None:
    images = drawn_images(batch)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    scores, maps = session.run(None, {"mip": images})
    alone = [session.run(None, {"mip": image[np.newaxis]}) for image in images]
    scores_alone, maps_alone = (np.concatenate(answers) for answers in zip(*alone, strict=True))
    together = Outputs(scores[:, 0], maps[:, 0])
    assert_equal_but_for_rounding(together, Outputs(scores_alone[:, 0], maps_alone[:, 0]), network, {"mip": images})


def test_the_head_keeps_the_digits_of_small_outputs() -> None:
    output = torch.tensor([1e-6, 1e-4, 0.01, 1.0, 300.0, 1e6])
    exact = (output.double() ** 2 + 1).sqrt() - 1
    exact[0] = 5e-13  # float64 itself cancels there; the series begins with o^2 / 2
    torch.testing.assert_close(pseudo_huber(output).double(), exact, rtol=1e-6, atol=0)


def test_fp16_halves_the_trunk_and_leaves_the_head_in_fp32(graph: onnx.ModelProto) -> None:
    half = fp16_from_onnx(graph)
    types = {value.name: value.type.tensor_type.elem_type for value in (*half.graph.value_info, *half.graph.output)}
    types |= {weight.name: weight.data_type for weight in half.graph.initializer}
    after_trunk = False
    for node in half.graph.node:
        kinds = {types[name] for name in (*node.input, *node.output) if name in types}
        if node.name.startswith("trunk.") and node.op_type != "Cast":
            assert kinds == {TensorProto.FLOAT16}, node.name
        if after_trunk:
            assert TensorProto.FLOAT16 not in kinds, node.name
        after_trunk = after_trunk or node.name.endswith(".to_fp32")
    assert after_trunk
    assert [node.op_type for node in half.graph.node].count("Cast") == 3  # from uint8, into the trunk, out of it


def faint_network() -> ServedFcdd:
    """Answers |o| around 0.01, as a detector does on normal tissue."""
    torch.manual_seed(1)
    network = FcddSmallNetwork().eval()
    with torch.no_grad():
        last = network.get_submodule("conv_final")
        assert isinstance(last, torch.nn.Conv2d) and last.bias is not None
        last.weight.mul_(0.01 / network(torch.zeros(1, 3, 224, 224)).abs().mean())
        last.bias.fill_(0.005)
    return ServedFcdd(network, *GREY)


def test_maps_of_outputs_near_a_hundredth_survive_fp16() -> None:
    network, images = faint_network(), drawn_images(2)
    expected = torch_outputs(network, {"mip": images})
    assert np.median(expected.maps) < 1e-3  # sqrt(o^2 + 1) - 1 in half precision is 0 below 4.9e-4
    outputs = onnxruntime_outputs(fp16_from_onnx(onnx_from_network(network)), {"mip": images})
    np.testing.assert_allclose(outputs.scores, expected.scores, rtol=1e-2)
    assert (outputs.maps > 0).mean() > 0.99
    np.testing.assert_allclose(outputs.maps, expected.maps, atol=0.02 * float(expected.maps.max()))
