"""DICOM as bytes: the mark that tells its files from others, what begins like DICOM without it, tags and lengths."""

import struct
from pathlib import Path

MARK = b"DICM"
_PREAMBLE_BYTES = 128

PIXEL_DATA = 0x7FE00010
"""Tags are one number each, group << 16 | element."""
ITEM, SEQUENCE_END = 0xFFFEE000, 0xFFFEE0DD
"""What structures sequences, and the fragments of compressed pixels; a length follows, but no VR."""
UNDEFINED_LENGTH = 0xFFFFFFFF
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""Value representations with two reserved bytes and a length of four (PS3.5, 7.1.2)."""
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
"""Those with a length of two bytes."""

_LOOKED_FOR_MARK = 1024
"""A mark that has moved lies somewhere in these first bytes."""
_FIRST_GROUPS = (0x0002, 0x0008)
"""File meta information, and the first group of every object."""
_ELEMENTS_LOOKED_AT = 3
"""Tags that rise and lengths that fit, so often in a row, are no coincidence."""
_MAX_LENGTH = 1024
"""Elements at the beginning of an object are short, bytes."""


def has_dicom_mark(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a DICOM file."""
    return head.startswith(MARK, _PREAMBLE_BYTES)


def is_dicom(path: Path) -> bool:
    """Whether a file is a DICOM file; OSError if it cannot be read."""
    with path.open("rb", buffering=0) as file:
        return has_dicom_mark(file.read(_PREAMBLE_BYTES + len(MARK)))


def looks_damaged(head: bytes) -> bool:
    """Whether bytes without the mark in its place are what is left of a DICOM file, rather than another kind of file.

    These are no bytes at all, zeros only, a few that are no text, and the mark, or what follows it, in a wrong place.

    Parameters
    ----------
    head : the file's first bytes, a thousand at least, or all of a shorter file
    """
    if len(head) < _PREAMBLE_BYTES + len(MARK):
        return not head.strip() or not _is_text(head)
    moved = MARK in head[:_LOOKED_FOR_MARK] and not _is_text(head)
    return not any(head) or moved or begins_like_dicom(head[_PREAMBLE_BYTES + len(MARK) :])


def _is_text(head: bytes) -> bool:
    try:
        return head.decode().replace("\n", "").replace("\r", "").replace("\t", "").isprintable()
    except UnicodeDecodeError:
        return False


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
        group, number, vr, short, long = struct.unpack_from("<HH2sHI", head, offset)
        if vr in LONG_VRS:
            start, length = offset + 12, long
        elif vr in SHORT_VRS:
            start, length = offset + 8, short
        else:
            start, length = offset + 8, short << 16 | int.from_bytes(vr, "little")
        if group not in _FIRST_GROUPS or (group, number) <= last or length % 2 or length > _MAX_LENGTH:
            return False
        offset, last = start + length, (group, number)
    return True
