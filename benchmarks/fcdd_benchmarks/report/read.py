"""Reading report.json again."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcdd_benchmarks.report.schema import check_document
from fcdd_benchmarks.report.write import Metric
from fcdd_runtime.errors import FcddError
from fcdd_runtime.files import sha256_of


class ReportError(FcddError, ValueError):
    """A report is missing, damaged, or cannot be compared with another."""


@dataclass(frozen=True)
class WrittenReport:
    """A report.json that was found sound."""

    path: Path
    sha256: str
    """Of the file."""
    document: dict[str, Any]
    metrics: dict[str, Metric]
    """By name."""


def read_report(path: Path) -> WrittenReport:
    """Read a report.json, or the one in a folder.

    Raises
    ------
    ReportError
        If there is none, or it does not hold what its schema asks for.
    """
    file = path / "report.json" if path.is_dir() else path
    try:
        contents = file.read_bytes()
        document = json.loads(contents)
        check_document(document)
    except OSError as error:
        raise ReportError(f"{file} cannot be read; give a folder that fcdd-bench wrote") from error
    except ValueError as error:
        raise ReportError(f"{file} is no report of this release ({error}); run the benchmark again") from error
    metrics = [Metric(**{field: metric[field] for field in Metric.__annotations__}) for metric in document["metrics"]]
    return WrittenReport(file, sha256_of(contents), document, {metric.name: metric for metric in metrics})
