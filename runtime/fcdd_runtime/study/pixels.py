"""Pixels of one slice: where they lie in a file, whether they are all there, and decoding them one slice at a time."""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from fcdd_runtime.errors import StudyError
from fcdd_runtime.redaction import quoted
from fcdd_runtime.study import bounds
from fcdd_runtime.study.codestream import CodedSize, coded_size, fits_rle
from fcdd_runtime.study.dicom_bytes import ITEM, PIXEL_DATA, SEQUENCE_END, UNDEFINED_LENGTH
from fcdd_runtime.volumes.volume import Pixels, is_short_integer

MAX_SLICE_PIXELS = 4096 * 4096
"""A slice that declares more pixels than this is refused before any memory is taken for it. Matrices of breast MR have
512 x 512 pixels, rarely 1024 x 1024; of so many, two threads hold 0.5 GB while they rescale them."""

_uid = lru_cache(maxsize=64)(UID)
"""Checks and wraps a UID; the files of a study share theirs."""
_PLAIN_SYNTAXES = frozenset((ExplicitVRLittleEndian, ImplicitVRLittleEndian))
_LOSSLESS_JPEG = frozenset((JPEGLossless, JPEGLosslessSV1))


@dataclass(frozen=True)
class StoredPixels:
    """Pixel data of one file: all that decoding needs besides the number of the frame."""

    path: Path
    transfer_syntax: UID
    offset: int
    """Where the value of the pixel data element begins in the file, bytes."""
    vr: str
    """`OB` or `OW`."""
    frames: int
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    padding: tuple[int, int] | None = None
    """Smallest and largest stored value that stands for no image (PixelPaddingValue, PixelPaddingRangeLimit)."""


def stored_pixels(path: Path, file: BinaryIO, header: Dataset) -> tuple[StoredPixels | None, str]:
    """Describe the pixel data of a file whose header has just been read, without reading the pixels.

    Parameters
    ----------
    path : the file's name, for later
    file : the file, positioned where reading the header stopped: at the pixel data element
    header : its header, with file meta information

    Returns
    -------
    pixels : None if the header does not describe any
    damage : why they cannot be read, as the rest of a sentence that begins with the file's name; empty if they can
    """
    try:
        pixels = StoredPixels(
            path=path,
            transfer_syntax=_uid(header.file_meta.TransferSyntaxUID),
            offset=0,
            vr="OW",
            frames=int(header.get("NumberOfFrames") or 1),
            rows=int(header.Rows),
            columns=int(header.Columns),
            bits_allocated=int(header.BitsAllocated),
            bits_stored=int(header.BitsStored),
            signed=int(header.PixelRepresentation) == 1,
            padding=_padding(header),
        )
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None, "does not describe its pixels (rows, columns, bits)"
    if damage := _unsupported(header, pixels):
        return pixels, damage
    vr, length = _read_pixel_data_head(file, pixels.transfer_syntax)
    if length is None:
        return pixels, "is truncated or has no pixel data"
    located = replace(pixels, offset=file.tell(), vr=vr)
    return located, "" if _is_complete(file, located, length) else "is truncated: its pixel data are incomplete"


def read_frame(pixels: StoredPixels, frame: int, slope: float, intercept: float) -> Pixels:
    """Decode one frame, and no other, and apply its rescale.

    Parameters
    ----------
    frame : counted from 0; 0 in a single-frame file
    slope, intercept : the frame's RescaleSlope and RescaleIntercept

    Returns
    -------
    (rows, columns) in rescaled scanner units: float32, or integers as stored where the rescale changes nothing

    Raises
    ------
    StudyError
        If the pixels cannot be decoded.
    """
    stored = _read_plain(pixels, frame)
    if stored is None:
        stored = _decode_losslessly(pixels, frame)
    if stored is None:
        stored = _decode_by_pydicom(pixels, frame)
    if pixels.padding is not None:
        stored = _without_padding(stored, pixels.padding)
    if slope == 1 and intercept == 0:
        return stored if is_short_integer(stored) else stored.astype(np.float32)
    return np.asarray(stored * np.float64(slope) + np.float64(intercept), dtype=np.float32)


def _padding(header: Dataset) -> tuple[int, int] | None:
    """Read the range of padding as values of the pixels' sign; None without one, and for 0, which is no signal too."""
    value = header.get("PixelPaddingValue")
    if value in (None, ""):
        return None
    limit = header.get("PixelPaddingRangeLimit")
    bits, signed = int(header.BitsAllocated), int(header.PixelRepresentation) == 1
    ends = []
    for end in (value, value if limit in (None, "") else limit):
        code = int(end) % (1 << bits)
        ends.append(code - (1 << bits) if signed and code >= 1 << (bits - 1) else code)
    return None if ends == [0, 0] else (min(ends), max(ends))


def _without_padding(stored: npt.NDArray[np.integer[Any]], padding: tuple[int, int]) -> npt.NDArray[np.integer[Any]]:
    """Give padding the smallest value of the image, so that it looks like air."""
    padded = (stored >= padding[0]) & (stored <= padding[1])
    if not padded.any():
        return stored
    image = stored[~padded]
    return np.where(padded, image.min() if image.size else np.zeros((), stored.dtype), stored)


def _unsupported(header: Dataset, pixels: StoredPixels) -> str:
    if pixels.rows * pixels.columns > MAX_SLICE_PIXELS:
        return f"declares slices of {pixels.rows} x {pixels.columns} pixels, more than any scanner makes"
    if min(pixels.rows, pixels.columns) < 1:
        return "declares no pixels"
    if problem := bounds.FRAMES.problem(pixels.frames):
        return problem
    if header.get("SamplesPerPixel", 1) != 1 or header.get("PhotometricInterpretation") != "MONOCHROME2":
        return "is not a plain grey image (MONOCHROME2)"
    if pixels.bits_allocated not in (8, 16, 32) or not 0 < pixels.bits_stored <= pixels.bits_allocated:
        return f"declares {pixels.bits_stored} of {pixels.bits_allocated} bits per pixel, which is not valid"
    high_bit = header.get("HighBit")
    if high_bit is not None and int(high_bit) != pixels.bits_stored - 1:
        # DICOM PS3.5, 8.1.1: the high bit is one less than the bits stored.
        return f"declares {pixels.bits_stored} bits per pixel below bit {int(high_bit)}, which DICOM does not allow"
    return ""


def _read_pixel_data_head(file: BinaryIO, transfer_syntax: UID) -> tuple[str, int | None]:
    """Read the head of the element that the file is positioned at: its VR, and its length if it is pixel data."""
    order = "<" if transfer_syntax.is_little_endian else ">"
    head = file.read(8 if transfer_syntax.is_implicit_VR else 12)
    if len(head) < 8:
        return "", None
    group, number = struct.unpack_from(order + "HH", head)
    if group << 16 | number != PIXEL_DATA:
        return "", None
    if transfer_syntax.is_implicit_VR:
        return "OW", struct.unpack_from(order + "I", head, 4)[0]
    return (head[4:6].decode("latin-1"), struct.unpack_from(order + "I", head, 8)[0]) if len(head) == 12 else ("", None)


def _is_complete(file: BinaryIO, pixels: StoredPixels, length: int) -> bool:
    """Whether all pixels lie in the file: as many bytes, or fragments of compressed ones that end as they should."""
    size = os.fstat(file.fileno()).st_size
    if not pixels.transfer_syntax.is_encapsulated:
        expected = pixels.frames * pixels.rows * pixels.columns * pixels.bits_allocated // 8
        return expected <= length <= size - pixels.offset
    if length != UNDEFINED_LENGTH:
        return False
    while len(head := file.read(8)) == 8:
        group, number, length = struct.unpack("<HHI", head)
        if group << 16 | number == SEQUENCE_END:
            return True
        if group << 16 | number != ITEM or file.tell() + length > size:
            return False
        file.seek(length, os.SEEK_CUR)
    return False


def _read_plain(pixels: StoredPixels, frame: int) -> npt.NDArray[np.integer[Any]] | None:
    """Read an uncompressed little-endian frame of 16-bit pixels straight from the file; None where more is needed.

    Bits beyond BitsStored may hold overlays or miss the sign; pydicom sorts that out, so such a frame is left to it.
    """
    if pixels.bits_allocated != 16 or pixels.transfer_syntax not in _PLAIN_SYNTAXES:
        return None
    array = np.empty((pixels.rows, pixels.columns), "<i2" if pixels.signed else "<u2")
    try:
        with pixels.path.open("rb", buffering=0) as file:
            file.seek(pixels.offset + frame * array.nbytes)
            count = file.readinto(array.data)
    except OSError:
        return None
    return array if count == array.nbytes and _fits(array, pixels) else None


def _decode_losslessly(pixels: StoredPixels, frame: int) -> npt.NDArray[np.integer[Any]] | None:
    """Decode a losslessly compressed frame with imagecodecs, which works outside Python's lock; None where it cannot.

    These decoders give the coded values whatever their sign, as 16-bit words; values beyond BitsStored are unusual.
    What they refuse is damaged. It is not left to pydicom's, of which libjpeg makes up what is missing, without a word.
    """
    decode = _lossless_decoders().get(pixels.transfer_syntax)
    if decode is None or pixels.bits_allocated != 16:
        return None
    data, size = _coded_frame(pixels, frame)
    if size is None or (size.restarts and pixels.transfer_syntax in _LOSSLESS_JPEG):
        return None
    try:
        array = np.asarray(decode(data))
    except Exception as error:  # damaged data make decoders raise what they like
        raise _damaged(pixels) from error
    if array.dtype not in (np.uint16, np.int16) or array.shape != (pixels.rows, pixels.columns):
        return None
    array = array.view(np.int16 if pixels.signed else np.uint16)
    if _fits(array, pixels):
        return array
    if not pixels.signed and size.bits <= pixels.bits_stored:  # the frame's own bits do not hold its values
        raise _damaged(pixels)
    return None


@cache
def _lossless_decoders() -> dict[str, Callable[[bytes], Any]]:
    """Decoders by transfer syntax; none where imagecodecs, which the extra `dicom` brings, is not installed."""
    try:
        import imagecodecs  # noqa: PLC0415
    except ModuleNotFoundError:
        return {}
    return {
        JPEGLSLossless: imagecodecs.jpegls_decode,
        JPEGLSNearLossless: imagecodecs.jpegls_decode,
        **dict.fromkeys(_LOSSLESS_JPEG, imagecodecs.ljpeg_decode),
    }


def _fits(array: npt.NDArray[np.integer[Any]], pixels: StoredPixels) -> bool:
    """Whether all values fit into BitsStored."""
    if pixels.bits_stored == pixels.bits_allocated:
        return True
    if pixels.signed:
        half = 1 << (pixels.bits_stored - 1)
        return -half <= int(array.min()) and int(array.max()) < half
    return int(array.max()) < 1 << pixels.bits_stored


def _decode_by_pydicom(pixels: StoredPixels, frame: int) -> npt.NDArray[np.integer[Any]]:
    syntax = pixels.transfer_syntax
    known = syntax.name if syntax.name != syntax else quoted(syntax)
    name = f"the transfer syntax of file {quoted(pixels.path.name)} ({known})"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise StudyError(f"{name} is not supported; convert it to explicit VR little endian", "no-decoder") from error
    if not decoder.is_available:
        raise StudyError(f"{name} needs a decoder that is not installed: pip install fcdd-edge[dicom]", "no-decoder")
    options: dict[str, Any] = {
        "rows": pixels.rows,
        "columns": pixels.columns,
        "number_of_frames": pixels.frames,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_representation": int(pixels.signed),
        "bits_allocated": pixels.bits_allocated,
        "bits_stored": pixels.bits_stored,
        "pixel_keyword": "PixelData",
        "pixel_vr": pixels.vr,
    }
    if syntax.is_encapsulated:
        _coded_frame(pixels, frame)
    try:
        with pixels.path.open("rb") as file:
            file.seek(pixels.offset)
            array, _ = decoder.as_array(file, index=frame, raw=True, **options)
    except Exception as error:  # decoders raise what they like on damaged data
        raise _damaged(pixels) from error
    return array


def _coded_frame(pixels: StoredPixels, frame: int) -> tuple[bytes, CodedSize | None]:
    """Read a compressed frame, and what it says of its size; None for RLE, which does not say.

    Raises
    ------
    StudyError
        Unless it says itself that it is as large as the DICOM header says: a decoder takes memory for what the frame
        says, and would believe it.
    """
    try:
        with pixels.path.open("rb") as file:
            file.seek(pixels.offset)
            data = get_frame(file, frame, number_of_frames=pixels.frames)
    except Exception as error:  # damaged fragments make pydicom raise what it likes
        raise _damaged(pixels) from error
    if pixels.transfer_syntax == RLELossless:
        if not fits_rle(data, pixels.rows * pixels.columns, pixels.bits_allocated // 8):
            raise _damaged(pixels)
        return data, None
    size = coded_size(data)
    if size is None or size.bits > pixels.bits_allocated:
        raise _damaged(pixels)
    if (size.rows, size.columns, size.samples) != (pixels.rows, pixels.columns, 1):
        raise _damaged(pixels)
    return data, size


def _damaged(pixels: StoredPixels) -> StudyError:
    name = quoted(pixels.path.name)
    return StudyError(f"the pixels of file {name} cannot be decoded; export the study again", "damaged")
