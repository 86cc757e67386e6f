"""The figures of a release as Markdown, from its reports alone: accuracy by precision, speed, whole studies."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fcdd_benchmarks.accuracy.report import AccuracyReport
from fcdd_benchmarks.compare.report import OURS_BY_PRECISION, CompareReport
from fcdd_benchmarks.kinds import read_report
from fcdd_benchmarks.latency.report import LatencyReport
from fcdd_benchmarks.report.document import Report, ReportError
from fcdd_benchmarks.report.estimate import Estimate, NamedEstimate
from fcdd_benchmarks.study.report import StudyReport
from fcdd_export.markdown import markdown_table

ACCURACY = {
    "phantom/prevalence_50": "phantom breasts, half anomalous",
    "phantom/prevalence_2": "phantom breasts, 2 % anomalous",
    "vgg/accuracy": "VGG11 trunk, hard drawn images",
}
"""Folder -> what the images and the network are."""
COMPARE, LATENCIES = "vgg/compare", ("vgg/latency", "vgg/latency_triton")
STUDIES = {"study/native": "uncompressed", "study/jpeg-ls": "JPEG-LS", "study/jpeg-lossless": "JPEG lossless"}
"""Folder -> what a reader calls its transfer syntax."""
PRECISIONS = ("fp32", "fp16", "int8")
SHOWN = ("ROC AUC", "specificity at 95 % sensitivity", "pixelwise AUC")
NOISY = "The machine was noisy while these ratios were measured; see the report."
NOTHING = "`make bench` writes the figures of its machine here."

R = TypeVar("R", bound=Report)


@dataclass(frozen=True)
class Results:
    """Those reports of a release that there are, by their folders."""

    accuracy: dict[str, AccuracyReport]
    compare: CompareReport | None
    latency: dict[str, LatencyReport]
    studies: dict[str, StudyReport]

    @classmethod
    def read(cls, folder: Path) -> "Results":
        """Read them.

        Raises
        ------
        ReportError
            If one is damaged, or of another release or kind.
        """

        def found(names: Iterable[str], kind: type[R]) -> dict[str, R]:
            reports: dict[str, R] = {}
            for name in names:
                if (folder / name / "report.json").exists():
                    report = read_report(folder / name).report
                    if not isinstance(report, kind):
                        raise ReportError(f"{folder / name} holds a report of {report.benchmark}; run make bench again")
                    reports[name] = report
            return reports

        compare = found((COMPARE,), CompareReport).get(COMPARE)
        return cls(
            found(ACCURACY, AccuracyReport), compare, found(LATENCIES, LatencyReport), found(STUDIES, StudyReport)
        )

    @property
    def noisy(self) -> bool:
        """Whether the machine was, while the VGG network was compared."""
        contenders = () if self.compare is None else self.compare.contenders
        return any(result.timing is not None and result.timing.noisy for result in contenders)

    def machines(self) -> str:
        """Name the hardware of the reports; if they were made on several machines, all of it."""
        compare = {} if self.compare is None else {COMPARE: self.compare}
        seen: dict[str, None] = {}
        for report in (self.accuracy | compare | self.latency | self.studies).values():
            facts = dict(report.machine.rows())
            gpu = "no GPU" if facts["GPU"] == "none" else facts["GPU"]
            seen[f"{facts['Processor']}, {facts['Memory']}, {gpu}"] = None
        return f"Measured on {'; and on '.join(seen)}. In brackets: 95 % intervals."


def all_figures(results: Results, link: Callable[[str], str]) -> str:
    """Return every table.

    Parameters
    ----------
    link : makes the address of a report from its folder
    """
    parts = [*_accuracy(results, link), *_speed(results, link), *_studies(results, link)]
    return "\n\n".join([results.machines(), *parts]) if parts else NOTHING


def headline(results: Results) -> str:
    """Return the one table that a newcomer decides by: accuracy on phantoms, time an image, studies an hour."""
    rows: list[tuple[str, ...]] = []
    phantom, study = results.accuracy.get("phantom/prevalence_50"), results.studies.get("study/native")
    if phantom is not None:
        rows += _accuracy_rows(phantom)
    speeds: list[tuple[str, dict[str, Estimate], str]] = []
    if results.compare is not None:
        ours = ours_ms(results.compare)
        ms = {precision: ours[name] for precision, name in OURS_BY_PRECISION.items() if name in ours}
        speeds.append((f"ms an image, VGG11 trunk, batch {results.compare.options.batch}", ms, ".1f"))
    if study is not None and study.scoring is not None:
        rate = {study.models[0].precision: study.scoring.studies_per_hour}
        speeds.append((f"studies an hour, DICOM to results, {study.scoring.model}", rate, ",.0f"))
    for what, found, form in speeds:
        rows.append((what, *(_text(found[precision], form) if precision in found else "" for precision in PRECISIONS)))
    if not rows:
        return NOTHING
    notes = []
    if phantom is not None:
        notes.append(
            f"Accuracy: the bundled network on {len(phantom.images.labels):,} drawn breasts, half of them anomalous; "
            "FP16 and INT8 as changes against FP32 on the same images. Drawings say nothing about patients."
        )
    if results.noisy:
        notes.append("The machine was noisy while the times of an image were compared.")
    table = "\n".join(markdown_table(("", "FP32", "FP16", "INT8"), rows, numbers=True))
    return "\n\n".join([results.machines(), table, *notes])


def ours_ms(compare: CompareReport) -> dict[str, Estimate]:
    """Return the median times an image of our own ways to run the network, by name."""
    return {
        result.name: result.timing.median_ms.scaled(1 / compare.options.batch)
        for result in compare.contenders
        if result.timing is not None and result.name.startswith("fcdd-edge")
    }


def named(estimates: Iterable[NamedEstimate], name: str) -> NamedEstimate | None:
    """Return the estimate of a name, None if there is none."""
    return next((estimate for estimate in estimates if estimate.name == name), None)


def _accuracy(results: Results, link: Callable[[str], str]) -> Iterator[str]:
    rows = []
    for folder, report in results.accuracy.items():
        what = f"[{ACCURACY[folder]}]({link(folder)}), {len(report.images.labels):,}"
        for row in _accuracy_rows(report):
            rows.append((what, *row))
            what = ""
    if rows:
        yield "\n".join(markdown_table(("accuracy", "", "FP32", "FP16, change", "INT8, change"), rows))
        yield (
            "Changes are paired, on the same images. FP16 is computed with every tensor rounded to half, as GPUs do; "
            "INT8 that is marked as refused does not pass the export's gate: its figures are for information, since an "
            "AUC that holds does not make thresholds and maps right. Drawings say nothing about patients."
        )


def _accuracy_rows(report: AccuracyReport) -> Iterator[tuple[str, ...]]:
    """Give a row a figure: its name, FP32's value, and the changes of FP16 and INT8."""
    models = {model.precision: model for model in report.models}
    for figure in SHOWN:
        base = named(models["fp32"].estimates, figure)
        if base is None:
            continue
        cells = [_text(base, ".3f")]
        for model in (models.get("fp16"), models.get("int8")):
            change = None if model is None else named(model.changes, figure)
            if model is None or change is None:
                cells.append("not measured")
            else:
                cells.append(_text(change, "+.4f") + (", refused" if model.notes else ""))
        yield (figure, *cells)


def _speed(results: Results, link: Callable[[str], str]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = []
    compare = results.compare
    if compare is not None:
        for target in compare.targets:
            figure = "" if target.figure is None else _text(target.figure, ".2f")
            rows.append((f"[{target.name}]({link(COMPARE)})", target.target, figure, target.verdict))
        for name, ms in ours_ms(compare).items():
            what = f"{name}, ms an image, batch {compare.options.batch}"
            rows.append((f"[{what}]({link(COMPARE)})", "", _text(ms, ".1f"), ""))
    for folder, report in results.latency.items():
        for model in dict.fromkeys(point.model for point in report.points):
            points = [point for point in report.points if point.model == model]
            for point in points:
                if (point.batch, point.concurrency) == (1, 1):
                    single = _text(point.summary.p50, ".1f")
                    rows.append((f"[{model}: ms of a single image]({link(folder)})", "", single, ""))
            most = max(point.images_per_second for point in points)
            rows.append((f"[{model}: most images a second]({link(folder)})", "", f"{most:.0f}", ""))
    if rows:
        yield "\n".join(markdown_table(("VGG11 trunk on this CPU", "target", "measured", ""), rows))
    if results.noisy:
        yield NOISY


def _studies(results: Results, link: Callable[[str], str]) -> Iterator[str]:
    rows = []
    for folder, report in results.studies.items():
        what = f"[{STUDIES[folder]}]({link(folder)})"
        if (scoring := report.scoring) is not None:
            rate, one = _text(scoring.studies_per_hour, ",.0f"), _text(scoring.one_ms, ",.0f")
            rows.append((f"{what}: {scoring.model}: studies an hour", f"{rate} studies/h"))
            rows.append((f"{what}: {scoring.model}: one study", f"{one} ms"))
    if rows:
        yield "\n".join(markdown_table(("whole studies, DICOM files to results", "measured"), rows))


def _text(estimate: Estimate, form: str) -> str:
    # Adding 0 turns a rounded -0 into 0.
    value, low, high = (round(end, 4) + 0.0 for end in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high).text(form)
