"""A file with an operating point -> OperatingPoint. Imports no torch: an appliance sets its threshold without it."""

import math
from pathlib import Path
from typing import Any, TypeGuard

from fcdd_runtime.contract import OperatingPoint
from fcdd_runtime.errors import SnapshotError, one_line
from fcdd_runtime.outside_text import json_from_outside, read_outside_text


def read_operating_point(path: Path) -> OperatingPoint:
    """Read an operating point from JSON with `threshold`, `sensitivity` (or null) and `source`.

    Raises
    ------
    SnapshotError
        If the file is missing or an entry is unusable.
    """
    document = read_json(path)
    threshold, sensitivity = document.get("threshold"), document.get("sensitivity")
    if not is_finite(threshold) or not (sensitivity is None or (is_finite(sensitivity) and 0 <= sensitivity <= 1)):
        raise SnapshotError(f"{path}: give a finite `threshold` and a `sensitivity` between 0 and 1 or null")
    source = str(document.get("source", path.name))
    return OperatingPoint(float(threshold), None if sensitivity is None else float(sensitivity), source)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; SnapshotError if the file holds none."""
    try:
        document = json_from_outside(read_outside_text(path))
    except (OSError, ValueError) as error:
        raise SnapshotError(f"{path} is no readable JSON file ({one_line(error)}); write it anew") from error
    if not isinstance(document, dict):
        raise SnapshotError(f"{path} holds no JSON object; write it anew")
    return document


def is_finite(value: Any) -> TypeGuard[float]:
    """Whether a value of a JSON document is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
