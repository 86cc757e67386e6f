"""fcdd-bench compare, small: its structure, and that it checks what it times; times themselves are no test."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from benchmarks.reports import read_back
from fcdd_benchmarks.cli import main
from fcdd_benchmarks.compare.contenders import ACCURATE, COMPILED, Contender, Images, PublishedScoring, torch_run
from fcdd_benchmarks.compare.measure import check
from fcdd_benchmarks.compare.report import (
    OURS,
    OURS_BY_PRECISION,
    CompareOptions,
    ContenderResult,
    ContenderTiming,
    HeatmapTimes,
    targets_of,
)
from fcdd_benchmarks.compare.upsampling import check_upsampling
from fcdd_benchmarks.report.estimate import Estimate
from fcdd_benchmarks.timing.summary import ratio_of_medians, summary_of
from fcdd_export.gate.drawn import drawn_images
from fcdd_export.gate.drift import Drift, Outputs, ReferenceAnswers
from fcdd_export.networks.registry import upsampling_of
from fcdd_export.networks.snapshot import Normalization, load_snapshot
from fcdd_runtime.images.network_input import stack_images
from support import PublishedCase, WriteSnapshot


def run(out: Path, *options: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["compare", *options, "--batch", "2", "--repeats", "3", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert result.output.strip() == (out / "report.md").read_text().strip()
    return read_back(out)


def snapshot_options(case: PublishedCase) -> list[str]:
    mean, std = (",".join(str(value) for value in case.expected[key]) for key in ("mean", "std"))
    return ["--snapshot", str(case.snapshot), "--mean", mean, "--std", std]


def test_contenders_answer_as_torch_and_are_compared(
    small_case: PublishedCase, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcdd_benchmarks.compare.contenders.which", lambda _: None)
    document = run(tmp_path, *snapshot_options(small_case), "--no-int8", "--url", f"{server}/cnn_fp32")
    contenders = {found["name"]: found for found in document["contenders"]}
    assert {"fcdd-edge FP32", "PyTorch eager, as published", "ONNX Runtime FP32", "OpenVINO FP32"} <= set(contenders)
    for found in contenders.values():
        assert found["refused"] is None
        assert found["drift"]["score_largest"] <= 1e-4
        ratio = found["timing"]["ratio"]
        assert 0 < ratio["low"] <= ratio["value"] <= ratio["high"]
        assert found["timing"]["samples"] == 3
    assert contenders["fcdd-edge FP32"]["timing"]["ratio"]["value"] == 1
    assert document["heatmaps"]["error"] <= 1e-5
    assert document["absent"] == {COMPILED: "no C++ compiler here", "INT8": "left out as asked"}
    assert document["client_overhead_ms"]["value"] > 0
    assert document["client_overhead_ms"]["value"] in [metric["value"] for metric in document["metrics"]]
    assert "rough" in (tmp_path / "report.md").read_text()


def test_int8_takes_part_within_the_limits_of_the_gate_or_is_not_timed(
    small_case: PublishedCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcdd_benchmarks.compare.contenders.which", lambda _: None)
    document = run(tmp_path, *snapshot_options(small_case))
    int8 = [found for found in document["contenders"] if found["precision"] == "int8"]
    assert [found["name"] for found in int8] == ["fcdd-edge INT8", "ONNX Runtime INT8", "OpenVINO INT8"]
    for found in int8:
        assert (found["timing"] is None) == (found["refused"] is not None)
        assert found["drift"]["score_mean"] > 0


def test_both_ways_to_make_int8_say_what_they_cost(
    small_case: PublishedCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcdd_benchmarks.compare.contenders.which", lambda _: None)
    # The search of the accurate method is the export's to test: here it takes the first graph.
    monkeypatch.setattr("fcdd_export.int8.search.RANK_LOSS", 2.0)
    monkeypatch.setattr("fcdd_export.int8.search.SCORE_ERROR", 2.0)
    monkeypatch.setattr("fcdd_export.int8.search.MAP_ERROR", 2.0)
    document = run(tmp_path, *snapshot_options(small_case), "--accurate-int8")
    assert [form["name"] for form in document["int8_forms"]] == ["fcdd-edge INT8", ACCURATE]
    assert all(form["seconds"] > 0 and form["share"] > 0.99 for form in document["int8_forms"])
    assert ACCURATE in {found["name"] for found in document["contenders"]}
    assert document["targets"] == []  # They are set for VGG11's trunk alone.


def results_of(ours_ms: dict[str, float], theirs: dict[str, float]) -> list[ContenderResult]:
    """Contenders that took so many ms, always, and ours a tenth of a ms more or less."""
    shaken = {name: [ms - 0.1, ms, ms + 0.1] * 5 for name, ms in ours_ms.items()}
    times = shaken | {name: [ms] * 15 for name, ms in theirs.items()}
    drift = Drift("", False, 16, 0, 0, 1, 0, 0, 1, None, None, None, 0)
    results = []
    for name in times:
        precision = name.split()[-1].lower()
        ratio, in_precision = (
            ratio_of_medians(times[name], times[ours]) for ours in (OURS, OURS_BY_PRECISION[precision])
        )
        summary = summary_of(np.array(times[name]))
        timing = ContenderTiming(15, summary.p50, summary.mean_ms, summary.max_ms, 0, False, ratio, in_precision)
        results.append(ContenderResult(name, precision, drift, None, timing))
    return results


def test_targets_are_judged_by_value_and_interval() -> None:
    options = CompareOptions("FCDD_CNN224_VGG_NOPT", "", 8, 15, int8=True)
    heatmaps, overhead = HeatmapTimes({}, Estimate(400, 390, 410), 0.0), Estimate(0.9, 0.8, 1.1)
    results = results_of(
        {OURS: 30.0, "fcdd-edge INT8": 12.0}, {"ONNX Runtime FP32": 30.0, "OpenVINO FP32": 25.0, "OpenVINO INT8": 11.9}
    )
    found = {target.name: target for target in targets_of(options, results, heatmaps, overhead)}
    assert {name: target.verdict for name, target in found.items()} == {
        "FP32, times bare ONNX Runtime FP32": "met",
        "FP32, times OpenVINO FP32": "not met",
        "speed of INT8, times our FP32": "met, within the noise",
        "INT8, times OpenVINO INT8": "met",
        "heatmaps, speed times the published way": "met",
        "cost of a call to Triton, batch 8, ms": "met, within the noise",
    }
    slower = found["FP32, times OpenVINO FP32"].figure
    assert slower is not None and slower.value == pytest.approx(30 / 25)
    assert slower.low <= slower.value <= slower.high
    alone = targets_of(options, results[:1], heatmaps, None)
    assert [target.verdict for target in alone] == ["not measured"] * 4 + ["met", "not measured"]
    other = CompareOptions("FCDD_CNN224", "", 8, 15, int8=True)
    assert targets_of(other, results, heatmaps, overhead) == (), "they are set for VGG11's trunk alone"


@pytest.mark.parametrize("wrong", ["nothing", "score", "map", "nan"])
def test_only_a_contender_with_another_answer_is_refused(wrong: str) -> None:
    images = drawn_images(4)
    maps = np.random.default_rng(0).uniform(0, 1, (4, 28, 28)).astype(np.float32)
    scores = maps.mean((1, 2))
    reference = ReferenceAnswers({"mip": images}, Outputs(scores, maps), upsampling_of("FCDD_CNN224", 8), 224)

    def answers(batch: Images) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        first = int(np.flatnonzero((images == batch[0]).all((1, 2, 3)))[0])
        found, found_maps = scores[first : first + 2].copy(), maps[first : first + 2].copy()
        if first == 2:
            found[1] *= {"score": 1.01, "nan": np.nan}.get(wrong, 1)
            found_maps[1, 3, 3] += {"map": 0.01}.get(wrong, 0)
        return found, found_maps

    _, refused = check(Contender("one", "fp32", answers), reference, 2)
    assert (refused is None) == (wrong == "nothing")


def test_the_published_scoring_gives_the_published_scores(small_case: PublishedCase) -> None:
    snapshot = load_snapshot(small_case.snapshot)
    mean, std = (tuple(float(value) for value in small_case.expected[key]) for key in ("mean", "std"))
    images = stack_images(small_case.images, snapshot.resize)
    scores, maps = torch_run(PublishedScoring(snapshot.network, Normalization(mean, std)))(images)
    np.testing.assert_allclose(scores, small_case.expected["score"].reshape(-1), rtol=1e-4)
    np.testing.assert_allclose(maps.mean((1, 2)), scores, rtol=1e-5)


@pytest.mark.parametrize("net", ["FCDD_CNN224", "FCDD_CNN224_VGG_NOPT"])
def test_both_ways_to_upsample_agree(net: str) -> None:
    maps = np.random.default_rng(0).uniform(0, 5, (2, 28, 28)).astype(np.float32)
    assert 0 <= check_upsampling(maps, upsampling_of(net, 10), 224) <= 1e-5


@pytest.mark.parametrize(
    ("net", "objective", "message"), [("VGG_BCE_CROP", "bce", "takes FCDD networks"), (None, None, "is no folder")]
)
def test_what_cannot_be_compared_is_one_sentence(
    net: str | None, objective: str | None, message: str, write_snapshot: WriteSnapshot, tmp_path: Path
) -> None:
    folder = tmp_path / "snapshot"
    if net is not None:
        write_snapshot(folder, net=net, objective=objective)
    result = CliRunner().invoke(main, ["compare", "--snapshot", str(folder), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "out").exists()


def test_a_snapshot_without_statistics_needs_both_numbers(write_snapshot: WriteSnapshot, tmp_path: Path) -> None:
    folder = str(write_snapshot(tmp_path / "snapshot", normalization=False))
    for options, message in (([], "has no normalization.json"), (["--mean", "0.2"], "--mean and --std together")):
        result = CliRunner().invoke(main, ["compare", "--snapshot", folder, *options, "--out", str(tmp_path / "out")])
        assert result.exit_code == 2
        assert message in result.output
