"""The mark by which a DICOM file is told from any other file, and what DICOM content without the mark looks like."""

import struct
from pathlib import Path

_PREAMBLE_BYTES = 128
_MARK = b"DICM"
_FIRST_GROUPS = (0x0002, 0x0008)
"""File meta information, and the first group of every object."""
_ELEMENTS_LOOKED_AT = 3
"""Tags that rise and lengths that fit, so often in a row, are no coincidence."""
_MAX_LENGTH = 1024
"""Elements at the beginning of an object are short, bytes."""
_VRS = frozenset(b"AE AS CS DA DT LO OB SH SQ TM UI UL US".split())
_LONG_VRS = frozenset((b"OB", b"SQ"))


def has_dicom_mark(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a DICOM file."""
    return head[_PREAMBLE_BYTES:].startswith(_MARK)


def begins_like_dicom(head: bytes) -> bool:
    """Whether these bytes begin a DICOM object without preamble and mark, little endian, with explicit VR or without.

    Parameters
    ----------
    head : the file's first bytes, a few hundred at least, or all of a shorter file
    """
    offset, last = 0, (0, -1)
    for _ in range(_ELEMENTS_LOOKED_AT):
        if offset + 12 > len(head):
            return False
        tag: tuple[int, int] = struct.unpack_from("<HH", head, offset)
        start, length = _value_at(head, offset)
        if tag[0] not in _FIRST_GROUPS or tag <= last or length % 2 or length > _MAX_LENGTH:
            return False
        offset, last = start + length, tag
    return True


def is_dicom(path: Path) -> bool:
    """Whether a file is a DICOM file; OSError if it cannot be read."""
    with path.open("rb", buffering=0) as file:
        return has_dicom_mark(file.read(_PREAMBLE_BYTES + len(_MARK)))


def _value_at(head: bytes, offset: int) -> tuple[int, int]:
    """Return where an element's value begins, and its length, bytes."""
    vr = head[offset + 4 : offset + 6]
    if vr in _LONG_VRS:
        return offset + 12, struct.unpack_from("<I", head, offset + 8)[0]
    if vr in _VRS:
        return offset + 8, struct.unpack_from("<H", head, offset + 6)[0]
    return offset + 8, struct.unpack_from("<I", head, offset + 4)[0]
