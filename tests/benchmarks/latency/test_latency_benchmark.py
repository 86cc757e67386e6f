"""fcdd-bench latency, small: its structure, and that it checks what it times; times themselves are no test."""

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.reports import read_back
from fcdd_benchmarks.cli import main
from fcdd_benchmarks.latency.measure import measure_latency
from fcdd_benchmarks.latency.report import LatencyOptions
from fcdd_benchmarks.timing.timed_model import TimedModel, opened_folder
from fcdd_runtime.contract import read_contract
from fcdd_runtime.errors import GateError

SMALL = ("--batch", "1", "--batch", "2", "--concurrency", "1", "--concurrency", "2", "--seconds", "0.2")


def run(out: Path, *options: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["latency", *options, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert result.output.strip() == (out / "report.md").read_text().strip()
    assert (out / "report.html").read_text().count("data:image/svg+xml;base64,") == 2
    return read_back(out)


def check_order(summary: dict[str, Any]) -> None:
    percentiles = [summary[name]["value"] for name in ("p50", "p90", "p95", "p99") if summary[name] is not None]
    assert percentiles[0] > 0
    assert percentiles == sorted(percentiles)
    assert percentiles[-1] <= summary["max_ms"]
    assert (summary["p99"] is None) == (summary["samples"] < 100)


def test_a_model_in_this_process_is_timed_at_every_batch_and_concurrency(repository: Path, tmp_path: Path) -> None:
    document = run(tmp_path, "--model", str(repository / "small_fp32"), *SMALL)
    points = document["points"]
    assert [(point["batch"], point["concurrency"]) for point in points] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for point in points:
        check_order(point["summary"])
        assert point["images_per_second"] > 0
        assert point["split"] is None
    names = {metric["name"] for metric in document["metrics"]}
    assert {f"small_fp32, in this process, batch 2, concurrency 1: {what}" for what in ("p50", "images/s")} <= names


def test_the_report_names_the_command_line_and_every_model_by_its_hashes(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--model", str(repository / "small_fp32"), "--batch", "1", "--concurrency", "1", "--seconds", "0.1")
    monkeypatch.setattr("sys.argv", ["fcdd-bench", "latency", *options])
    document = run(tmp_path, *options)
    contract = read_contract(repository / "small_fp32")
    [model] = document["models"]
    assert (model["name"], model["precision"]) == ("small_fp32", "fp32")
    assert model["snapshot_sha256"] == contract.snapshot_sha256
    assert model["artefact_sha256"] == contract.artefact_sha256
    assert document["command"] == shlex.join(["fcdd-bench", "latency", *options])


def test_two_models_and_open_loops_with_a_limit(repository: Path, tmp_path: Path) -> None:
    folders = [str(repository / name) for name in ("small_fp32", "small_fp16")]
    options = ("--batch", "1", "--concurrency", "2", "--seconds", "0.1", "--rate", "20", "--p99-limit-ms", "10000")
    document = run(tmp_path, "--model", folders[0], "--model", folders[1], *options)
    assert len(document["points"]) == len(document["open_loops"]) == len(document["rate_limits"]) == 2
    for point in document["open_loops"]:
        assert point["rate"] == 20
        assert not point["gave_up"]
        assert point["summary"]["samples"] == 200
        check_order(point["summary"])
    names = {metric["name"] for metric in document["metrics"]}
    assert "small_fp32, in this process, batch 1, 20 requests/s: p50" in names
    assert "small_fp32, in this process, batch 1, 20 requests/s: p99" not in names, "200 samples are too few"
    for limit in document["rate_limits"]:
        assert limit["rate"] >= 20
        found = [point for point in limit["tried"] if point["rate"] == limit["rate"]][-1]
        assert found["summary"]["p99"]["value"] <= 10_000


def test_a_limit_that_a_single_request_exceeds_is_answered_without_a_run(repository: Path, tmp_path: Path) -> None:
    options = ("--batch", "1", "--concurrency", "1", "--seconds", "0.1", "--p99-limit-ms", "0.001")
    [limit] = run(tmp_path, "--model", str(repository / "small_fp32"), *options)["rate_limits"]
    assert (limit["rate"], limit["failed_rate"], limit["tried"]) == (None, None, [])


def test_a_rate_that_fails_once_is_run_again(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = LatencyOptions(("small_fp32",), (), (1,), (2,), 0.1, (), 1e-3)
    monkeypatch.setattr("fcdd_benchmarks.latency.measure.SEARCH_S", 2.0)
    [limit] = measure_latency([repository / "small_fp32"], options, "").rate_limits
    assert limit.rate is None
    rates = [point.rate for point in limit.tried]
    assert rates[0::2] == rates[1::2]
    assert limit.failed_rate == rates[-1]
    assert all(point.gave_up for point in limit.tried)


def test_a_served_model_is_split_by_the_servers_statistics(server: str, repository: Path, tmp_path: Path) -> None:
    document = run(tmp_path, "--url", f"{server}/small_fp32", *SMALL)
    for point in document["points"]:
        parts = point["split"]
        assert set(parts) == {"client", "network", "queue", "compute_input", "infer", "compute_output"}
        assert all(parts[name] > 0 for name in ("client", "queue", "compute_input", "infer", "compute_output"))
    assert "gRPC and network" in (tmp_path / "report.md").read_text()


def test_a_wrong_answer_is_not_timed(repository: Path) -> None:
    with opened_folder(repository / "small_fp32") as model:
        scores, maps = model.request(4)()
        model.check([(scores, maps)], 4)
        worse = maps.copy()
        worse[3, 5, 5] += 0.01 * maps.max()
        for wrong in ((scores * 1.001, maps), (scores[[1, 0, 2, 3]], maps), (scores, worse), (scores * np.nan, maps)):
            with pytest.raises(GateError, match="not timed"):
                model.check([(scores, maps), wrong], 4)


def test_a_command_that_meets_a_wrong_answer_ends_with_3_and_writes_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened_folder(repository / "small_fp32") as model:
        golden = dataclasses.replace(model.golden, scores=model.golden.scores * np.float32(1.01))
    monkeypatch.setattr("fcdd_benchmarks.timing.timed_model.read_golden", lambda _: golden)
    arguments = ["latency", "--model", str(repository / "small_fp32"), *SMALL, "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 3
    assert "not timed" in result.output
    assert not (tmp_path / "out").exists()


def test_batches_repeat_the_golden_images_in_order(repository: Path) -> None:
    with opened_folder(repository / "small_fp32") as model:
        assert isinstance(model, TimedModel)
        images = model.batch(5)["mip"]
        np.testing.assert_array_equal(images, model.golden.images[[0, 1, 2, 0, 1]])


@pytest.mark.parametrize(
    ("options", "message"),
    [((), "--model MODEL_DIR or --url"), (("--model", "nothing_here"), "nothing_here")],
)
def test_what_cannot_be_timed_is_one_sentence(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["latency", *options, "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_batch_beyond_the_models_largest_is_refused(repository: Path, tmp_path: Path) -> None:
    arguments = ["latency", "--model", str(repository / "small_fp32"), "--batch", "16", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "at most 8" in result.output
