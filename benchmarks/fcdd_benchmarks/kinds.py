"""The kinds of reports by the names of their benchmarks, and reading one. A new benchmark's report is a row here."""

from dataclasses import dataclass
from pathlib import Path

from fcdd_benchmarks.accuracy.report import AccuracyReport
from fcdd_benchmarks.compare.report import CompareReport
from fcdd_benchmarks.export_cost.report import ExportReport
from fcdd_benchmarks.latency.report import LatencyReport
from fcdd_benchmarks.recipe.report import RecipeReport
from fcdd_benchmarks.report.document import Report, ReportError, report_from_json
from fcdd_benchmarks.study.report import StudyReport
from fcdd_runtime.files import sha256_of
from fcdd_runtime.outside_text import read_outside_bytes

KINDS: dict[str, type[Report]] = {
    "accuracy": AccuracyReport,
    "compare": CompareReport,
    "export": ExportReport,
    "latency": LatencyReport,
    "recipe": RecipeReport,
    "study": StudyReport,
}


@dataclass(frozen=True)
class WrittenReport:
    """A report.json that was found sound."""

    report: Report
    sha256: str
    """Of the file."""


def read_report(path: Path) -> WrittenReport:
    """Read a report.json, or the one in a folder.

    Raises
    ------
    ReportError
        If there is none, or it lacks what a report of its kind holds.
    """
    file = path / "report.json" if path.is_dir() else path
    try:
        contents = read_outside_bytes(file)
        return WrittenReport(report_from_json(contents, KINDS), sha256_of(contents))
    except OSError as error:
        raise ReportError(f"{file} cannot be read; give a folder that fcdd-bench wrote") from error
    except ValueError as error:
        raise ReportError(f"{file} is no report of this release ({error}); run the benchmark again") from error
