"""What a compressed frame says of its own size: a decoder takes memory for that, whatever the DICOM header says."""

import struct
from dataclasses import dataclass, replace

_JPEG, _JPEG_2000, _JPEG_2000_BOX = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  "
_CODESTREAM_BOX = b"jp2c"
_SOF_MARKERS = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7))
"""Start of frame of every process of JPEG (ISO 10918-1, table B.1), and of JPEG-LS (ISO 14495-1)."""
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_SCAN_STARTS, _IMAGE_ENDS, _RESTART_INTERVAL = 0xDA, 0xD9, 0xDD
_END, _END_WITHIN = b"\xff\xd9", 8
"""Ends an image of JPEG, JPEG-LS and JPEG 2000 alike; behind it are at most some bytes that fill up."""
_MAX_SEGMENTS = 1000
"""Before the first scan, and boxes before the codestream; files of scanners have a handful."""
_MAX_TILES = 65535
"""Of JPEG 2000 (ISO 15444-1, A.5.1)."""
_MAX_RLE_SEGMENTS = 15
_RLE_EXPANDS = 64
"""Two bytes become 128 at most (DICOM PS3.5, annex G)."""
HARMLESS_BYTES = 64 * 2**20
"""What a segment of RLE may become without a look at its runs: counting them takes longer than decoding."""


@dataclass(frozen=True)
class CodedSize:
    """Size of the image in a codestream."""

    rows: int
    columns: int
    samples: int
    """Components of a pixel; 1 is grey."""
    bits: int
    """Of the largest component."""
    restarts: bool = False
    """Whether a JPEG is coded in intervals, which not every decoder knows."""


def coded_size(frame: bytes) -> CodedSize | None:
    """Read the size that a compressed frame will be decoded to.

    Parameters
    ----------
    frame : one frame's codestream, in JPEG, JPEG-LS, JPEG 2000 or High-Throughput JPEG 2000

    Returns
    -------
    the size; None if the bytes are no codestream of these kinds, are damaged before they state it, state it twice, or
    lost their end: most decoders make up what is missing
    """
    if _END not in frame.rstrip(b"\0")[-_END_WITHIN:]:
        return None
    try:
        if frame.startswith(_JPEG_2000_BOX):
            start = _codestream_start(frame)
            return _size_of_jpeg_2000(frame, start) if frame.startswith(_JPEG_2000, start) else None
        if frame.startswith(_JPEG_2000):
            return _size_of_jpeg_2000(frame, 0)
        return _size_of_jpeg(frame) if frame.startswith(_JPEG) else None
    except struct.error:
        return None


def fits_rle(frame: bytes, pixels: int, bytes_a_pixel: int) -> bool:
    """Whether a frame in RLE has a segment for each byte of a pixel, and can expand to no more than it should.

    Parameters
    ----------
    pixels : of the frame, rows times columns
    """
    if len(frame) < 64:
        return False
    count, *offsets = struct.unpack_from("<16L", frame)
    if count != bytes_a_pixel or count > _MAX_RLE_SEGMENTS or offsets[0] != 64:
        return False
    ends = [*offsets[1:count], len(frame)]
    in_order = all(start < end <= len(frame) for start, end in zip(offsets[:count], ends, strict=True))
    return in_order and all(
        _RLE_EXPANDS * (end - start) <= HARMLESS_BYTES or _expanded(frame[start:end]) <= 2 * pixels
        for start, end in zip(offsets[:count], ends, strict=True)
    )


def _expanded(segment: bytes) -> int:
    """Return how many bytes the runs of a segment become."""
    total, position, size = 0, 0, len(segment)
    while position < size:
        code = segment[position]
        if code < 128:
            total, position = total + code + 1, position + code + 2
        else:
            total, position = total + (257 - code) * (code != 128), position + (2 if code != 128 else 1)
    return total


def _size_of_jpeg(frame: bytes) -> CodedSize | None:
    """Read the one start of frame before the first scan; of two, decoders take whichever they like."""
    position, size, restarts = 2, None, False
    for _ in range(_MAX_SEGMENTS):
        marker, code = struct.unpack_from("BB", frame, position)
        if marker != 0xFF:
            return None
        if code == 0xFF:  # fill bytes may stand before a marker
            position += 1
            continue
        if code in _WITHOUT_LENGTH:
            position += 2
            continue
        if code in (_SCAN_STARTS, _IMAGE_ENDS):
            return replace(size, restarts=restarts) if size is not None and code == _SCAN_STARTS else None
        (length,) = struct.unpack_from(">H", frame, position + 2)
        if code in _SOF_MARKERS:
            if size is not None:
                return None
            bits, rows, columns, samples = struct.unpack_from(">BHHB", frame, position + 4)
            size = CodedSize(rows, columns, samples, bits)
        restarts = restarts or code == _RESTART_INTERVAL
        position += 2 + length
    return None


def _codestream_start(frame: bytes) -> int:
    """Return where the codestream lies in a file of boxes (ISO 15444-1, I.4): other boxes may hold what looks like it.

    The file's end if there is none.
    """
    position = 0
    for _ in range(_MAX_SEGMENTS):
        length, kind = struct.unpack_from(">L4s", frame, position)
        head = 8
        if length == 1:
            (length,), head = struct.unpack_from(">Q", frame, position + 8), 16
        if kind == _CODESTREAM_BOX:
            return position + head
        if length < head:  # 0 is a box up to the end
            break
        position += length
    return len(frame)


def _size_of_jpeg_2000(frame: bytes, start: int) -> CodedSize | None:
    """Read the SIZ segment: the image's area on the reference grid, and how it is tiled (ISO 15444-1, A.5.1)."""
    width, height, left, top, tile_width, tile_height, tile_left, tile_top, samples = struct.unpack_from(
        ">8LH", frame, start + 8
    )
    if not tile_width or not tile_height or tile_left > left or tile_top > top or left >= width or top >= height:
        return None
    tiles = -(-(width - tile_left) // tile_width) * -(-(height - tile_top) // tile_height)
    if not samples or tiles > _MAX_TILES:
        return None
    components = [struct.unpack_from("BBB", frame, start + 42 + 3 * component) for component in range(samples)]
    across, down = min(one[1] for one in components), min(one[2] for one in components)
    if not across or not down:
        return None
    columns = -(-width // across) - -(-left // across)
    rows = -(-height // down) - -(-top // down)
    # The first bit of a component's depth is its sign.
    return CodedSize(rows, columns, samples, max(one[0] & 0x7F for one in components) + 1)
