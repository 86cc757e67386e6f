"""One contract, many ways to run it: every backend keeps the same promises."""

from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
from result_builders import make_contract

from fcdd_export.gate.drawn import drawn_images
from fcdd_export.gate.drift import Outputs, ReferenceAnswers, measure_drift, violations
from fcdd_export.gate.outputs import torch_outputs
from fcdd_export.networks.served import ServedNetwork
from fcdd_export.networks.snapshot import load_snapshot
from fcdd_runtime.backends import open_folder, open_url
from fcdd_runtime.backends.base import Backend
from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.backends.golden import read_golden, self_test
from fcdd_runtime.contract import read_contract
from rounding import assert_equal_but_for_rounding
from support import WriteSnapshot

Open = Callable[[str], Backend]


@pytest.fixture(params=["onnxruntime", "onnxruntime-cuda", "triton"])
def open_model(repository: Path, request: pytest.FixtureRequest) -> Open:
    """Open a model of the repository by its name."""
    if request.param == "triton":
        address = request.getfixturevalue("server")
        return lambda name: open_url(f"{address}/{name}")
    cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if (request.param == "onnxruntime-cuda") != cuda:
        pytest.skip("needs an NVIDIA GPU and onnxruntime-gpu" if not cuda else "this ONNX Runtime prefers the GPU")
    return lambda name: open_folder(repository / name)


@pytest.fixture(scope="module")
def network(repository: Path, tmp_path_factory: pytest.TempPathFactory, write_snapshot: WriteSnapshot) -> ServedNetwork:
    """The snapshot behind `small_fp32` and `small_fp16`, made again from its seed."""
    snapshot = load_snapshot(write_snapshot(tmp_path_factory.mktemp("again")))
    return snapshot.network.served(snapshot.objective, [0.2] * 3, [0.1] * 3)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_a_backend_answers_what_torch_answers(
    open_model: Open, precision: str, batch: int, network: ServedNetwork
) -> None:
    images = drawn_images(batch, seed=5)
    expected = torch_outputs(network, {"mip": images})
    with open_model(f"small_{precision}") as backend:
        outputs = Outputs(*backend.infer({"mip": images}))
    if precision == "fp32":
        assert_equal_but_for_rounding(outputs, expected, network, {"mip": images})
    contract = backend.contract
    reference = ReferenceAnswers({"mip": images}, expected, contract.upsampling, contract.resize.size)
    assert violations(measure_drift("the backend", outputs, reference), precision) == []


def test_a_backend_passes_its_golden_vectors(open_model: Open, repository: Path) -> None:
    with open_model("small_fp16") as backend:
        result = self_test(backend, read_golden(repository / "small_fp16"))
    assert result.images == 3
    assert max(result.score_error, result.map_error) <= result.limit


@pytest.mark.parametrize("batch", [1, 8])
def test_the_fake_answers_in_the_shapes_and_types_of_the_real_ones(open_model: Open, batch: int) -> None:
    images = drawn_images(batch)
    with open_model("small_fp32") as real, FakeBackend(real.contract) as fake:
        for ours, theirs in zip(fake.infer({"mip": images}), real.infer({"mip": images}), strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)


def test_a_backend_knows_its_contract(open_model: Open, repository: Path) -> None:
    with open_model("small_fp32") as backend:
        assert backend.contract == read_contract(repository / "small_fp32")


def test_a_backend_is_closed_when_its_context_ends_with_an_error_too() -> None:
    fake = FakeBackend(make_contract())
    with pytest.raises(ZeroDivisionError), fake as backend:
        assert backend is fake
        assert not fake.closed
        raise ZeroDivisionError
    assert fake.closed
