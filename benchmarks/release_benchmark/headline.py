"""README's figures from the reports of a release: accuracy by precision, speed against targets, whole studies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fcdd_benchmarks.report.read import WrittenReport, read_report
from fcdd_benchmarks.report.write import Metric
from fcdd_benchmarks.timing.machine import machine_rows

ACCURACY = {
    "phantom/prevalence_50": "phantom breasts, half anomalous",
    "phantom/prevalence_2": "phantom breasts, 2 % anomalous",
    "vgg/accuracy": "VGG11 trunk, hard drawn images",
}
"""Folder -> what the images and the network are."""
COMPARE, LATENCY, TRITON = "vgg/compare", "vgg/latency", "vgg/latency_triton"
STUDIES = {"native": "uncompressed", "jpeg-ls": "JPEG-LS", "jpeg-lossless": "JPEG lossless"}
"""Transfer syntax -> what a reader calls it."""
SHOWN = ("ROC AUC", "specificity at 95 % sensitivity", "pixelwise AUC")
NOTHING = "`make bench` writes the figures of its machine here."

Document = dict[str, Any]


def headline(results: Path) -> str:
    """Return the Markdown that stands between README's markers; it depends on the reports alone."""
    reports = {name: read for name in _names() if (read := written(results, name)) is not None}
    parts = [*_accuracy(reports), *_speed(reports), *_studies(reports)]
    if not parts:
        return NOTHING
    return "\n\n".join([_machine(reports), *parts])


def written(results: Path, name: str) -> WrittenReport | None:
    """Return the report in a folder of the results, None if there is no report.

    Raises
    ------
    ReportError
        If it is damaged or of another release.
    """
    return read_report(results / name) if (results / name / "report.json").exists() else None


def _names() -> tuple[str, ...]:
    return (*ACCURACY, COMPARE, LATENCY, TRITON, *(f"study/{syntax}" for syntax in STUDIES))


def _machine(reports: dict[str, WrittenReport]) -> str:
    """Name the hardware of the reports; if they were made on several machines, name all."""
    seen: dict[str, None] = {}
    for report in reports.values():
        facts = dict(machine_rows(report.document["machine"]))
        seen[f"{facts['Processor']}, {facts['Memory']}, {'no GPU' if facts['GPU'] == 'none' else facts['GPU']}"] = None
    return f"Measured on {'; and on '.join(seen)}. In brackets: 95 % intervals."


def _accuracy(reports: dict[str, WrittenReport]) -> Iterator[str]:
    rows = [row for name in ACCURACY if name in reports for row in _accuracy_rows(name, reports[name].document)]
    if rows:
        yield _table(("accuracy", "", "FP32", "FP16, change", "INT8, change"), rows)
        yield (
            "Changes are paired, on the same images. FP16 is computed with every tensor rounded to half, as GPUs do; "
            "INT8 that is marked as refused does not pass the export's gate: its figures are for information, since an "
            "AUC that holds does not make thresholds and maps right. Drawings say nothing about patients."
        )


def _accuracy_rows(name: str, document: Document) -> Iterator[tuple[str, ...]]:
    models = {model["precision"]: model for model in document["models"]}
    what = f"[{ACCURACY[name]}]({_link(name)}), {len(document['images']['labels']):,}"
    for figure in SHOWN:
        base = _named(models["fp32"]["estimates"], figure)
        cells = [_change(models.get(precision), figure) for precision in ("fp16", "int8")]
        if base is not None:
            yield (what, figure, _interval(base, ".3f"), *cells)
            what = ""


def _change(model: Document | None, figure: str) -> str:
    change = None if model is None else _named(model["changes"], figure)
    if model is None or change is None:
        return "not measured"
    return _interval(change, "+.4f") + (", refused" if model["notes"] else "")


def _named(estimates: list[Document], name: str) -> Document | None:
    return next((one for one in estimates if one["name"] == name), None)


def _speed(reports: dict[str, WrittenReport]) -> Iterator[str]:
    rows = [*_target_rows(reports.get(COMPARE)), *_latency_rows(reports.get(LATENCY), reports.get(TRITON))]
    if rows:
        yield _table(("VGG11 trunk on this CPU", "target", "measured", ""), rows)
    compare = reports.get(COMPARE)
    if compare is not None and any(one["timing"]["noisy"] for one in _timed(compare)):
        yield "The machine was noisy while these ratios were measured; see the report."


def _target_rows(report: WrittenReport | None) -> Iterator[tuple[str, ...]]:
    if report is None:
        return
    for one in report.document["targets"]:
        figure = "" if one["figure"] is None else _interval(one["figure"], ".2f")
        yield (f"[{one['name']}]({_link(COMPARE)})", one["target"], figure, one["verdict"])
    for one in _timed(report):
        if one["name"].startswith("fcdd-edge"):
            batch = report.document["options"]["batch"]
            ms = {key: value / batch for key, value in one["timing"]["median_ms"].items()}
            yield (f"[{one['name']}, ms an image, batch {batch}]({_link(COMPARE)})", "", _interval(ms, ".1f"), "")


def _timed(compare: WrittenReport) -> list[Document]:
    return [one for one in compare.document["contenders"] if one["timing"] is not None]


def _latency_rows(inside: WrittenReport | None, served: WrittenReport | None) -> Iterator[tuple[str, ...]]:
    for name, report in ((LATENCY, inside), (TRITON, served)):
        for model in [] if report is None else dict.fromkeys(point["model"] for point in report.document["points"]):
            points = [point for point in report.document["points"] if point["model"] == model] if report else []
            single = next((one for one in points if (one["batch"], one["concurrency"]) == (1, 1)), None)
            most = max(point["images_per_second"] for point in points)
            if single is not None:
                yield (
                    f"[{model}: ms of a single image]({_link(name)})",
                    "",
                    _interval(single["summary"]["p50"], ".1f"),
                    "",
                )
            yield (f"[{model}: most images a second]({_link(name)})", "", f"{most:.0f}", "")


def _studies(reports: dict[str, WrittenReport]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = []
    for syntax, words in STUDIES.items():
        report = reports.get(f"study/{syntax}")
        for metric in [] if report is None else filter(_headlines, report.metrics.values()):
            unit = "" if metric.unit == "times" else f" {metric.unit}"
            rows.append((f"[{words}]({_link(f'study/{syntax}')}): {metric.name}", _metric(metric) + unit))
    if rows:
        yield _table(("whole studies, DICOM files to results", "measured"), rows)


def _headlines(metric: Metric) -> bool:
    """Choose from a study's metrics: throughput, time, and the reader that people know."""
    return metric.unit in {"studies/h", "ms"} or metric.name.startswith("SimpleITK")


def _metric(metric: Metric) -> str:
    form = ",.0f" if metric.value >= 100 else ".2f"
    return f"{metric.value:{form}} ({metric.low:{form}} to {metric.high:{form}})"


def _interval(estimate: Document, form: str) -> str:
    # Adding 0 turns a rounded -0 into 0.
    value, low, high = (f"{round(estimate[key], 4) + 0.0:{form}}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _link(name: str) -> str:
    return f"benchmarks/results/{name}/report.md"


def _table(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [headers, ("---",) * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
