"""fcdd-bench study, small: its structure and that it checks what it times; times themselves are no test."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.reports import read_back
from fcdd_benchmarks.cli import main
from fcdd_benchmarks.study import mip_times, score_times
from fcdd_benchmarks.study.drawn_study import StudyShape, write_study
from fcdd_benchmarks.study.mip_readers import Mip, mip_hash, reference_mip
from fcdd_benchmarks.study.stage_times import STAGES
from fcdd_runtime.contract import read_contract
from fcdd_runtime.errors import BackendError

SMALL = ("--slices", "12", "--size", "96", "--repeats", "1")
SCORED = ("--studies", "2", "--rounds", "2")


def run(out: Path, *options: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["study", *SMALL, "--out", str(out), *options])
    assert result.exit_code == 0, result.output
    assert result.output.strip() == (out / "report.md").read_text().strip()
    return read_back(out)


@pytest.fixture(scope="module")
def scored(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a model in this process, DICOM objects included."""
    out = tmp_path_factory.mktemp("study")
    run(out, "--model", str(repository / "small_fp32"), *SCORED, "--dicom")
    return out


def read(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "report.json").read_text())
    return document


def test_a_report_names_contenders_machine_and_versions(tmp_path: Path) -> None:
    document = run(tmp_path, "--repeats", "2")
    timings = {timing["name"]: timing for timing in document["timings"]}
    assert set(timings) == {"ours", "simpleitk", "limit"}
    for timing in timings.values():
        assert 0 < timing["lowest_ms"] <= timing["median_ms"] <= timing["highest_ms"]
        assert timing["ratio"]["low"] <= timing["ratio"]["value"] <= timing["ratio"]["high"]
        assert 0 <= timing["over_mb"] < timing["peak_mb"]
    assert timings["ours"]["ratio"]["value"] == 1
    assert {"fcdd-edge", "numpy", "pydicom", "SimpleITK"} <= set(document["machine"]["versions"])
    assert document["scoring"] is None


@pytest.mark.parametrize("syntax", ["rle", "jpeg-lossless", "jpeg-ls", "jpeg-2000"])
def test_compressed_studies_are_timed_against_the_same_mip(syntax: str, tmp_path: Path) -> None:
    document = run(tmp_path, "--transfer-syntax", syntax, "--phases", "3")
    assert [timing["name"] for timing in document["timings"]] == ["ours", "simpleitk"]


def test_stages_and_rest_add_up_to_the_whole(scored: Path) -> None:
    scoring = read(scored)["scoring"]
    stages = {stage["stage"]: stage for stage in scoring["stages"]}
    assert list(stages) == [*STAGES, "rest"]
    assert sum(stage["many_share"] for stage in stages.values()) == pytest.approx(1)
    whole = sum(stage["many_ms"] for stage in stages.values())
    assert whole == pytest.approx(scoring["many_ms"]["value"] * (1 + scoring["clock_share"]))
    assert all(stage[name] >= 0 for stage in stages.values() for name in ("one_ms", "many_ms"))


def test_every_stage_was_seen_so_that_none_was_renamed(scored: Path) -> None:
    stages = {stage["stage"]: stage for stage in read(scored)["scoring"]["stages"]}
    unseen = {name for name in (*STAGES, "rest") if not stages[name]["one_ms"] > 0 or not stages[name]["many_ms"] > 0}
    assert unseen == {"queue"}


def test_the_headline_is_the_rate_of_many_studies_and_stands_in_all_three_files(scored: Path) -> None:
    scoring = read(scored)["scoring"]
    rate = scoring["studies_per_hour"]
    assert rate["low"] <= rate["value"] <= rate["high"]
    assert rate["value"] == pytest.approx(3.6e6 / scoring["many_ms"]["value"])
    assert scoring["studies"] == 2 and scoring["model"] == "small_fp32, in this process"
    headline = f"{rate['value']:,.0f} studies an hour"
    assert read(scored)["title"].startswith(headline)
    assert headline in (scored / "report.md").read_text() and headline in (scored / "report.html").read_text()
    assert (scored / "report.html").read_text().count("data:image/svg+xml;base64,") == 2


def test_the_model_is_named_by_its_hashes(scored: Path, repository: Path) -> None:
    contract = read_contract(repository / "small_fp32")
    [model] = read(scored)["models"]
    assert model["snapshot_sha256"] == contract.snapshot_sha256
    assert model["artefact_sha256"] == contract.artefact_sha256
    assert contract.artefact_sha256 in (scored / "report.md").read_text()


def test_memory_is_given_over_the_imports_and_absolutely(scored: Path) -> None:
    scoring = read(scored)["scoring"]
    assert scoring["ready_mb"]["low"] > 30
    assert 0 < scoring["many_over_mb"]["value"] < scoring["peak_mb"]["value"]
    assert scoring["peak_mb"]["value"] >= scoring["ready_mb"]["value"]


def test_a_served_model_is_scored_and_its_queue_is_a_stage(server: str, tmp_path: Path) -> None:
    scoring = run(tmp_path, "--url", f"{server}/small_fp32", "--studies", "2", "--rounds", "1")["scoring"]
    stages = {stage["stage"]: stage["many_ms"] for stage in scoring["stages"]}
    assert scoring["model"] == "small_fp32, Triton"
    assert stages["queue"] > 0 and stages["infer"] > 0


def test_two_reports_can_be_compared(scored: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["drift", str(scored), str(scored), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    names = {change["metric"]["name"] for change in read(tmp_path)["changes"]}
    label = "small_fp32, in this process"
    assert names >= {f"{label}: studies an hour", f"{label}: one study", "simpleitk, times ours", "limit, times ours"}


def test_a_lower_rate_is_drift(scored: Path, tmp_path: Path) -> None:
    document = read(scored)
    for metric in document["metrics"]:
        if metric["unit"] == "studies/h":
            metric.update({name: metric[name] / 100 for name in ("value", "low", "high")})
    (tmp_path / "report.json").write_text(json.dumps(document))
    result = CliRunner().invoke(main, ["drift", str(scored), str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 3
    assert read(tmp_path / "out")["worse"] == ["small_fp32, in this process: studies an hour"]


def test_drawn_studies_differ_and_their_mips_are_those_of_pydicom_and_plain_numpy(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for seed, folder in enumerate(folders):
        write_study(folder, StudyShape(12, 96, 3, "native"), seed)
    mip_times.check_mips(folders)
    assert len({mip_hash(reference_mip(folder)) for folder in folders}) == 2


def test_a_study_whose_mip_is_one_off_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_off(folder: Path) -> Mip:
        mip: Mip = reference_mip(folder).astype(np.float32)
        mip[5, 7] += 1
        return mip

    monkeypatch.setattr(mip_times, "our_reader", lambda: one_off)
    result = CliRunner().invoke(main, ["study", *SMALL, "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "not that of the reference" in result.output
    assert not (tmp_path / "out").exists()


def test_a_contender_with_another_mip_is_not_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_study(tmp_path / "study", StudyShape(8, 64, 2, "native"))
    answers = dict.fromkeys(("ours", "limit"), mip_hash(reference_mip(tmp_path / "study")))
    answers["simpleitk"] = mip_hash(np.zeros((64, 64)))
    figures = {"ms": 1.0, "over_mb": 1.0, "peak_mb": 1.0}
    monkeypatch.setattr(mip_times, "_run", lambda name, _: {**figures, "mip": answers[name]})
    with pytest.raises(BackendError, match="MIP of simpleitk"):
        mip_times.time_mips(tmp_path / "study", "native", 1)


@pytest.mark.parametrize(
    "change", [lambda text: text.replace(b'"score": ', b'"score": 1'), lambda _: b""], ids=["score", "empty"]
)
def test_a_timed_run_with_other_results_is_not_reported(
    change: Callable[[bytes], bytes], repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = score_times.results_of_the_command
    monkeypatch.setattr(
        score_times,
        "results_of_the_command",
        lambda *given: {name: change(text) for name, text in genuine(*given).items()},
    )
    arguments = ["study", *SMALL, *SCORED, "--model", str(repository / "small_fp32"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "other results than fcdd-score does" in result.output
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["study", *SMALL, "--model", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert result.output.startswith("Error: ") and "Traceback" not in result.output
