"""What `make bench` runs and writes: README equals its reports, and its steps are the commands that exist."""

import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from fcdd_benchmarks.accuracy.operating_point import ProposedPoint
from fcdd_benchmarks.accuracy.report import AccuracyOptions, AccuracyReport, ImageSet, ModelAccuracy
from fcdd_benchmarks.compare.report import (
    CompareOptions,
    CompareReport,
    ContenderResult,
    ContenderTiming,
    HeatmapTimes,
    SpeedTarget,
)
from fcdd_benchmarks.report.document import ReportError
from fcdd_benchmarks.report.estimate import Estimate
from fcdd_benchmarks.report.machine import this_machine
from fcdd_benchmarks.report.page import Page, write_report
from fcdd_export.gate.drift import Drift
from fcdd_runtime.errors import FcddError
from release_benchmark.figures import NOTHING, Results, all_figures, headline
from release_benchmark.pages import BEGIN, BENCHMARKS, END, PLOT, README, benchmarks_page, with_headline
from release_benchmark.plot import HASH_KEY, plot_of, shown
from release_benchmark.setting import RESULTS, Setting
from release_benchmark.steps import STEPS

ROOT = Path(__file__).parents[2]
STALE = "run `python -m release_benchmark --step readme`"
COMMON: dict[str, Any] = {"title": "A title", "command": "fcdd-bench", "machine": this_machine(()), "metrics": ()}
LINK = "report of {}".format


def test_readme_and_the_docs_say_what_the_committed_reports_say() -> None:
    results, text = Results.read(ROOT / RESULTS), (ROOT / README).read_text(encoding="utf-8")
    assert with_headline(text, results) == text, STALE
    assert benchmarks_page(results) == (ROOT / BENCHMARKS).read_text(encoding="utf-8"), STALE


def test_every_report_that_the_docs_link_to_is_there() -> None:
    text = (ROOT / BENCHMARKS).read_text(encoding="utf-8")
    links = set(re.findall(r"\]\((.*?)\)", text))
    assert len(links) > 3
    assert all((ROOT / BENCHMARKS.parent / link).exists() for link in links)


def test_the_headline_is_one_short_table_of_the_figures_in_the_docs() -> None:
    results = Results.read(ROOT / RESULTS)
    rows = [line for line in headline(results).splitlines() if line.startswith("|")][2:]
    assert 0 < len(rows) <= 12
    figures = [cell.strip() for row in rows for cell in row.split("|")[2:-1] if cell.strip()]
    assert all(figure in all_figures(results, LINK) for figure in figures)


def test_the_plot_in_the_docs_shows_the_committed_reports() -> None:
    figures = shown(Results.read(ROOT / RESULTS))
    if figures is None:
        assert not (ROOT / PLOT).exists(), STALE
        return
    with Image.open(ROOT / PLOT) as plot:
        assert plot.info[HASH_KEY] == figures.sha256(), STALE


def around(value: float) -> Estimate:
    return Estimate(value, value - 0.01, value + 0.01)


def accuracy_report() -> AccuracyReport:
    names: dict[str, Any] = {"network": "FCDD_CNN224", "snapshot_sha256": "", "artefact_sha256": ""}
    models = tuple(
        ModelAccuracy(
            name=f"m_{precision}",
            precision=precision,
            notes=("accepted",) if precision == "int8" else (),
            estimates=(around(0.9).named("ROC AUC"),),
            changes=() if precision == "fp32" else (around(0.001).named("ROC AUC"),),
            scores=(0.1, 0.2),
            pixel_aucs=(None, None),
            **names,
        )
        for precision in ("fp32", "fp16", "int8")
    )
    point = ProposedPoint(0.95, around(1.0).named("threshold"), None, 0)
    options, images = AccuracyOptions(0.02, 0.95, 100), ImageSet("", (0, 1), None)
    return AccuracyReport(**COMMON, options=options, images=images, models=models, operating_point=point)


def compare_report(ms: float = 80.0, noisy: bool = False) -> CompareReport:
    time, drift = Estimate(ms, ms - 1, ms + 1), Drift("", False, 16, 0, 0, 1, 0, 0, 1, None, None, None, 0)
    timing = ContenderTiming(3, time, ms, ms, 0.0, noisy, around(1.0), around(1.0))
    names = ("fcdd-edge FP32", "OpenVINO FP32")
    return CompareReport(
        **COMMON,
        options=CompareOptions("n", "", 8, 3, int8=False),
        contenders=tuple(ContenderResult(name, "fp32", drift, None, timing) for name in names),
        absent={},
        int8_forms=(),
        targets=(SpeedTarget("FP32, times OpenVINO FP32", "at most 1.05", around(1.01), "met"),),
        images=16,
        torch_threads=1,
        heatmaps=HeatmapTimes({}, around(80.0), 0.0),
        client_overhead_ms=None,
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two small reports."""
    write_report(accuracy_report(), Page("", ()), tmp_path / "phantom" / "prevalence_50")
    write_report(compare_report(), Page("", ()), tmp_path / "vgg" / "compare")
    return tmp_path


def test_figures_and_verdicts_are_those_of_the_reports_with_the_hardware_named(results: Path) -> None:
    text, short = all_figures(Results.read(results), LINK), headline(Results.read(results))
    changes = "+0.0010 (-0.0090 to +0.0110) | +0.0010 (-0.0090 to +0.0110), refused |"
    link = "(report of phantom/prevalence_50)"
    assert f"| [phantom breasts, half anomalous]{link}, 2 | ROC AUC | 0.900 (0.890 to 0.910) | {changes}" in text
    assert "| at most 1.05 | 1.01 (1.00 to 1.02) | met |" in text
    assert "| [fcdd-edge FP32, ms an image, batch 8](report of vgg/compare) |  | 10.0 (9.9 to 10.1) |" in text
    for shown_text in (text, short):
        assert this_machine(()).processor in shown_text
    assert f"| ROC AUC | 0.900 (0.890 to 0.910) | {changes}" in short
    assert "batch 8 | 10.0 (9.9 to 10.1) |  |  |" in short


def test_a_report_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_report(compare_report(), Page("", ()), tmp_path / "study" / "native")
    with pytest.raises(ReportError, match="a report of compare"):
        Results.read(tmp_path)


@pytest.mark.parametrize("noisy", [False, True])
def test_ratios_of_a_noisy_machine_are_marked(noisy: bool, tmp_path: Path) -> None:
    write_report(compare_report(noisy=noisy), Page("", ()), tmp_path / "vgg" / "compare")
    assert ("was noisy" in all_figures(Results.read(tmp_path), LINK)) == noisy


def test_another_figure_makes_another_text_and_another_plot(results: Path) -> None:
    before = Results.read(results)
    write_report(compare_report(88.0), Page("", ()), results / "vgg" / "compare")
    after = Results.read(results)
    assert headline(after) != headline(before)
    assert all_figures(after, LINK) != all_figures(before, LINK)
    old, new = shown(before), shown(after)
    assert old is not None and new is not None and old.sha256() != new.sha256()


def test_the_plot_carries_the_hash_of_what_it_shows(results: Path) -> None:
    figures = shown(Results.read(results))
    assert figures is not None
    assert [change.name in figures.refused for change in figures.changes] == [False, True]
    with Image.open(io.BytesIO(plot_of(figures))) as plot:
        assert plot.info[HASH_KEY] == figures.sha256()


def test_only_what_stands_between_the_markers_is_replaced(results: Path) -> None:
    text = with_headline(f"before {BEGIN} old {END} after", Results.read(results))
    assert text.startswith(f"before {BEGIN}") and text.endswith(f"{END} after") and " old " not in text
    with pytest.raises(FcddError, match="put both back"):
        with_headline("no markers", Results.read(results))


def test_without_reports_nothing_is_claimed_and_a_damaged_one_is_refused(tmp_path: Path, results: Path) -> None:
    nothing = Results.read(tmp_path / "none")
    assert headline(nothing) == all_figures(nothing, LINK) == NOTHING
    path = results / "vgg" / "compare" / "report.json"
    document = json.loads(path.read_text())
    del document["targets"]
    path.write_text(json.dumps(document))
    with pytest.raises(ReportError, match="targets"):
        Results.read(results)


def test_a_small_run_and_random_weights_leave_the_committed_reports_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = Setting.of(small=True, reference_data=None)
    assert RESULTS not in (small.results, *small.results.parents)
    full = Setting.of(small=False, reference_data=None)
    trained = dataclasses.replace(full, trained_vgg=Path("trained_vgg"))
    assert full.vgg_results != trained.vgg_results
    with pytest.raises(FcddError, match="FCDD_REFERENCE_DATA"):
        Setting.of(small=False, reference_data=str(tmp_path))


def test_a_step_that_there_is_not_is_refused() -> None:
    from release_benchmark.__main__ import main  # noqa: PLC0415

    result = CliRunner().invoke(main, ["--step", "nothing"])
    assert result.exit_code == 2
    assert all(name in result.output for name in STEPS)
