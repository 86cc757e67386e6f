"""What people see of a report: the same text, tables and plots as Markdown and as one HTML page."""

import base64
from dataclasses import dataclass
from pathlib import Path

from fcdd_benchmarks.report.document import Report
from fcdd_export.markdown import markdown_table
from fcdd_runtime.files import replaced_file
from fcdd_runtime.report.pages import page_environment
from fcdd_runtime.software import INTENDED_USE

PAGES = page_environment("fcdd_benchmarks.report")


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
    svg: bytes
    """Contents of an SVG file."""
    caption: str

    @property
    def source(self) -> str:
        """Return what an `img` of a page shows."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()}"


@dataclass(frozen=True)
class Page:
    """What is said of a report's figures."""

    lead: str
    """The paragraph under the title."""
    sections: tuple[Section, ...]
    plots: tuple[Plot, ...] = ()


def write_report(report: Report, page: Page, out: Path) -> str:
    """Write report.json, report.md and report.html into a folder, made if it is missing; return the Markdown."""
    markdown = markdown_of(report, page)
    texts = {"report.json": report.to_json(), "report.md": markdown, "report.html": html_of(report, page)}
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with replaced_file(out / name) as path:
            path.write_text(text, encoding="utf-8")
    return markdown


def markdown_of(report: Report, page: Page) -> str:
    """Return report.md: everything but the plots."""
    parts = [f"# {report.title}", page.lead]
    for section in (*page.sections, _measured_on(report)):
        table = markdown_table(section.headers, section.rows, numbers=True) if section.headers else []
        parts += [f"## {section.title}" if section.title else "", section.text, "\n".join(table)]
    return "\n\n".join(part for part in (*parts, INTENDED_USE) if part) + "\n"


def html_of(report: Report, page: Page) -> str:
    """Return report.html. It loads nothing: styles and plots are inside."""
    return PAGES.get_template("report.html").render(
        report=report, page=page, measured_on=_measured_on(report), use=INTENDED_USE
    )


def _measured_on(report: Report) -> Section:
    rows = (*report.machine.rows(), ("Command", report.command))
    return Section("Measured on", "", ("", "this machine"), rows)
