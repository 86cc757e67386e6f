"""Values of a slice's header, alike in single-frame and in multi-frame files, and what they are worth as numbers.

Scanners and people write anything: what is no valid value is None.
"""

import math
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydicom.dataset import Dataset


@dataclass(frozen=True)
class PrivateTag:
    """A private element, wherever its creator's block lies in a file."""

    group: int
    """Odd."""
    element: int
    """The last two hexadecimal digits, 0x00 to 0xFF: 0xA2 of (0019,10A2)."""
    creator: str
    """Name of its block, such as `SIEMENS MR HEADER`."""


Name = str | PrivateTag
"""Of an element: its DICOM keyword, or a private tag."""


@dataclass(frozen=True)
class SliceHeader:
    """The header of a single-frame file, or of a multi-frame file and one of its frames."""

    file: Dataset
    """The file's own elements."""
    frame_number: int | None = None
    """From 1; None in a single-frame file."""
    frame_groups: tuple[Dataset, ...] = ()
    """Where a frame's functional groups are: its own, and those of all frames."""

    def group(self, name: Name) -> Dataset:
        """Return a functional group; in a single-frame file the header itself, whatever the name."""
        if self.frame_number is None:
            return self.file
        for groups in self.frame_groups:
            if items := value_in(groups, name):
                group: Dataset = items[0]
                return group
        return Dataset()


def value_in(elements: Dataset, name: Name) -> Any:
    """Return an element's value as pydicom does; None where it is absent."""
    if isinstance(name, str):
        return elements.get(name)
    try:
        return elements.get_private_item(name.group, name.element, name.creator).value
    except KeyError:
        return None


def number(value: Any) -> float | None:
    """Return a finite number."""
    try:
        converted = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return converted if math.isfinite(converted) else None


def numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """Return as many finite numbers."""
    try:
        converted = tuple(float(part) for part in value)
    except (TypeError, ValueError, OverflowError):
        return None
    return converted if len(converted) == count and all(map(math.isfinite, converted)) else None


def words(value: Any) -> tuple[str, ...]:
    """Return one or several texts in upper case; nothing for None."""
    return (value.upper(),) if isinstance(value, str) and value else tuple(str(word).upper() for word in value or ())


def seconds(day: str, time: str) -> float | None:
    """Turn DICOM `YYYYMMDD` (may be empty) and `HHMMSS.F` into seconds since the calendar's first day."""
    digits = time.replace(":", "").split("+")[0].split("-")[0].strip()
    try:
        days = date(int(day[:4]), int(day[4:6]), int(day[6:8])).toordinal() if day else 0
        return days * 86400 + (int(digits[:2]) * 3600 + int(digits[2:4] or 0) * 60 + float(digits[4:] or 0))
    except ValueError:
        return None
