"""A compressed frame's own size is compared with the header's before anything is decoded."""

import resource
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from mock_study import MockStudy, breast_phantom
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import RLELosslessEncoder
from pydicom.uid import (
    UID,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from fcdd_runtime.errors import StudyError
from fcdd_runtime.study.codestream import CodedSize, coded_size, fits_rle
from fcdd_runtime.study.read import read_studies

Image = npt.NDArray[np.uint16]
IMAGE = np.random.default_rng(0).integers(0, 3000, (64, 96)).astype(np.uint16)
ENCODERS: dict[str, tuple[UID, Callable[[Image], bytes]]] = {
    "JPEG lossless": (JPEGLosslessSV1, lambda image: bytes(imagecodecs.ljpeg_encode(image))),
    "JPEG 12 bit": (JPEGExtended12Bit, lambda image: bytes(imagecodecs.jpeg_encode(image, bitspersample=12))),
    "JPEG-LS": (JPEGLSLossless, lambda image: bytes(imagecodecs.jpegls_encode(image))),
    "JPEG 2000": (JPEG2000Lossless, lambda image: bytes(imagecodecs.jpeg2k_encode(image, codecformat="j2k"))),
    "JPEG 2000 in a file": (JPEG2000Lossless, lambda image: bytes(imagecodecs.jpeg2k_encode(image, codecformat="jp2"))),
    "HTJ2K": (HTJ2KLossless, lambda image: bytes(imagecodecs.htj2k_encode(image))),
}


def encoded(name: str, image: Image) -> bytes:
    try:
        return ENCODERS[name][1](image)
    except imagecodecs.DelayedImportError:
        pytest.skip(f"imagecodecs was built without {name}")


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("shape", [(64, 96), (1, 1000), (513, 2)])
def test_every_kind_of_codestream_states_its_size(name: str, shape: tuple[int, int]) -> None:
    image = np.resize(IMAGE, shape)
    assert coded_size(encoded(name, image)) == CodedSize(*shape, 1, 12 if name == "JPEG 12 bit" else 16)


@pytest.mark.parametrize("name", ENCODERS)
def test_what_is_cut_or_damaged_states_nothing_or_another_size_but_raises_nothing(name: str) -> None:
    data = encoded(name, IMAGE)
    for end in (*range(400), *range(len(data) - 20, len(data) - 1)):
        assert coded_size(data[:end]) is None
        assert coded_size(data[:end] + bytes(len(data) - end)) is None
    assert coded_size(data + bytes(1)) == coded_size(data)
    assert coded_size(data) is not None
    random = np.random.default_rng(1)
    for _ in range(500):
        damaged = bytearray(data)
        for place in random.integers(0, 200, 3):
            damaged[place] = random.integers(0, 256)
        coded_size(bytes(damaged))


def write_study(folder: Path, syntax: UID, frame: bytes, shape: tuple[int, int] = (64, 96)) -> list[Any]:
    """Write a study whose files all hold one frame."""
    for path in MockStudy(breast_phantom()).write(folder):
        header = dcmread(path)
        header.Rows, header.Columns = shape
        header.BitsStored, header.HighBit = 12, 11
        header.file_meta.TransferSyntaxUID = syntax
        header.PixelData = encapsulate([frame])
        header["PixelData"].VR = "OB"
        header["PixelData"].is_undefined_length = True
        header.save_as(path)
    ((study,), _) = read_studies(folder, folder)
    return [image_slice for series in study.series for image_slice in series.slices]


@pytest.mark.parametrize("name", ENCODERS)
def test_frames_of_the_headers_size_are_read(name: str, tmp_path: Path) -> None:
    slices = write_study(tmp_path, ENCODERS[name][0], encoded(name, IMAGE))
    np.testing.assert_allclose(slices[0].read(), IMAGE, atol=0 if "12 bit" not in name else 600)


@pytest.mark.parametrize("name", ENCODERS)
def test_frames_of_another_size_are_not_decoded(name: str, tmp_path: Path) -> None:
    """Blank images of 9,000 squared compress to kilobytes; four bytes a pixel would be 0.3 GB a frame."""
    image = np.zeros((9000, 9000), np.uint16)
    slices = write_study(tmp_path, ENCODERS[name][0], encoded(name, image))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StudyError, match="cannot be decoded; export the study again"):
        slices[0].read()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


def test_two_sizes_in_one_jpeg_are_no_size_and_a_decoy_in_a_file_of_boxes_is_none_of_its_own(tmp_path: Path) -> None:
    """Decoders take the last start of frame, and the codestream of its own box."""
    large = np.zeros((6000, 6000), np.uint16)
    start = b"\xff\xc3" + struct.pack(">HBHHB", 11, 16, 64, 96, 1) + b"\1\x11\0"
    for name in ("JPEG lossless", "JPEG-LS"):
        data = encoded(name, large)
        for filler in (b"", b"\xff", b"\xff\xd0"):
            assert coded_size(data[:2] + filler + start + data[2:]) is None
        assert coded_size(data[:2] + start + data) is None
    boxes, small = encoded("JPEG 2000 in a file", large), encoded("JPEG 2000", IMAGE)
    first = 12 + struct.unpack_from(">L", boxes, 12)[0]
    decoy = struct.pack(">L4s", 8 + len(small), b"uuid") + small
    forged = boxes[:first] + decoy + boxes[first:]
    assert coded_size(forged) == CodedSize(6000, 6000, 1, 16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StudyError, match="cannot be decoded"):
        write_study(tmp_path, JPEG2000Lossless, forged)[0].read()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024
    own = encoded("JPEG 2000 in a file", IMAGE)
    assert coded_size(own[:first] + decoy + own[first:]) == CodedSize(64, 96, 1, 16)


@pytest.mark.parametrize("name", ["JPEG lossless", "JPEG-LS", "JPEG 2000", "JPEG 2000 in a file", "HTJ2K"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9", bytes(1000)], ids=["cut", "a forged end", "zeros"])
def test_what_a_frame_lost_is_not_made_up(name: str, share: float, end: bytes, tmp_path: Path) -> None:
    """libjpeg behind pydicom goes on and gives noise, without a word."""
    data = encoded(name, IMAGE)
    slices = write_study(tmp_path, ENCODERS[name][0], data[: int(len(data) * share)] + end)
    with pytest.raises(StudyError, match="cannot be decoded"):
        slices[0].read()


def test_a_lossless_frame_with_values_that_its_own_bits_do_not_hold_is_damaged(tmp_path: Path) -> None:
    data = bytes(imagecodecs.ljpeg_encode(IMAGE, bitspersample=12))
    damaged = data[:3000] + bytes(512) + data[3512:]
    np.testing.assert_array_equal(write_study(tmp_path / "a", JPEGLosslessSV1, data)[0].read(), IMAGE)
    with pytest.raises(StudyError, match="cannot be decoded"):
        write_study(tmp_path / "b", JPEGLosslessSV1, damaged)[0].read()


@pytest.mark.parametrize("name", ["JPEG lossless", "JPEG-LS", "JPEG 2000"])
def test_frames_of_more_bits_than_the_header_allocates_are_not_decoded(name: str, tmp_path: Path) -> None:
    slices = write_study(tmp_path, ENCODERS[name][0], encoded(name, IMAGE))
    pixels = replace(slices[0].pixels, bits_allocated=8, bits_stored=8)
    with pytest.raises(StudyError, match="cannot be decoded"):
        replace(slices[0], pixels=pixels).read()


def rle(image: Image) -> bytes:
    options: dict[str, Any] = {"rows": image.shape[0], "columns": image.shape[1], "number_of_frames": 1}
    options |= {"samples_per_pixel": 1, "bits_allocated": 16, "bits_stored": 16, "pixel_representation": 0}
    options |= {"photometric_interpretation": "MONOCHROME2", "encoding_plugin": "pydicom"}
    return bytes(RLELosslessEncoder.encode(image, **options))


def test_rle_is_read_and_its_runs_cannot_swell(tmp_path: Path) -> None:
    np.testing.assert_array_equal(write_study(tmp_path / "a", RLELossless, rle(IMAGE))[0].read(), IMAGE)
    assert fits_rle(rle(IMAGE), IMAGE.size, 2)
    head = (2).to_bytes(4, "little") + (64).to_bytes(4, "little")
    swollen = head + (64 + 2**21).to_bytes(4, "little") + bytes(52) + b"\x81\x00" * 2**21
    assert not fits_rle(swollen, IMAGE.size, 2)
    with pytest.raises(StudyError, match="cannot be decoded"):
        write_study(tmp_path / "b", RLELossless, swollen)[0].read()


@pytest.mark.parametrize(
    "frame",
    [b"", bytes(64), rle(IMAGE)[:70], b"\x03" + rle(IMAGE)[1:], rle(IMAGE)[:4] + b"\xff" * 4 + rle(IMAGE)[8:]],
)
def test_rle_with_other_segments_is_refused(frame: bytes) -> None:
    assert not fits_rle(frame, IMAGE.size, 2)
