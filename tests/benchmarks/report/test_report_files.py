"""What all benchmarks write: three files that say the same; reading refuses report.json where something is missing."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reports import read_back
from fcdd_benchmarks.kinds import KINDS, read_report
from fcdd_benchmarks.report.document import ReportError
from fcdd_benchmarks.report.estimate import Estimate
from fcdd_benchmarks.report.machine import this_machine
from fcdd_benchmarks.report.page import Page, Plot, Section, write_report
from fcdd_benchmarks.study.report import StudyOptions, StudyReport

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
COMMITTED = sorted(path for path in RESULTS.rglob("report.json") if "gpu" not in path.parts)
"""Those that fcdd-bench wrote; figures of a GPU are made by scripts of their own."""
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>'
PAGE = Page("Few & small.", (Section("Times", "", ("", "ms"), (("a|b", "1"),)),), (Plot("Line", SVG, "It shows."),))


def make_report(value: float = 1.0) -> StudyReport:
    return StudyReport(
        title="A <study>",
        command="fcdd-bench study",
        machine=this_machine(("numpy",)),
        metrics=(Estimate(value, 0.9, 1.1).metric("ours", "lower", "ms"),),
        options=StudyOptions(12, 96, 2, "native", repeats=1, studies=2),
        models=(),
        timings=(),
        scoring=None,
    )


def test_the_three_files_are_written_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    markdown = write_report(make_report(), PAGE, out)
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json", "report.md"]
    assert (out / "report.md").read_text() == markdown
    read_back(out)
    assert read_report(out).report == make_report()


def test_text_is_escaped_in_the_page_and_bars_in_the_table(tmp_path: Path) -> None:
    markdown = write_report(make_report(), PAGE, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "A &lt;study&gt;" in page and "A <study>" not in page
    assert "Few &amp; small." in page
    assert "a\\|b" in markdown


def test_every_report_says_what_it_is_for_and_what_it_was_measured_on(tmp_path: Path) -> None:
    markdown = write_report(make_report(), PAGE, tmp_path)
    machine = this_machine(("numpy",))
    for text in (markdown, (tmp_path / "report.html").read_text()):
        assert "Research use only" in text
        assert machine.processor in text and f"numpy {machine.versions['numpy']}" in text


def test_a_number_that_is_none_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_report(make_report(float("nan")), PAGE, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_committed_reports_are_read(path: Path) -> None:
    report = read_report(path).report
    assert type(report) is KINDS[report.benchmark]
    assert report.metrics


def without(key: str) -> Any:
    return lambda document: document.pop(key)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        *(
            (without(key), key)
            for key in ("benchmark", "machine", "metrics", "options", "timings", "scoring", "models")
        ),
        (lambda document: document["options"].update(slices=True), "True is no int"),
        (lambda document: document["metrics"][0].update(value="1"), "'1' is no float"),
        (lambda document: document["metrics"].append(5), "5 is no set of Metric"),
        (lambda document: document.update(machine=[]), "no set of Machine"),
        (lambda document: document.update(schema_version=0), "version 0"),
        (lambda document: document.update(benchmark="horoscope"), "horoscope"),
        (lambda document: document.update(benchmark=[]), "no benchmark is called"),
    ],
)
def test_a_report_that_lacks_or_mistypes_an_entry_is_refused(damage: Any, words: str, tmp_path: Path) -> None:
    write_report(make_report(), PAGE, tmp_path)
    path = tmp_path / "report.json"
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ReportError, match=words):
        read_report(tmp_path)


def test_figures_that_were_retired_since_are_left_out(tmp_path: Path) -> None:
    write_report(make_report(), PAGE, tmp_path)
    path = tmp_path / "report.json"
    document = json.loads(path.read_text())
    document["moon"] = "full"
    document["options"]["moon"] = document["metrics"][0]["moon"] = 1
    path.write_text(json.dumps(document))
    assert read_report(tmp_path).report == make_report()


def test_estimates_turn_into_other_units_and_rates_with_their_ends() -> None:
    time_ms = Estimate(20.0, 10.0, 40.0)
    assert time_ms.scaled(0.5) == Estimate(10.0, 5.0, 20.0)
    assert time_ms.reciprocal(1000) == Estimate(50.0, 25.0, 100.0)
    assert Estimate.of_runs([3.0, 1.0, 2.0]) == Estimate(2.0, 1.0, 3.0)
    assert time_ms.text(".1f") == "20.0 (10.0 to 40.0)"
