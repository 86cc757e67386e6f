"""The report that every benchmark writes: report.json for machines, report.md and one self-contained report.html."""

import base64
import dataclasses
import html
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Literal

from fcdd_benchmarks.report.schema import SCHEMA_VERSION
from fcdd_benchmarks.timing.machine import machine_rows
from fcdd_runtime.files import replaced_file
from fcdd_runtime.report.markup import Html, joined
from fcdd_runtime.software import INTENDED_USE

MIME_TYPES = {"png": "image/png", "svg": "image/svg+xml"}


@dataclass(frozen=True)
class Metric:
    """One figure that `fcdd-bench drift` compares between two reports of a kind."""

    name: str
    """The same in every report of a kind, such as `fcdd_fp16: ROC AUC`."""
    value: float
    low: float
    """2.5 % quantile of the estimate."""
    high: float
    """97.5 % quantile."""
    better: Literal["lower", "higher"]
    unit: str
    """Such as `ms`; empty for shares and areas."""


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph and a table, each of which may be empty."""

    title: str
    text: str
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """As many cells a row as there are headers; the first is a row's name, the others are set as numbers."""


@dataclass(frozen=True)
class Plot:
    """A picture with what it shows in words."""

    title: str
    image: bytes
    """Contents of a PNG or SVG file."""
    kind: Literal["png", "svg"]
    caption: str


@dataclass(frozen=True)
class Report:
    """What a benchmark found."""

    benchmark: str
    """Its kind, which names its schema: `study`, `accuracy` and so on."""
    title: str
    lead: str
    """The paragraph under the title."""
    command: str
    """The command line that makes such a report."""
    machine: dict[str, Any]
    """From `machine_facts`."""
    sections: tuple[Section, ...]
    plots: tuple[Plot, ...]
    metrics: tuple[Metric, ...]
    document: dict[str, Any]
    """The kind's own entries of report.json; the writer adds those that all kinds have."""


def write_report(report: Report, out: Path) -> str:
    """Write report.json, report.md and report.html into a folder, made if it is missing; return the Markdown."""
    markdown = markdown_of(report)
    texts = {
        "report.json": json.dumps(document_of(report), indent=2, allow_nan=False) + "\n",
        "report.md": markdown,
        "report.html": page_of(report),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with replaced_file(out / name) as path:
            path.write_text(text, encoding="utf-8")
    return markdown


def document_of(report: Report) -> dict[str, Any]:
    """Return the contents of report.json."""
    return {
        "schema_version": SCHEMA_VERSION,
        "benchmark": report.benchmark,
        "title": report.title,
        "command": report.command,
        "machine": report.machine,
        "metrics": [dataclasses.asdict(metric) for metric in report.metrics],
        **report.document,
    }


def markdown_of(report: Report) -> str:
    """Return report.md: everything but the plots."""
    parts = [f"# {report.title}", report.lead]
    for section in (*report.sections, _measured_on(report)):
        parts += [f"## {section.title}" if section.title else "", section.text, _markdown_table(section)]
    return "\n\n".join(part for part in (*parts, INTENDED_USE) if part) + "\n"


def page_of(report: Report) -> str:
    """Return report.html. It loads nothing: styles and plots are inside."""
    values = {
        "style": Html(_packaged("report.css")),
        "title": report.title,
        "lead": report.lead,
        "use": INTENDED_USE,
        "sections": joined(_html_section(section) for section in report.sections),
        "plots": joined(_figure(plot) for plot in report.plots),
        "measured_on": Html(f'<div class="facts">{_html_section(_measured_on(report))}</div>'),
    }
    escaped = {key: value if isinstance(value, Html) else html.escape(value) for key, value in values.items()}
    return Template(_packaged("report.html.template")).substitute(escaped)


def _measured_on(report: Report) -> Section:
    rows = (*machine_rows(report.machine), ("Command", report.command))
    return Section("Measured on", "", ("", "this machine"), rows)


def _markdown_table(section: Section) -> str:
    if not section.headers:
        return ""
    ruler = "|---|" + "---:|" * (len(section.headers) - 1)
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in section.rows]
    return "\n".join(["| " + " | ".join(section.headers) + " |", ruler, *lines])


def _html_section(section: Section) -> Html:
    heading = f"<h2>{html.escape(section.title)}</h2>" if section.title else ""
    text = f"<p>{html.escape(section.text)}</p>" if section.text else ""
    return Html(f"<section>{heading}{text}{_html_table(section)}</section>\n")


def _html_table(section: Section) -> str:
    if not section.headers:
        return ""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in section.headers)
    rows = "".join(f"<tr>{_html_cells(row)}</tr>\n" for row in section.rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table>"


def _html_cells(row: tuple[str, ...]) -> str:
    name, *numbers = (html.escape(cell) for cell in row)
    return f'<th scope="row">{name}</th>' + "".join(f"<td>{number}</td>" for number in numbers)


def _figure(plot: Plot) -> Html:
    source = f"data:{MIME_TYPES[plot.kind]};base64,{base64.b64encode(plot.image).decode()}"
    title, caption = html.escape(plot.title), html.escape(plot.caption)
    return Html(
        f'<figure><h2>{title}</h2><img src="{source}" alt="{title}"><figcaption>{caption}</figcaption></figure>\n'
    )


def _packaged(name: str) -> str:
    return (files("fcdd_benchmarks") / "report" / name).read_text(encoding="utf-8")
