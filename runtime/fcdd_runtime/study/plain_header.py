"""A single-frame file's header by a short walk over its elements: what pydicom reads, in a fraction of the time.

Only what is plain is read here: explicit VR little endian, plain ASCII values, numbers without surprises. Anything
else gives None and is pydicom's to read, so that this file never has to be cleverer than it is short.
"""

import re
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID, ExplicitVRLittleEndian

from fcdd_runtime.study.dicom_bytes import (
    ITEM,
    LONG_VRS,
    PIXEL_DATA,
    SEQUENCE_END,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    has_dicom_mark,
)
from fcdd_runtime.study.slices import header_elements

HEADER_BYTES = 64 * 1024
"""As much of a file as is looked at. A longer header is unusual for a single frame."""

_ELEMENT = struct.Struct("<HH2sH").unpack_from
_LENGTH = struct.Struct("<I").unpack_from
_META_LENGTH_ELEMENT = b"\x02\x00\x00\x00UL\x04\x00"
"""Begins every file's meta information; its value says where that ends."""
_DELIMITATION_GROUP, _META_GROUP = 0xFFFE, 0x0002
_MULTI_FRAME = frozenset(
    tag_for_keyword(name) for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
)
_CHARACTERS = {None: "ascii", "ISO_IR 6": "ascii", "ISO_IR 100": "latin-1", "ISO_IR 192": "utf-8"}
"""How names are written. All other text that is read has to be ASCII, of which these sets are supersets."""


class PlainHeader:
    """Values of a header by keyword, as `pydicom.Dataset.get` and attribute access give them."""

    def __init__(self, values: Mapping[str | int, Any]):
        self._values = values

    @property
    def file_meta(self) -> "PlainHeader":
        """The file meta information, whose keywords differ from all others."""
        return self

    def get(self, keyword: str, default: Any = None) -> Any:
        """Return a value, or the default where the element is absent."""
        return self._values.get(keyword, default)

    def get_private_item(self, group: int, element_offset: int, private_creator: str) -> SimpleNamespace:
        """Return an element of a creator's block, its `value`; KeyError where block or element are absent."""
        for tag, value in self._values.items():
            if value == private_creator and isinstance(tag, int) and tag >> 8 == group << 8:
                return SimpleNamespace(value=self._values[group << 16 | (tag & 0xFF) << 8 | element_offset])
        raise KeyError(private_creator)

    def __getattr__(self, keyword: str) -> Any:
        try:
            return self._values[keyword]
        except KeyError:
            raise AttributeError(keyword) from None


def plain_header(data: bytes) -> tuple[PlainHeader, int] | None:
    """Read the header of a DICOM file, if it is a plain one.

    Parameters
    ----------
    data : the file's first `HEADER_BYTES` bytes, or all of a shorter file

    Returns
    -------
    header, and the offset of the pixel data element in bytes; None for whatever is not plain
    """
    if not has_dicom_mark(data) or data[132:140] != _META_LENGTH_ELEMENT:
        return None
    raw: dict[str | int, tuple[bytes, bytes]] = {}
    try:
        end = _walk(data, header_elements(), raw)
        if end is None or not _is_walked_right(raw["TransferSyntaxUID"][1]):
            return None
        characters = _CHARACTERS[_value(*raw["SpecificCharacterSet"]) if "SpecificCharacterSet" in raw else None]
        values = {
            name: _value(vr, value) if vr != b"PN" else value.decode(characters).rstrip(" \0") or None
            for name, (vr, value) in raw.items()
        }
    except (struct.error, KeyError, TypeError, ValueError):
        return None
    return PlainHeader(values), end


def _walk(data: bytes, wanted: Mapping[int, str | int], raw: dict[str | int, tuple[bytes, bytes]]) -> int | None:
    """Collect the wanted elements; return where the pixel data element begins, None if something is unusual."""
    position, depth, size = 144, 0, len(data)
    meta_end = position + _LENGTH(data, 140)[0]
    previous = 0
    while position < size:
        group, number, vr, length = _ELEMENT(data, position)
        tag = group << 16 | number
        if group == _DELIMITATION_GROUP:
            # The head of an item, all of an item of known length, or the end of an item or sequence is stepped over.
            length = _LENGTH(data, position + 4)[0]
            position += 8 + (length if tag == ITEM and length != UNDEFINED_LENGTH else 0)
            depth -= tag == SEQUENCE_END
            continue
        if depth == 0 and (tag <= previous or (group == _META_GROUP) != (position < meta_end)):
            return None
        if depth == 0 and tag == PIXEL_DATA:
            return position
        start = position + 8
        if vr in LONG_VRS:
            length, start = _LENGTH(data, position + 8)[0], position + 12
        elif vr not in SHORT_VRS:
            return None
        if length == UNDEFINED_LENGTH:
            # Inside, elements are passed one by one until the sequence ends; other undefined lengths are unusual.
            if vr != b"SQ" or tag in _MULTI_FRAME:
                return None
            depth, previous, position = depth + 1, previous if depth else tag, start
            continue
        if depth == 0:
            previous = tag
            if tag in wanted:
                raw[wanted[tag]] = vr, data[start : start + length]
        position = start + length
    return None


@lru_cache(maxsize=64)
def _is_walked_right(syntax: bytes) -> bool:
    """Whether a transfer syntax writes headers in explicit VR little endian, not deflated."""
    uid = UID(syntax.rstrip(b"\0").decode("ascii"))
    return uid == ExplicitVRLittleEndian or (uid.is_transfer_syntax and uid.is_encapsulated)


@lru_cache(maxsize=256)
def _value(vr: bytes, value: bytes) -> Any:
    """Convert a value; most are the same in all files of a series. Lists are shared, so nobody may change them."""
    return _CONVERTERS[vr](value)


_PLAIN_TEXT = re.compile(rb"[!-~]([ -~]*[!-~])?")
_DECIMAL = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(rb"[+-]?\d+")


def _several(convert: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Split at backslashes: one value as it is, several as a list, none as None."""

    def converted(value: bytes) -> Any:
        value = value.rstrip(b" \0")
        if not value:
            return None
        parts = value.split(b"\\")
        return convert(parts[0]) if len(parts) == 1 else [convert(part) for part in parts]

    return converted


def _text(value: bytes) -> str:
    if not _PLAIN_TEXT.fullmatch(value):
        raise ValueError("not plain")
    return value.decode("ascii")


def _number(pattern: re.Pattern[bytes], kind: type) -> Callable[[bytes], Any]:
    def converted(value: bytes) -> Any:
        value = value.strip(b" ")
        if not pattern.fullmatch(value):
            raise ValueError("not plain")
        return kind(value)

    return converted


def _binary(form: str) -> Callable[[bytes], Any]:
    layout = struct.Struct(form)

    def converted(value: bytes) -> Any:
        if len(value) != layout.size:
            raise ValueError("not plain")
        return layout.unpack(value)[0]

    return converted


_CONVERTERS: dict[bytes, Callable[[bytes], Any]] = {
    **dict.fromkeys((b"CS", b"DA", b"DT", b"LO", b"SH", b"TM", b"UI"), _several(_text)),
    b"DS": _several(_number(_DECIMAL, float)),
    b"IS": _several(_number(_INTEGER, int)),
    b"US": _binary("<H"),
    b"SS": _binary("<h"),
    b"FD": _binary("<d"),
}
