"""fcdd-bench study, small: its structure and that it checks what it times; times themselves are no test."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fcdd_benchmarks import study
from fcdd_benchmarks.cli import main
from fcdd_benchmarks.schema import check_document


def run(out: Path, *options: str) -> dict[str, object]:
    arguments = ["study", "--slices", "12", "--size", "96", "--repeats", "2", "--out", str(out), *options]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert result.output.strip() == (out / "report.md").read_text().strip()
    document: dict[str, object] = json.loads((out / "report.json").read_text())
    return document


def test_a_report_names_contenders_machine_and_versions(tmp_path: Path) -> None:
    document = run(tmp_path)
    timings = {timing["name"]: timing for timing in document["timings"]}  # type: ignore[attr-defined]
    assert set(timings) == {"ours", "simpleitk", "limit"}
    for timing in timings.values():
        assert 0 < timing["lowest_ms"] <= timing["median_ms"] <= timing["highest_ms"]
        assert timing["ratio_low"] <= timing["ratio"] <= timing["ratio_high"]
    assert timings["ours"]["ratio"] == 1
    assert set(document["machine"]["versions"]) == {"fcdd-edge", "numpy", "pydicom", "SimpleITK"}  # type: ignore[index]


@pytest.mark.parametrize("syntax", ["rle", "jpeg-lossless", "jpeg-ls", "jpeg-2000"])
def test_compressed_studies_are_timed_against_the_same_mip(syntax: str, tmp_path: Path) -> None:
    document = run(tmp_path, "--transfer-syntax", syntax, "--phases", "3", "--repeats", "1")
    assert [timing["name"] for timing in document["timings"]] == ["ours", "simpleitk"]  # type: ignore[attr-defined]


def test_a_wrong_answer_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"ours": 1.0, "simpleitk": 2.0, "limit": 1.0}
    monkeypatch.setattr(study, "_run", lambda name, _: {"ms": 1.0, "peak_mb": 1.0, "sum": answers[name]})
    with pytest.raises(RuntimeError, match="do not agree"):
        study.run_study_benchmark(study.StudyOptions(8, 64, 2, "native", 1), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_report_satisfies_its_schema_and_can_be_compared_with_itself(tmp_path: Path) -> None:
    document = run(tmp_path / "study")
    check_document(document)
    result = CliRunner().invoke(main, ["drift", *[str(tmp_path / "study")] * 2, "--out", str(tmp_path / "drift")])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "study").iterdir()) == ["report.html", "report.json", "report.md"]
