"""What report.json holds, whatever the benchmark, and reading it again.

A benchmark's own class adds its figures to `Report`. The file is that class as JSON, as the model's contract is.
"""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.report.estimate import Metric
from fcdd_benchmarks.report.machine import Machine
from fcdd_runtime.contract import from_plain
from fcdd_runtime.errors import FcddError
from fcdd_runtime.outside_text import json_from_outside

SCHEMA_VERSION = 1


def images_sha256(images: Iterable[tuple[str, npt.NDArray[np.uint8]]]) -> str:
    """Hash names and pixels, in their order: two runs with the same hash saw the same images."""
    digest = hashlib.sha256()
    for name, image in images:
        digest.update(f"{len(name)} {name} {image.shape}".encode())
        digest.update(image.tobytes())
    return digest.hexdigest()


class ReportError(FcddError, ValueError):
    """A report is missing, damaged, or cannot be compared with another."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The entries that all reports have."""

    schema_version: int = SCHEMA_VERSION
    benchmark: str
    """Its kind, such as `latency`."""
    title: str
    command: str
    """The command line that makes such a report."""
    machine: Machine
    metrics: tuple[Metric, ...]
    """What `drift` compares; names are unique."""

    def to_json(self) -> str:
        """Return the contents of report.json.

        Raises
        ------
        ValueError
            If a number is NaN or infinite.
        """
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"


R = TypeVar("R", bound=Report)


def report_from_json(contents: bytes, kinds: Mapping[str, type[R]]) -> R:
    """Read a report of one of several kinds, by the names of their benchmarks.

    Entries that a kind does not know are left out: figures that were retired since the report was written.

    Raises
    ------
    ValueError
        If it is no JSON object, of another schema version or kind, or an entry is missing or mistyped.
    """
    document = json_from_outside(contents)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema version {version} instead of {SCHEMA_VERSION}")
    kind = kinds.get(str(document.get("benchmark")))
    if kind is None:
        raise ValueError(f"no benchmark is called {document.get('benchmark')!r}")
    try:
        report: R = from_plain(kind, _known_entries(kind, document))
    except (AttributeError, TypeError) as error:
        raise ValueError(str(error)) from error
    return report


def _known_entries(kind: Any, value: Any) -> Any:
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return _known_entries(arguments[0], value)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        return {name: _known_entries(hints[name], entry) for name, entry in value.items() if name in hints}
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        return [_known_entries(arguments[0], entry) for entry in value]
    return value
