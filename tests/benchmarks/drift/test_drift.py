"""fcdd-bench drift: what it calls worse, and what it refuses to compare."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fcdd_benchmarks.accuracy.operating_point import ProposedPoint
from fcdd_benchmarks.accuracy.report import AccuracyOptions, AccuracyReport, ImageSet, ModelAccuracy
from fcdd_benchmarks.cli import main
from fcdd_benchmarks.drift.find import independent_change
from fcdd_benchmarks.drift.report import DriftReport, FallenImage, LostImages
from fcdd_benchmarks.latency.report import LatencyOptions, LatencyReport, Point
from fcdd_benchmarks.report.document import Report, report_from_json
from fcdd_benchmarks.report.estimate import Estimate, Metric
from fcdd_benchmarks.report.machine import this_machine
from fcdd_benchmarks.report.page import Page, write_report
from fcdd_benchmarks.study.report import StudyOptions, StudyReport
from fcdd_benchmarks.timing.summary import TimingSummary

NORMAL, ANOMALOUS = 60, 40
LABELS = (0,) * NORMAL + (1,) * ANOMALOUS
COMMON: dict[str, Any] = {"title": "title", "command": "command", "machine": this_machine(("numpy",))}


def write(folder: Path, report: Report) -> Path:
    write_report(report, Page("", ()), folder)
    return folder


def write_study(folder: Path, *metrics: Metric) -> Path:
    options = StudyOptions(12, 96, 2, "native", repeats=1, studies=2)
    return write(folder, StudyReport(**COMMON, metrics=metrics, options=options, models=(), timings=(), scoring=None))


def ms(value: float, noise: float, name: str = "ours") -> Metric:
    return Estimate(value, value - noise, value + noise).metric(name, "lower", "ms")


def write_latency(folder: Path, metrics: tuple[Metric, ...], points: list[Point]) -> Path:
    options = LatencyOptions((), (), (1, 8), (1,), 1.0)
    parts: dict[str, Any] = {"models": (), "open_loops": (), "rate_limits": ()}
    return write(folder, LatencyReport(**COMMON, **parts, metrics=metrics, options=options, points=tuple(points)))


def latency_point(batch: int, samples: int) -> Point:
    time, rate = Estimate(5.0, 4.9, 5.1), Estimate(200.0, 190.0, 210.0)
    summary = TimingSummary(samples, 5.0, 6.0, 0.0, time, time, time, time if samples >= 100 else None, False)
    return Point("fcdd", batch, 1, summary, 200.0, rate, True, None)


def accuracy(
    scores: Any,
    images: str = "same",
    pixel_auc: float | None = None,
    sensitivity: float = 0.95,
    prevalence: float = 0.02,
) -> AccuracyReport:
    """An accuracy report whose own interval of the AUC is so wide that only pairing finds a change."""
    answers: dict[str, Any] = {"scores": tuple(map(float, scores)), "pixel_aucs": (pixel_auc,) * len(LABELS)}
    names: dict[str, Any] = {"network": "N", "precision": "fp32", "snapshot_sha256": "0", "artefact_sha256": "0"}
    point = ProposedPoint(sensitivity, Estimate(0.0, 0.0, 0.0).named("threshold"), None, 0)
    figures = ["ROC AUC"] if pixel_auc is None else ["ROC AUC", "pixelwise AUC"]
    return AccuracyReport(
        **COMMON,
        metrics=tuple(Estimate(0.8, 0.5, 1.0).metric(f"fcdd: {name}", "higher") for name in figures),
        options=AccuracyOptions(prevalence, sensitivity, 200),
        images=ImageSet(images, LABELS, None),
        models=(ModelAccuracy(name="fcdd", notes=(), estimates=(), changes=(), **names, **answers),),
        operating_point=point,
    )


def write_accuracy(folder: Path, scores: Any, **changes: Any) -> Path:
    return write(folder, accuracy(scores, **changes))


def drift(base: Path, new: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["drift", str(base), str(new), "--out", str(base.parent / "out"), *options])


def written(folder: Path) -> DriftReport:
    text = (folder / "out" / "report.json").read_text()
    found = report_from_json(text.encode(), {"drift": DriftReport})
    assert found.to_json() == text
    return found


def verdicts(folder: Path) -> dict[str, str]:
    return {change.metric.name: change.verdict for change in written(folder).changes}


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
    before, now = (Estimate(value, value - 0.1, value + 0.1).metric("ratio", "higher", "times") for value in (3.0, 2.0))
    assert drift(write_study(tmp_path / "a", before), write_study(tmp_path / "b", now)).exit_code == 3
    assert verdicts(tmp_path) == {"ratio": "worse"}


def test_a_figure_that_is_gone_fails_the_gate_and_is_named(tmp_path: Path) -> None:
    base = write_study(tmp_path / "a", ms(100, 1), ms(5, 1, "limit"))
    result = drift(base, write_study(tmp_path / "b", ms(100, 1)))
    assert result.exit_code == 3
    assert "limit" in result.stderr and "Traceback" not in result.output
    assert verdicts(tmp_path)["limit"] == "gone"


def test_a_percentile_with_too_few_samples_is_not_compared_and_a_point_that_vanished_is_gone(tmp_path: Path) -> None:
    p50, p99 = (ms(5, 0.1, f"fcdd, batch 1, concurrency 1: {name}") for name in ("p50", "p99"))
    other = ms(5, 0.1, "fcdd, batch 8, concurrency 1: p99")
    base = write_latency(tmp_path / "a", (p50, p99), [latency_point(1, 100)])
    result = drift(base, write_latency(tmp_path / "b", (p50,), [latency_point(1, 99)]))
    assert verdicts(tmp_path) == {p50.name: "same", p99.name: "not compared"}
    assert result.exit_code == 0, result.output
    assert "1 not compared" in result.output and "too few samples" in result.output
    base = write_latency(tmp_path / "a", (p50, p99, other), [latency_point(1, 100), latency_point(8, 100)])
    assert drift(base, write_latency(tmp_path / "b", (p50,), [latency_point(1, 99)])).exit_code == 3
    assert verdicts(tmp_path) == {p50.name: "same", p99.name: "not compared", other.name: "gone"}


@pytest.mark.parametrize(("change", "verdict", "code"), [(-1e-9, "same", 0), (-9e-5, "same", 0), (-2e-4, "worse", 3)])
def test_the_last_bits_of_every_map_are_no_drift_and_the_fourth_decimal_is(
    change: float, verdict: str, code: int, tmp_path: Path
) -> None:
    """The change is the same in every image, so its paired interval has no width."""
    base = write_accuracy(tmp_path / "a", drawn_scores(), pixel_auc=0.9)
    result = drift(base, write_accuracy(tmp_path / "b", drawn_scores(), pixel_auc=0.9 + change))
    assert verdicts(tmp_path) == {"fcdd: ROC AUC": "same", "fcdd: pixelwise AUC": verdict}
    assert result.exit_code == code, result.output


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


def few_scores(*anomalous: float) -> Any:
    """Return scores of which the normals are 0.1 and all anomalous ones but the first few are 1."""
    scores = np.array(LABELS) * 0.9 + 0.1
    scores[NORMAL : NORMAL + len(anomalous)] = anomalous
    return scores


def lost_images(folder: Path) -> LostImages:
    (found,) = written(folder).lost_images
    return found


def write_few(folder: Path, *anomalous: float, **changes: Any) -> Path:
    return write_accuracy(folder, few_scores(*anomalous), **changes)


def test_a_lost_anomaly_fails_the_gate_even_where_no_interval_shows_it(tmp_path: Path) -> None:
    """One of 40 lost: some resamples draw it not at all, so the interval of the AUC's change holds 0."""
    result = drift(write_few(tmp_path / "a"), write_few(tmp_path / "b", 1.0, 0.0))
    assert verdicts(tmp_path) == {"fcdd: ROC AUC": "same"}
    assert result.exit_code == 3
    assert "fcdd: 1 of 40 flagged anomalous images is no longer flagged" in result.stderr
    assert lost_images(tmp_path).lost == (FallenImage(2, 1.0, 0.0),)
    assert "anomalous image 2 (1 to 0)" in result.output


def test_newly_flagged_anomalies_make_up_for_no_lost_one(tmp_path: Path) -> None:
    """The base flags 38 of 40 for a sensitivity of 95 %; the new one flags the two others and loses one."""
    result = drift(write_few(tmp_path / "a", 0.05, 0.05), write_few(tmp_path / "b", 1.0, 1.0, 0.05))
    found = lost_images(tmp_path)
    assert (found.flagged, len(found.lost), found.gained) == (38, 1, 2)
    assert result.exit_code == 3


@pytest.mark.parametrize(("now", "lost", "edge", "code"), [(0.4965, 0, 1, 0), (0.494, 1, 0, 3)])
def test_an_anomaly_that_rounding_can_move_across_the_edge_is_listed_and_not_lost(
    now: float, lost: int, edge: int, code: int, tmp_path: Path
) -> None:
    """The lowest anomaly is at 0.5 and the next lower score at 0.495, so the threshold is 0.4975."""
    before, after = few_scores(0.5), few_scores(now)
    before[0] = after[0] = 0.495
    base = write_accuracy(tmp_path / "a", before, sensitivity=1.0)
    result = drift(base, write_accuracy(tmp_path / "b", after), "--less-accurate-by", "1")
    found = lost_images(tmp_path)
    assert (len(found.lost), len(found.at_the_edge), result.exit_code) == (lost, edge, code), result.output


def test_lost_anomalies_are_counted_where_only_the_prevalence_differs(tmp_path: Path) -> None:
    assert drift(write_few(tmp_path / "a"), write_few(tmp_path / "b", 0.0, prevalence=0.1)).exit_code == 3
    assert len(lost_images(tmp_path).lost) == 1


def test_other_images_leave_losses_uncounted_and_the_report_says_so(tmp_path: Path) -> None:
    result = drift(write_few(tmp_path / "a"), write_few(tmp_path / "b", 0.0, images="others"))
    assert result.exit_code == 0
    assert "nothing says whether any was lost" in result.output


def test_the_report_says_that_same_means_not_found_worse(tmp_path: Path) -> None:
    base = write_study(tmp_path / "a", ms(100, 1))
    assert "Same means that it was not found worse" in drift(base, base).output


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
