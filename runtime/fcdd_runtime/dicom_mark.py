"""The mark by which a DICOM file is told from any other file."""

from pathlib import Path

_PREAMBLE_BYTES = 128
_MARK = b"DICM"


def has_dicom_mark(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a DICOM file."""
    return head[_PREAMBLE_BYTES:].startswith(_MARK)


def is_dicom(path: Path) -> bool:
    """Whether a file is a DICOM file; OSError if it cannot be read."""
    with path.open("rb", buffering=0) as file:
        return has_dicom_mark(file.read(_PREAMBLE_BYTES + len(_MARK)))
