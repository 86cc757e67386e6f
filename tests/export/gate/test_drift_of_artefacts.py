from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fcdd_export.gate.drawn import drawn_images
from fcdd_export.gate.drift import Drift, Outputs, ReferenceAnswers, check_finite, measure_drift, violations
from fcdd_export.gate.half_simulation import simulated_outputs
from fcdd_export.gate.layer_drift import layer_drifts, worst
from fcdd_export.gate.outputs import onnxruntime_outputs, torch_outputs
from fcdd_export.graphs.fp16 import fp16_from_onnx
from fcdd_export.graphs.onnx_graph import onnx_from_network
from fcdd_export.networks.fcdd import FcddSmallNetwork, ServedFcdd
from fcdd_export.networks.served import pseudo_huber
from fcdd_runtime.contract import OperatingPoint, Upsampling
from fcdd_runtime.errors import GateError

UPSAMPLING = Upsampling(jump=8, extent=62, shift=3.5, std=10.0)
IMAGES = {"mip": drawn_images(2)}


def outputs(*scores: float) -> Outputs:
    """Maps whose mean is the score, with a slope so that they correlate."""
    values = np.array(scores, np.float32)
    slope = np.linspace(0.5, 1.5, 28, dtype=np.float32)[:, np.newaxis]
    return Outputs(values, np.broadcast_to(values[:, None, None] * slope, (len(scores), 28, 28)).copy())


def reference(*scores: float) -> ReferenceAnswers:
    return ReferenceAnswers({}, outputs(*scores), UPSAMPLING, 224)


def test_equal_outputs_have_no_drift() -> None:
    drift = measure_drift("onnxruntime", outputs(1, 2, 3), reference(1, 2, 3))
    assert (drift.score_largest, drift.map_largest, drift.map_of_set, drift.nonfinite) == (0, 0, 0, 0)
    assert drift.rank_correlation == pytest.approx(1)
    assert drift.map_correlation == pytest.approx(1)
    assert drift.heatmap_psnr_db is None  # infinite
    assert not violations(drift, "fp32")


def test_drift_is_relative_and_counts_flipped_decisions() -> None:
    against = replace(reference(1, 2, 4), operating_point=OperatingPoint(1.05, None, "test"))
    drift = measure_drift("onnxruntime", outputs(1.1, 2, 4), against)
    assert drift.score_largest == pytest.approx(0.1, rel=1e-5)
    assert drift.score_mean == pytest.approx(0.1 / 3, rel=1e-5)
    assert drift.map_largest == pytest.approx(0.1, rel=1e-5)  # of that image's own map, however bright others are
    assert drift.map_of_set == pytest.approx(0.1 / 4, rel=1e-5)
    assert drift.flips == 1


def test_the_noise_of_heatmaps_is_measured_against_their_largest_value() -> None:
    one_percent = measure_drift("onnxruntime", outputs(1.01, 2.02, 3.03), reference(1, 2, 3))
    ten_percent = measure_drift("onnxruntime", outputs(1.1, 2.2, 3.3), reference(1, 2, 3))
    assert one_percent.heatmap_psnr_db is not None and ten_percent.heatmap_psnr_db is not None
    assert one_percent.heatmap_psnr_db - ten_percent.heatmap_psnr_db == pytest.approx(20, abs=0.01)


def test_a_map_whose_shape_changes_loses_correlation() -> None:
    turned = outputs(1, 2, 3)
    turned.maps[1] = turned.maps[1, ::-1]
    assert measure_drift("onnxruntime", turned, reference(1, 2, 3)).map_correlation == pytest.approx(-1)


def test_a_changed_order_of_the_scores_is_refused() -> None:
    drift = measure_drift("onnxruntime", outputs(3.01, 3, 2.99), reference(2.99, 3, 3.01))
    assert drift.rank_correlation == pytest.approx(-1)
    assert violations(drift, "fp16") == ["the order of the scores (rank correlation -1.0000, limit 0.99)"]


def test_labels_give_the_change_of_the_auc_with_a_paired_interval() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3 == 0
    scores = 1 + rng.random(120) + 0.3 * labels
    against = replace(reference(*scores), labels=labels)
    same_order = measure_drift("onnxruntime", outputs(*(2 * scores)), against)
    noisy = measure_drift("onnxruntime", outputs(*(scores + rng.normal(0, 0.2, 120))), against)
    assert same_order.auc is not None and noisy.auc is not None
    assert (same_order.auc.change, same_order.auc.low, same_order.auc.high) == (0, 0, 0)
    assert noisy.auc.low < noisy.auc.change < noisy.auc.high
    assert any("AUC" in violation for violation in violations(noisy, "int8"))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_score_that_moved_by_two_percent_is_refused(precision: str) -> None:
    found = violations(measure_drift("onnxruntime", outputs(1.02, 2, 3), reference(1, 2, 3)), precision)
    assert any(violation.startswith("scores by 2.00e-02") for violation in found)


def test_scores_that_move_as_a_whole_are_refused_for_int8() -> None:
    drift = measure_drift("onnxruntime", outputs(1.1, 2.2, 3.3), reference(1, 2, 3))
    assert drift.rank_correlation == pytest.approx(1)
    assert any("on the mean" in violation for violation in violations(drift, "int8"))


def test_images_at_the_ends_of_the_range_may_drift_further_but_not_without_limit() -> None:
    extreme = replace(reference(1), extreme=True)
    assert not violations(measure_drift("onnxruntime", outputs(1.02), extreme), "fp16")
    assert violations(measure_drift("onnxruntime", outputs(1.06), extreme), "fp16")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    drift = measure_drift("onnxruntime", outputs(1, 2, value), reference(1, 2, 3))
    assert drift.nonfinite == 1 + 28 * 28
    with pytest.raises(GateError, match="not finite"):
        check_finite(drift, "fp16")


def loud_network(factor: float) -> ServedFcdd:
    """Its first activations are `factor` times as large as usual, its later ones as usual."""
    torch.manual_seed(0)
    network = FcddSmallNetwork().eval()
    with torch.no_grad():
        first, second = network.get_submodule("conv1"), network.get_submodule("conv2")
        assert isinstance(first, torch.nn.Conv2d) and isinstance(second, torch.nn.Conv2d) and first.bias is not None
        first.weight.mul_(factor)
        first.bias.mul_(factor)
        second.weight.div_(factor)
    return ServedFcdd(network, [0.2] * 3, [0.1] * 3)


def simulated_drift(network: ServedFcdd) -> Drift:
    simulated, largest = simulated_outputs(fp16_from_onnx(onnx_from_network(network)), IMAGES)
    truth = ReferenceAnswers(IMAGES, torch_outputs(network, IMAGES), UPSAMPLING, 224)
    return replace(measure_drift("fp16 simulation", simulated, truth), activation_largest=largest)


def test_the_simulation_passes_a_network_within_half_precision() -> None:
    drift = simulated_drift(loud_network(100))
    assert drift.activation_largest is not None and 100 < drift.activation_largest < 65504
    check_finite(drift, "fp16")
    assert 1e-6 < drift.score_largest < 1e-2  # it does round, but not by much


def test_the_simulation_sees_an_overflow_that_onnx_runtime_hides() -> None:
    network = loud_network(1e5)
    drift = simulated_drift(network)
    with pytest.raises(GateError, match="overflows"):
        check_finite(drift, "fp16")


def test_the_simulation_rounds_as_torch_does_in_half() -> None:
    network = loud_network(1)
    artefact = fp16_from_onnx(onnx_from_network(network))
    simulated, _ = simulated_outputs(artefact, IMAGES)
    with torch.inference_mode():
        tensor = network.normalised(torch.from_numpy(IMAGES["mip"])).half().float()
        for layer in network.trunk:
            rounded = {name: weight.half().float() for name, weight in layer.named_parameters()}
            tensor = torch.func.functional_call(layer, rounded, tensor).half().float()
        anomaly_map = pseudo_huber(network.last(tensor))
    np.testing.assert_allclose(simulated.scores, anomaly_map.mean((1, 2, 3)).numpy(), rtol=2e-4)
    np.testing.assert_allclose(simulated.maps, anomaly_map[:, 0].numpy(), atol=2e-3 * float(anomaly_map.max()))


def test_the_layer_whose_weights_are_spoilt_is_named_first() -> None:
    graph = onnx_from_network(loud_network(1))
    spoilt = type(graph)()
    spoilt.CopyFrom(graph)
    node = next(node for node in spoilt.graph.node if node.name.startswith("trunk.") and "conv2d" in node.name)
    later = [node for node in spoilt.graph.node if node.op_type == "Conv"][2]
    weight = next(weight for weight in spoilt.graph.initializer if weight.name == later.input[1])
    values = np.frombuffer(weight.raw_data, np.float32).copy()
    weight.raw_data = (
        (values + np.random.default_rng(0).normal(0, values.std(), values.size)).astype(np.float32).tobytes()
    )
    named = worst(layer_drifts(spoilt, graph, IMAGES))
    assert named[0].layer == later.name != node.name
    assert named[0].entered > 0.1
    same = layer_drifts(graph, graph, IMAGES)
    assert all(drift.error < 1e-5 for drift in same)
    assert any(output != 0 for output in onnxruntime_outputs(graph, IMAGES).scores)


def grad_cam_outputs(uncut: npt.NDArray[np.float32]) -> Outputs:
    return Outputs(np.ones(len(uncut), np.float32), np.maximum(uncut, 0), uncut)


def uncut_maps() -> npt.NDArray[np.float32]:
    """Grad-CAM of three images, between -1 and 1, -0.1 and 0.4, and -1 and 0.0005: little is left of the last."""
    slope = np.linspace(0, 1, 28 * 28, dtype=np.float32).reshape(28, 28)
    return np.stack([2 * slope - 1, 0.5 * slope - 0.1, 1.0005 * slope - 1])


def test_rounding_of_a_nearly_empty_grad_cam_is_measured_against_what_was_cut_off() -> None:
    truth = uncut_maps()
    rounded = truth + np.float32(2e-4) * np.sign(truth)
    against = replace(reference(1, 1, 1), outputs=grad_cam_outputs(truth))
    drift = measure_drift("fp16 simulation", grad_cam_outputs(rounded), against)
    assert drift.map_largest == pytest.approx(2e-4 / 0.4, rel=1e-3)
    assert not [found for found in violations(drift, "fp16") if "maps" in found]


@pytest.mark.parametrize("image", [0, 1])
@pytest.mark.parametrize("wrong", [lambda values: 1.05 * values, lambda values: np.roll(values, 1, 0), np.negative])
def test_a_wrong_grad_cam_is_refused(
    image: int, wrong: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
) -> None:
    maps = uncut_maps()
    maps[image] = wrong(maps[image])
    against = replace(reference(1, 1, 1), outputs=grad_cam_outputs(uncut_maps()))
    drift = measure_drift("fp16 simulation", grad_cam_outputs(maps), against)
    assert any(found.startswith("maps by") for found in violations(drift, "fp16"))


def test_a_set_of_nothing_but_nearly_empty_grad_cams_is_not_refused_for_what_rounding_leaves() -> None:
    truth = uncut_maps()[2:]
    against = replace(reference(1), outputs=grad_cam_outputs(truth))
    assert not violations(measure_drift("fp16 simulation", grad_cam_outputs(truth + np.float32(2e-4)), against), "fp16")
    assert violations(measure_drift("fp16 simulation", grad_cam_outputs(truth + np.float32(2e-3)), against), "fp16")
