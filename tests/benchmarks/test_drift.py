"""fcdd-bench drift: what it calls worse, and what it refuses to compare."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fcdd_benchmarks.cli import main
from fcdd_benchmarks.drift import independent_change
from fcdd_benchmarks.machine import machine_facts
from fcdd_benchmarks.report import Metric, Report, write_report
from fcdd_benchmarks.schema import check_document

NORMAL, ANOMALOUS = 60, 40
LABELS = [0] * NORMAL + [1] * ANOMALOUS


def write(folder: Path, benchmark: str, metrics: tuple[Metric, ...], document: dict[str, Any]) -> Path:
    report = Report(benchmark, "title", "", "command", machine_facts(("numpy",)), (), (), metrics, document)
    write_report(report, folder)
    return folder


def write_study(folder: Path, *metrics: Metric) -> Path:
    options = {"slices": 12, "size": 96, "phases": 2, "transfer_syntax": "native", "repeats": 1}
    return write(folder, "study", metrics, {"options": options, "timings": [], "scoring": None})


def ms(value: float, noise: float, name: str = "ours") -> Metric:
    return Metric(name, value, value - noise, value + noise, "lower", "ms")


def write_accuracy(folder: Path, scores: Any, images: str = "same", groups: Any = None) -> Path:
    """Write an accuracy report whose own interval of the AUC is so wide that only pairing finds a change."""
    model: dict[str, Any] = {
        "name": "fcdd",
        "network": "N",
        "precision": "fp32",
        "snapshot_sha256": "0",
        "artefact_sha256": "0",
        "notes": [],
    }
    model |= {"estimates": [], "changes": [], "scores": list(scores), "pixel_aucs": [None] * len(LABELS)}
    threshold = {"name": "threshold", "value": 0.0, "low": 0.0, "high": 0.0}
    document = {
        "options": {"prevalence": 0.02, "sensitivity": 0.95, "resamples": 200},
        "images": {"sha256": images, "labels": LABELS, "groups": groups},
        "models": [model],
        "operating_point": {"wanted_sensitivity": 0.95, "threshold": threshold, "held_out": None, "folds": 0},
    }
    return write(folder, "accuracy", (Metric("fcdd: ROC AUC", 0.8, 0.5, 1.0, "higher", ""),), document)


def drift(base: Path, new: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["drift", str(base), str(new), "--out", str(base.parent / "out"), *options])


def verdicts(folder: Path) -> dict[str, str]:
    document = json.loads((folder / "out" / "report.json").read_text())
    check_document(document)
    return {change["metric"]["name"]: change["verdict"] for change in document["changes"]}


@pytest.mark.parametrize(
    ("now", "verdict", "code"),
    [(100.0, "same", 0), (103.0, "same", 0), (110.0, "worse", 3), (90.0, "better", 0)],
)
def test_a_time_is_worse_if_it_rose_beyond_noise_and_allowance(
    now: float, verdict: str, code: int, tmp_path: Path
) -> None:
    result = drift(write_study(tmp_path / "a", ms(100, 1)), write_study(tmp_path / "b", ms(now, 1)))
    assert verdicts(tmp_path) == {"ours": verdict}
    assert result.exit_code == code, result.output


def test_a_rise_within_the_noise_of_two_runs_is_none(tmp_path: Path) -> None:
    result = drift(write_study(tmp_path / "a", ms(100, 30)), write_study(tmp_path / "b", ms(110, 30)))
    assert (verdicts(tmp_path), result.exit_code) == ({"ours": "same"}, 0)


def test_the_allowance_can_be_set(tmp_path: Path) -> None:
    base, new = write_study(tmp_path / "a", ms(100, 1)), write_study(tmp_path / "b", ms(110, 1))
    assert drift(base, new, "--slower-by", "0.2").exit_code == 0
    assert drift(base, new, "--slower-by", "0.02").exit_code == 3


def test_a_figure_that_should_be_high_is_worse_when_it_falls(tmp_path: Path) -> None:
    before, now = (Metric("ratio", value, value - 0.1, value + 0.1, "higher", "times") for value in (3.0, 2.0))
    assert drift(write_study(tmp_path / "a", before), write_study(tmp_path / "b", now)).exit_code == 3
    assert verdicts(tmp_path) == {"ratio": "worse"}


def test_a_figure_that_is_gone_fails_the_gate_and_is_named(tmp_path: Path) -> None:
    base = write_study(tmp_path / "a", ms(100, 1), ms(5, 1, "limit"))
    result = drift(base, write_study(tmp_path / "b", ms(100, 1)))
    assert result.exit_code == 3
    assert "limit" in result.stderr and "Traceback" not in result.output
    assert verdicts(tmp_path)["limit"] == "gone"


def test_the_change_of_independent_figures_has_the_interval_of_their_difference() -> None:
    """For symmetric intervals, half widths add as standard errors do."""
    change = independent_change(ms(10, 3), ms(12, 4))
    assert (change.value, change.low, change.high) == pytest.approx((2, 2 - 5, 2 + 5))


def drawn_scores() -> Any:
    return np.random.default_rng(0).normal(np.array(LABELS) * 1.5, 1.0)


def test_accuracy_on_the_same_images_is_compared_image_by_image(tmp_path: Path) -> None:
    """A loss far smaller than the interval of either figure is found."""
    before = drawn_scores()
    after = np.where(LABELS, before - 0.5, before)
    result = drift(write_accuracy(tmp_path / "a", before), write_accuracy(tmp_path / "b", after))
    assert (verdicts(tmp_path), result.exit_code) == ({"fcdd: ROC AUC": "worse"}, 3)
    assert "paired" in result.output


def test_the_same_scores_are_no_drift_and_better_ones_pass(tmp_path: Path) -> None:
    before = drawn_scores()
    base = write_accuracy(tmp_path / "a", before)
    assert drift(base, base).exit_code == 0
    assert verdicts(tmp_path) == {"fcdd: ROC AUC": "same"}
    assert drift(base, write_accuracy(tmp_path / "b", before + np.array(LABELS))).exit_code == 0
    assert verdicts(tmp_path) == {"fcdd: ROC AUC": "better"}


def test_accuracy_on_other_images_is_not_paired_and_the_report_says_so(tmp_path: Path) -> None:
    before = drawn_scores()
    after = np.where(LABELS, before - 0.5, before)
    base, new = write_accuracy(tmp_path / "a", before), write_accuracy(tmp_path / "b", after, images="others")
    result = drift(base, new)
    assert (verdicts(tmp_path), result.exit_code) == ({"fcdd: ROC AUC": "same"}, 0)
    assert "taken as independent" in result.output
    assert "| images | same | others |" in result.output


def test_a_drift_of_what_was_written_before_can_be_read_by_its_file(tmp_path: Path) -> None:
    base = write_study(tmp_path / "a", ms(100, 1)) / "report.json"
    assert drift(base, base, "--out", str(tmp_path / "out")).exit_code == 0


def refusal(result: Result) -> str:
    assert result.exit_code == 2
    assert "Traceback" not in result.output and result.stderr.count("\n") == 1
    return result.stderr


def test_reports_of_different_kinds_are_refused(tmp_path: Path) -> None:
    base = write_study(tmp_path / "a", ms(100, 1))
    assert "a report of study and one of accuracy" in refusal(
        drift(base, write_accuracy(tmp_path / "b", drawn_scores()))
    )
    assert not (tmp_path / "out").exists()


def test_reports_without_a_common_figure_are_refused(tmp_path: Path) -> None:
    base = write_study(tmp_path / "a", ms(100, 1))
    assert "no figure in common" in refusal(drift(base, write_study(tmp_path / "b", ms(1, 1, "other"))))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": 1}', '{"schema_version": 7}'])
def test_a_damaged_report_is_refused(text: str, tmp_path: Path) -> None:
    base = write_study(tmp_path / "a", ms(100, 1))
    (tmp_path / "bad.json").write_text(text)
    assert "no report of this release" in refusal(drift(base, tmp_path / "bad.json"))


def test_a_missing_report_is_refused(tmp_path: Path) -> None:
    base = write_study(tmp_path / "a", ms(100, 1))
    assert "cannot be read" in refusal(drift(base, tmp_path / "none"))
