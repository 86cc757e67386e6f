"""A compressed frame's own size is compared with the header's before anything is decoded."""

import resource
from collections.abc import Callable
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
    assert coded_size(encoded(name, image)) == CodedSize(*shape, 1)


@pytest.mark.parametrize("name", ENCODERS)
def test_what_is_cut_or_damaged_states_nothing_or_another_size_but_raises_nothing(name: str) -> None:
    data = encoded(name, IMAGE)
    for end in range(min(len(data), 400)):
        assert coded_size(data[:end]) in (None, CodedSize(64, 96, 1))
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
