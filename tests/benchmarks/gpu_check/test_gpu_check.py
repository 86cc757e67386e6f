"""gpu-check: what it says without a GPU, and that it times right answers only."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fcdd_benchmarks.gpu_check.__main__ import BACKENDS, main
from fcdd_benchmarks.gpu_check.check import measure_latency
from fcdd_runtime.backends import open_folder
from fcdd_runtime.backends.golden import read_golden
from fcdd_runtime.backends.gpu import find_gpu
from fcdd_runtime.errors import GateError


@pytest.mark.skipif(find_gpu() is not None, reason="an NVIDIA GPU is here: make gpu-check runs on it")
def test_without_a_gpu_it_says_what_it_could_not_do_and_ends_well(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--repo", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0
    assert "no NVIDIA GPU" in result.output
    assert all(backend in result.output for backend in BACKENDS)
    assert not (tmp_path / "out").exists()


def test_every_batch_size_that_the_model_takes_is_timed(repository: Path) -> None:
    folder = repository / "small_fp32"
    backend = open_folder(folder)
    latencies = measure_latency(backend, read_golden(folder), limit_s=0.1)
    assert [latency.batch for latency in latencies] == [1, 8]  # the model takes 8 at most
    assert all(0 < latency.median_ms <= latency.p95_ms for latency in latencies)


def test_wrong_answers_are_not_timed(repository: Path) -> None:
    folder = repository / "small_fp32"
    golden = read_golden(folder)
    other = dataclasses.replace(golden, scores=golden.scores * np.float32(1.01))
    with pytest.raises(GateError, match="batch of 1 "):
        measure_latency(open_folder(folder), other, limit_s=0.1)
