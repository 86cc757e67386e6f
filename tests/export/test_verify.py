from dataclasses import replace

import numpy as np
import pytest
import torch

from fcdd_export.drawn import drawn_images
from fcdd_export.network import ServedNetwork, published_network
from fcdd_export.verify import Drift, Outputs, check_drift, fp16_simulation, measure_drift, torch_outputs
from fcdd_runtime.contract import OperatingPoint
from fcdd_runtime.errors import GateError


def outputs(*scores: float) -> Outputs:
    values = np.array(scores, np.float32)
    return Outputs(values, np.broadcast_to(values[:, None, None], (len(scores), 28, 28)).copy())


def test_equal_outputs_have_no_drift() -> None:
    drift = measure_drift("onnxruntime", outputs(1, 2, 3), outputs(1, 2, 3))
    assert (drift.score_largest, drift.map_largest, drift.nonfinite) == (0, 0, 0)
    assert drift.rank_correlation == pytest.approx(1)
    check_drift(drift, "fp32")


def test_drift_is_relative_and_counts_flipped_decisions() -> None:
    drift = measure_drift("onnxruntime", outputs(1.1, 2, 4), outputs(1, 2, 4), OperatingPoint(1.05, None, "test"))
    assert drift.score_largest == pytest.approx(0.1, rel=1e-5)
    assert drift.score_mean == pytest.approx(0.1 / 3, rel=1e-5)
    assert drift.map_largest == pytest.approx(0.1, rel=1e-5)  # of that image's own map, however bright others are
    assert drift.flips == 1


def test_rank_correlation_sees_a_changed_order() -> None:
    drift = measure_drift("onnxruntime", outputs(3, 2, 1), outputs(1, 2, 3))
    assert drift.rank_correlation == pytest.approx(-1)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_score_that_moved_by_two_percent_is_refused(precision: str) -> None:
    drift = measure_drift("onnxruntime", outputs(1.02, 2, 3), outputs(1, 2, 3))
    with pytest.raises(GateError, match="changes scores by 2.00e-02"):
        check_drift(drift, precision)


def test_images_at_the_ends_of_the_range_may_drift_further_but_not_without_limit() -> None:
    check_drift(measure_drift("onnxruntime", outputs(1.02), outputs(1), extreme=True), "fp16")
    with pytest.raises(GateError, match="more than 5e-02"):
        check_drift(measure_drift("onnxruntime", outputs(1.06), outputs(1), extreme=True), "fp16")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    drift = measure_drift("onnxruntime", outputs(1, 2, value), outputs(1, 2, 3))
    assert drift.nonfinite == 1 + 28 * 28
    with pytest.raises(GateError, match="not finite"):
        check_drift(drift, "fp16")


def loud_network(factor: float) -> ServedNetwork:
    """Its first activations are `factor` times as large as usual, its later ones as usual."""
    torch.manual_seed(0)
    network = published_network("FCDD_CNN224").eval()
    with torch.no_grad():
        first, second = network.get_submodule("conv1"), network.get_submodule("conv2")
        assert isinstance(first, torch.nn.Conv2d) and isinstance(second, torch.nn.Conv2d) and first.bias is not None
        first.weight.mul_(factor)
        first.bias.mul_(factor)
        second.weight.div_(factor)
    return ServedNetwork(network, [0.2] * 3, [0.1] * 3)


def simulated_drift(network: ServedNetwork) -> Drift:
    images = drawn_images(2)
    simulated, largest = fp16_simulation(network, images)
    drift = measure_drift("fp16 simulation", simulated, torch_outputs(network, images))
    return replace(drift, activation_largest=largest)


def test_the_simulation_passes_a_network_within_half_precision() -> None:
    drift = simulated_drift(loud_network(100))
    assert drift.activation_largest is not None and 100 < drift.activation_largest < 65504
    check_drift(drift, "fp16")


def test_the_simulation_sees_an_overflow_between_layers() -> None:
    with pytest.raises(GateError, match="overflows"):
        check_drift(simulated_drift(loud_network(1e5)), "fp16")
