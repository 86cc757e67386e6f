"""What all benchmarks write: three files that say the same, and a schema that refuses what is missing."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from fcdd_benchmarks.report.schema import check_document
from fcdd_benchmarks.report.write import Metric, Plot, Report, Section, write_report
from fcdd_benchmarks.timing.machine import machine_facts

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>'
OPTIONS = {"slices": 12, "size": 96, "phases": 2, "transfer_syntax": "native", "repeats": 1}


def make_report(**document: Any) -> Report:
    return Report(
        benchmark="study",
        title="A <study>",
        lead="Few & small.",
        command="fcdd-bench study",
        machine=machine_facts(("numpy",)),
        sections=(Section("Times", "", ("", "ms"), (("a|b", "1"),)),),
        plots=(Plot("Line", SVG, "svg", "What it shows."),),
        metrics=(Metric("ours", 1.0, 0.9, 1.1, "lower", "ms"),),
        document={"options": OPTIONS, "timings": [], "scoring": None, "models": []} | document,
    )


def test_the_three_files_are_written_and_nothing_else(tmp_path: Path) -> None:
    markdown = write_report(make_report(), tmp_path / "new" / "folder")
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
    ]
    assert (tmp_path / "new" / "folder" / "report.md").read_text() == markdown
    check_document(json.loads((tmp_path / "new" / "folder" / "report.json").read_text()))


def test_text_is_escaped_in_the_page_and_bars_in_the_table(tmp_path: Path) -> None:
    markdown = write_report(make_report(), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "A &lt;study&gt;" in page and "A <study>" not in page
    assert "Few &amp; small." in page
    assert "a\\|b" in markdown


def test_every_report_says_what_it_is_for_and_what_it_was_measured_on(tmp_path: Path) -> None:
    markdown = write_report(make_report(), tmp_path)
    page = (tmp_path / "report.html").read_text()
    facts = machine_facts(("numpy",))
    for text in (markdown, page):
        assert "Research use only" in text
        assert facts["processor"] in text and f"numpy {facts['versions']['numpy']}" in text


def test_a_number_that_is_none_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_report(make_report(extra=float("nan")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def sound_document(tmp_path: Path) -> dict[str, Any]:
    write_report(make_report(), tmp_path)
    document: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
    return document


@pytest.mark.parametrize(
    "key", ["benchmark", "machine", "metrics", "command", "options", "timings", "scoring", "models"]
)
def test_the_schema_refuses_a_document_without_an_entry(key: str, tmp_path: Path) -> None:
    document = sound_document(tmp_path)
    del document[key]
    with pytest.raises(ValueError, match=key):
        check_document(document)


def test_the_schema_refuses_other_types_versions_and_kinds(tmp_path: Path) -> None:
    document = sound_document(tmp_path)
    wrong: list[dict[str, Any]] = [copy.deepcopy(document) for _ in range(4)]
    wrong[0]["options"]["slices"] = True
    wrong[1]["metrics"][0]["value"] = "1"
    wrong[2]["schema_version"] = 0
    wrong[3]["benchmark"] = "horoscope"
    for one, words in zip(wrong, ["options.slices", r"metrics\[0\].value", "version 0", "horoscope"], strict=True):
        with pytest.raises(ValueError, match=words):
            check_document(one)
