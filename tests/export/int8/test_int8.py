"""INT8: what it does to answers, what stays out of it, and which calibration images it takes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from fcdd_export.gate.drawn import drawn_images
from fcdd_export.gate.outputs import onnxruntime_outputs, torch_outputs
from fcdd_export.gate.roc import auc_change, rank_correlation, roc_auc
from fcdd_export.graphs.onnx_graph import onnx_bytes, onnx_from_network
from fcdd_export.int8.equalised_trunk import EqualisedTrunk, equalised_trunk
from fcdd_export.int8.qdq_graph import int8_share
from fcdd_export.int8.quantize import ADVISED_IMAGES, calibrated_and_judged, calibration_advice, int8_from_network
from fcdd_export.int8.quantized_trunk import exact_answers, quantized_trunk
from fcdd_export.int8.ranges import Activations, channel_ranges, scale_of
from fcdd_export.int8.rounding import rounded_weight
from fcdd_export.int8.search import SMALLEST_SHARE, DriftFromFp32, search_graph
from fcdd_export.int8.spots import with_drawn_spots
from fcdd_export.networks.normals import images_in
from fcdd_export.networks.registry import published_network, upsampling_of
from fcdd_export.networks.served import ServedNetwork
from fcdd_export.networks.snapshot import load_snapshot
from fcdd_runtime.errors import ImageError
from fcdd_runtime.images.heatmap import upsample
from fcdd_runtime.images.mip_files import read_image
from fcdd_runtime.images.network_input import stack_images

PHANTOM = Path(__file__).parents[3] / "examples" / "phantom"
Images = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def phantom_network() -> ServedNetwork:
    """FCDD_CNN224, trained on drawn studies; its leaky ReLUs let activations below 0 through."""
    snapshot = load_snapshot(PHANTOM / "snapshot")
    assert snapshot.normalization is not None
    return snapshot.network.served("fcdd", snapshot.normalization.mean, snapshot.normalization.std)


@pytest.fixture(scope="module")
def phantom_images() -> Images:
    return stack_images(images_in(PHANTOM / "mips"), load_snapshot(PHANTOM / "snapshot").resize)


@pytest.fixture(scope="module")
def u8_model(phantom_network: ServedNetwork, phantom_images: Images) -> onnx.ModelProto:
    return int8_from_network(phantom_network, phantom_images[:16], "fast", "u8")


@pytest.fixture(scope="module")
def s8_model(phantom_network: ServedNetwork, phantom_images: Images) -> onnx.ModelProto:
    return int8_from_network(phantom_network, phantom_images[:16], "fast", "s8")


def test_fewer_than_sixteen_images_are_refused(phantom_network: ServedNetwork) -> None:
    with pytest.raises(ImageError, match="give at least 16"):
        int8_from_network(phantom_network, drawn_images(15), "fast", "u8")


def test_few_images_are_remarked_on() -> None:
    assert "299 images" in (calibration_advice(ADVISED_IMAGES - 1) or "")
    assert calibration_advice(ADVISED_IMAGES) is None


def test_the_same_images_give_the_same_bytes(
    phantom_network: ServedNetwork, phantom_images: Images, u8_model: onnx.ModelProto
) -> None:
    again = int8_from_network(phantom_network, phantom_images[:16], "fast", "u8")
    assert onnx_bytes(again) == onnx_bytes(u8_model)


@pytest.mark.parametrize(("activations", "map_error"), [("u8", 0.3), ("s8", 0.45)])
def test_a_trained_network_keeps_its_order_and_what_its_maps_show(
    activations: str,
    map_error: float,
    phantom_network: ServedNetwork,
    phantom_images: Images,
    request: pytest.FixtureRequest,
) -> None:
    """Half of the images were not calibrated on. The gate, at 0.05, refuses both forms of this small network."""
    model: onnx.ModelProto = request.getfixturevalue(f"{activations}_model")
    ours = onnxruntime_outputs(model, {"mip": phantom_images})
    truth = torch_outputs(phantom_network, {"mip": phantom_images})
    assert (rank_correlation(ours.scores, truth.scores) or 0) >= 0.99
    assert np.abs(ours.maps - truth.maps).max() <= map_error * truth.maps.max()


def test_on_cpus_the_codes_of_the_image_are_its_pixels(u8_model: onnx.ModelProto, phantom_images: Images) -> None:
    codes = output_of(u8_model, "trunk.0.input.codes", TensorProto.UINT8, phantom_images[:2])
    np.testing.assert_array_equal(codes, phantom_images[:2])


def test_for_tensorrt_activations_are_symmetric_and_biases_float(s8_model: onnx.ModelProto) -> None:
    weights = {weight.name: numpy_helper.to_array(weight) for weight in s8_model.graph.initializer}
    pairs = [node for node in s8_model.graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    assert {weights[node.input[2]].dtype for node in pairs} == {np.dtype(np.int8)}
    assert not any(weights[node.input[2]].any() for node in pairs)
    assert not any(weight.dtype == np.int32 for weight in weights.values())


def test_for_tensorrt_what_is_not_in_int8_is_half_and_the_last_layer_float(s8_model: onnx.ModelProto) -> None:
    types = {weight.name: weight.data_type for weight in s8_model.graph.initializer}
    first, *_, last = [node for node in s8_model.graph.node if node.op_type == "Conv"]
    assert (first.name, last.name) == ("trunk.0.conv2d", "last.conv2d_5")
    assert types[first.input[1]] == TensorProto.FLOAT16
    assert types[last.input[1]] == TensorProto.FLOAT


def test_weights_for_cpus_have_seven_bits(u8_model: onnx.ModelProto) -> None:
    codes = [numpy_helper.to_array(weight) for weight in u8_model.graph.initializer if weight.name.endswith(".codes")]
    assert len(codes) == 5
    assert {int(np.abs(weight.astype(int)).max()) for weight in codes} == {63}


@pytest.mark.parametrize("net", ["VGG_BCE_CROP", "CNN224_CROP"])
def test_classifying_networks_are_quantised_up_to_their_heads(net: str) -> None:
    network = seeded_network(net, "bce")
    model = int8_from_network(network, drawn_images(16, seed=1), "fast", "u8")
    images = {"mip": drawn_images(8, seed=2)}
    ours, truth = onnxruntime_outputs(model, images), torch_outputs(network, images)
    assert int8_share(model) > 0.99
    np.testing.assert_allclose(ours.scores, truth.scores, rtol=0.02)


@pytest.mark.parametrize("activations", ["u8", "s8"])
def test_networks_trained_without_biases_get_those_that_correct_rounding(activations: Activations) -> None:
    """The exporter writes no bias where there is none, or where it is 0."""
    torch.manual_seed(0)
    network = published_network("FCDD_CNN224", bias=False).eval().served("fcdd", [0.2] * 3, [0.1] * 3)
    model = int8_from_network(network, drawn_images(16, seed=1), "fast", activations)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert [len(node.input) for node in convolutions] == [3] * 6
    assert len({node.input[2] for node in convolutions}) == 6
    images = {"mip": drawn_images(8, seed=2)}
    ours, truth = onnxruntime_outputs(model, images), torch_outputs(network, images)
    np.testing.assert_allclose(ours.scores, truth.scores, rtol=0.1)


def test_accurate_is_judged_by_images_that_were_not_calibrated_on(phantom_images: Images) -> None:
    calibrated, judged = (
        {image.tobytes() for image in images} for images in calibrated_and_judged(phantom_images[:17])
    )
    assert not calibrated & judged
    assert calibrated | judged == {image.tobytes() for image in phantom_images[:17]}
    assert len(judged) == 5


def test_equalised_channels_all_reach_the_largest_code() -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)
    with torch.no_grad():
        assert first.bias is not None
        first.weight.abs_().mul_(torch.tensor([1.0, 3, 10, 100])[:, None, None, None])
    trunk = nn.Sequential(first, nn.ReLU(), second, nn.ReLU()).requires_grad_(False)
    images = torch.rand(4, 1, 16, 16)
    block = equalised(trunk, images, "s8").blocks[0]
    answer = nn.functional.relu(nn.functional.conv2d(images, block.weight, block.bias, padding=1))
    torch.testing.assert_close(answer.amax((0, 2, 3)), torch.ones(4))


def test_what_is_kept_out_of_int8_is_the_network_itself() -> None:
    torch.manual_seed(0)
    trunk = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.LeakyReLU(0.01), nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 4, 3), nn.ReLU()
    ).requires_grad_(False)
    images = torch.randn(5, 1, 32, 32)
    unrounded = equalised(trunk, images, "u8")
    made = quantized_trunk(unrounded, {}, images, exact_answers(unrounded, images), plain=5)
    torch.testing.assert_close(made.rounded * made.factors[:, None, None], trunk(images), rtol=1e-4, atol=1e-5)


def test_ranges_are_those_of_all_images() -> None:
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(1, 3, 3), nn.LeakyReLU(0.01), nn.MaxPool2d(2), nn.Conv2d(3, 2, 3), nn.ReLU())
    images = torch.randn(9, 1, 12, 12)
    with torch.inference_mode():
        ranges, features = channel_ranges(trunk, images), trunk(images)
    assert list(ranges) == [0, 3]
    torch.testing.assert_close(ranges[3], torch.stack((features.amin((0, 2, 3)), features.amax((0, 2, 3)))))


def test_rounded_weights_answer_what_they_should_on_inputs_like_those_they_were_rounded_for() -> None:
    """Inputs of a flat area are alike, so that errors add up where weights are rounded one by one."""
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 20, 3, 3, generator=rng)
    patches, others = (torch.rand(500, 1, generator=rng) + 0.1 * torch.randn(500, 180, generator=rng) for _ in range(2))
    steps = weight.abs().amax((1, 2, 3)) / 7
    rounded = rounded_weight(weight, steps, 7, patches)
    codes = rounded / steps[:, None, None, None]
    torch.testing.assert_close(codes, codes.round())
    assert float(codes.abs().max()) <= 7
    nearest = (weight / steps[:, None, None, None]).round() * steps[:, None, None, None]
    errors = [float(((made - weight).flatten(1) @ others.T).square().mean()) for made in (rounded, nearest)]
    assert errors[0] < 0.3 * errors[1]


def test_weights_of_dead_inputs_are_rounded_to_the_nearest() -> None:
    weight = torch.tensor([[[[0.26]], [[-1.0]]]])
    rounded = rounded_weight(weight, torch.tensor([0.5]), 2, torch.zeros(10, 2))
    torch.testing.assert_close(rounded, torch.tensor([[[[0.5]], [[-1.0]]]]))


@pytest.mark.parametrize("activations", ["u8", "s8"])
def test_a_scale_holds_every_value_and_zero_exactly(activations: Activations) -> None:
    values = torch.tensor([-0.3, 0.0, 0.7, 11.0])
    scale = scale_of(values, activations)
    assert float((scale.rounded(values) - values).abs().max()) <= 0.51 * scale.step
    assert float(scale.rounded(values)[1]) == 0


def test_the_search_takes_the_convolution_out_that_spoils_the_answers(
    phantom_network: ServedNetwork, phantom_images: Images, u8_model: onnx.ModelProto
) -> None:
    graph = onnx_from_network(phantom_network)

    made: list[frozenset[str]] = []

    def quantize(kept: frozenset[str]) -> onnx.ModelProto:
        made.append(kept)
        return u8_model if "trunk.3" in kept else with_coarse_steps(u8_model, "trunk.3.input")

    found = search_graph(quantize, ["trunk.0", "trunk.3", "trunk.6"], DriftFromFp32(graph, phantom_images[:8]))
    assert onnx_bytes(found) == onnx_bytes(u8_model)
    assert len(made) == len(set(made)), "a graph takes seconds to make, and none is needed twice"


def test_scores_without_an_order_lose_none(phantom_network: ServedNetwork, u8_model: onnx.ModelProto) -> None:
    alike = np.repeat(drawn_images(1), 4, axis=0)
    graph = onnx_from_network(phantom_network)
    assert DriftFromFp32(graph, alike).of(graph) == 0
    assert np.isfinite(DriftFromFp32(graph, alike).of(u8_model))


def test_the_search_never_takes_out_more_than_two_fifths(
    phantom_network: ServedNetwork, phantom_images: Images, u8_model: onnx.ModelProto
) -> None:
    graph, spoilt = onnx_from_network(phantom_network), with_coarse_steps(u8_model, "trunk.3.input")
    found = search_graph(lambda kept: graph if kept else spoilt, ["trunk.0"], DriftFromFp32(graph, phantom_images[:8]))
    assert int8_share(graph) == 0
    assert int8_share(found) >= SMALLEST_SHARE


def test_drawn_spots_stand_out_of_dimmed_images_and_some_are_white() -> None:
    images = drawn_images(40)[::2]
    before = images.copy()
    spotted = with_drawn_spots(images, seed=3).astype(int)
    np.testing.assert_array_equal(images, before)
    contrast = spotted.max((1, 2, 3)) - np.median(spotted, (1, 2, 3))
    assert (contrast > 10).all()
    assert np.median((spotted < images).mean((1, 2, 3))) > 0.3
    white = (spotted == 255).sum((1, 2, 3)) > 50
    assert white.any() and not white.all()
    np.testing.assert_array_equal(spotted, with_drawn_spots(images, seed=3))


def test_spots_can_be_drawn_into_a_black_image() -> None:
    assert with_drawn_spots(np.zeros((1, 1, 224, 224), np.uint8)).any()


@pytest.mark.parametrize("activations", ["u8", "s8"])
def test_a_network_trained_by_the_published_code_keeps_its_accuracy(
    activations: Activations, reference_data: Path
) -> None:
    """Scores, AUC, maps and the place of lesions, calibrated on normals alone."""
    root = reference_data / "trained_vgg"
    snapshot, expected = load_snapshot(root), dict(np.load(root / "expected.npz"))
    network = snapshot.network.served("fcdd", expected["mean"].tolist(), expected["std"].tolist())
    normals = stack_images(images_in(root / "calibration" / "normal"), snapshot.resize)
    model = int8_from_network(network, normals, "fast", activations)
    names = [str(name) for name in expected["names"]]
    images = stack_images([read_image(root / "test" / name) for name in names], snapshot.resize)
    ours = onnxruntime_outputs(model, {"mip": images})
    scores, maps = expected["score"].ravel(), expected["anomaly_map"].reshape(-1, 28, 28)
    change = auc_change(ours.scores, scores, expected["labels"].ravel() == 1)

    assert int8_share(model) >= 0.98
    assert (rank_correlation(ours.scores, scores) or 0) >= 0.99
    assert np.abs(ours.scores / scores - 1).mean() <= 0.02
    assert max(abs(change.low), abs(change.high)) <= 0.02
    assert np.abs(ours.maps - maps).max() <= 0.05 * maps.max()
    assert abs(lesion_auc(ours.maps, root, names) - lesion_auc(maps, root, names)) <= 0.01


def seeded_network(net: str, objective: str) -> ServedNetwork:
    torch.manual_seed(0)
    return published_network(net).eval().served(objective, [0.2] * 3, [0.1] * 3)


def equalised(trunk: nn.Sequential, images: torch.Tensor, activations: Activations) -> EqualisedTrunk:
    return equalised_trunk(trunk, channel_ranges(trunk, images), None, activations, with_features=True)


def output_of(model: onnx.ModelProto, name: str, kind: int, images: Images) -> npt.NDArray[np.uint8]:
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    probed.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    session = onnxruntime.InferenceSession(probed.SerializeToString(), providers=["CPUExecutionProvider"])
    (answer,) = session.run([name], {"mip": images})
    return np.asarray(answer)


def with_coarse_steps(model: onnx.ModelProto, pair: str) -> onnx.ModelProto:
    """Return the model with the steps of one activation forty times as wide."""
    coarse = onnx.ModelProto()
    coarse.CopyFrom(model)
    (step,) = [weight for weight in coarse.graph.initializer if weight.name == f"{pair}.step"]
    step.CopyFrom(numpy_helper.from_array(np.asarray(40 * numpy_helper.to_array(step), np.float32), step.name))
    return coarse


def lesion_auc(maps: npt.NDArray[np.float32], root: Path, names: Sequence[str]) -> float:
    """Return the pixelwise AUC, mean over the lesions."""
    snapshot = load_snapshot(root)

    heatmaps = upsample(maps.astype(np.float32), upsampling_of(snapshot.net, snapshot.gauss_std), 224)
    found = []
    for name, heatmap in zip(names, heatmaps, strict=True):
        path = root / "masks" / f"{Path(name).stem}.png"
        if name.startswith("anomalous") and path.exists():
            mask = stack_images([read_image(path)], snapshot.resize)[0, 0] > 127
            found.append(roc_auc(heatmap.ravel(), mask.ravel()))
    return float(np.mean(found))
