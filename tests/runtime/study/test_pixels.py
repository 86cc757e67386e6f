"""The straight way to plain frames, and the parallel way to compressed ones, against pydicom's decoders."""

from pathlib import Path
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage

from fcdd_benchmarks.study.drawn_study import StudyShape, write_study
from fcdd_runtime.errors import StudyError
from fcdd_runtime.study import pixels as pixels_module
from fcdd_runtime.study.pixels import read_frame
from fcdd_runtime.study.read import read_studies

ROWS, COLUMNS = 5, 7
PIXELS = st.binary(min_size=2 * ROWS * COLUMNS, max_size=2 * ROWS * COLUMNS)


def write(path: Path, data: bytes, bits_stored: int, signed: bool, implicit: bool) -> None:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID, header.Modality = MRImageStorage, "1.2.3", "MR"
    header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.4", "1.2.5"
    header.Rows, header.Columns, header.SamplesPerPixel = ROWS, COLUMNS, 1
    header.PhotometricInterpretation, header.PixelRepresentation = "MONOCHROME2", int(signed)
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, bits_stored, bits_stored - 1
    header.PixelData = data
    header["PixelData"].VR = "OW"
    header.save_as(path, enforce_file_format=True)


def read(path: Path) -> npt.NDArray[np.float32]:
    (study,), _ = read_studies(path, path.parent)
    return study.series[0].slices[0].read()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=PIXELS, bits_stored=st.integers(1, 16), signed=st.booleans(), implicit=st.booleans(), inside=st.booleans())
def test_plain_frames_have_pydicoms_pixels_whatever_the_bits(
    data: bytes, bits_stored: int, signed: bool, implicit: bool, inside: bool, tmp_path: Path
) -> None:
    if inside:
        words = np.frombuffer(data, "<u2") >> (16 - bits_stored)
        data = (words.astype("<i2") - ((1 << (bits_stored - 1)) if signed else 0)).astype("<i2").tobytes()
    path = tmp_path / "file"
    write(path, data, bits_stored, signed, implicit)
    found = read(path)
    with mock.patch.object(pixels_module, "_read_plain", lambda *_: None):
        np.testing.assert_array_equal(found, read(path))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=arrays("<u2", (ROWS, COLUMNS)),
    signed=st.booleans(),
    slope=st.sampled_from([1.0, 2.0, -1.0, 0.37]),
    intercept=st.sampled_from([0.0, 5.0, -1024.0, 0.25]),
)
def test_a_frame_has_the_rescaled_values_and_is_never_wrapped_around(
    words: npt.NDArray[np.uint16], signed: bool, slope: float, intercept: float, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    write(path, words.tobytes(), 16, signed, implicit=False)
    (study,), _ = read_studies(path, path.parent)
    stored = study.series[0].slices[0].pixels
    assert stored is not None
    found = read_frame(stored, 0, slope, intercept)
    values = words.astype(np.float64) - (words >= 2**15) * 2.0**16 * signed
    np.testing.assert_array_equal(found.astype(np.float64), (values * slope + intercept).astype(np.float32))
    assert found.dtype == np.float32 or (slope, intercept) == (1, 0)


def test_integers_that_float32_cannot_hold_are_rounded_to_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    values = np.full((ROWS, COLUMNS), 2**31 - 1, "<u4")
    write(path, values.tobytes(), 16, signed=False, implicit=False)
    header = dcmread(path)
    header.BitsAllocated, header.BitsStored, header.HighBit = 32, 32, 31
    header.save_as(path)
    assert read(path).dtype == np.float32
    np.testing.assert_array_equal(read(path), values.astype(np.float32))


@pytest.mark.parametrize("syntax", ["jpeg-ls", "jpeg-lossless"])
def test_compressed_frames_have_pydicoms_pixels(syntax: str, tmp_path: Path) -> None:
    write_study(tmp_path / "study", StudyShape(8, 64, 1, syntax))
    (study,), _ = read_studies(tmp_path / "study", tmp_path)
    slices = study.series[0].slices
    with mock.patch.object(pixels_module, "_decode_by_pydicom", side_effect=AssertionError("not needed")):
        found = [image_slice.read() for image_slice in slices]
    with mock.patch.object(pixels_module, "_decode_losslessly", lambda *_: None):
        np.testing.assert_array_equal(np.stack(found), np.stack([image_slice.read() for image_slice in slices]))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("value", "limit"), [(65535, None), (-1, None), (60000, 65535)])
def test_padding_looks_like_air(tmp_path: Path, signed: bool, value: int, limit: int | None) -> None:
    path = tmp_path / "file"
    image = np.arange(10, 10 + ROWS * COLUMNS, dtype="<u2").reshape(ROWS, COLUMNS)
    image[:2, :2] = value % 65536 if limit is None else (limit + value) // 2
    write(path, image.tobytes(), 16, signed, implicit=False)
    header = dcmread(path)
    kind = "SS" if value < 0 else "US"
    header.add_new("PixelPaddingValue", kind, value)
    if limit is not None:
        header.add_new("PixelPaddingRangeLimit", kind, limit)
    header.save_as(path)
    expected = image.astype(np.float32)
    expected[:2, :2] = 12
    np.testing.assert_array_equal(read(path), expected)


def test_an_image_of_padding_alone_is_black(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, np.full((ROWS, COLUMNS), 65535, "<u2").tobytes(), 16, signed=False, implicit=False)
    header = dcmread(path)
    header.add_new("PixelPaddingValue", "US", 65535)
    header.save_as(path)
    assert not read(path).any()


def test_pixels_that_do_not_begin_at_the_lowest_bit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, bytes(2 * ROWS * COLUMNS), 12, signed=False, implicit=False)
    header = dcmread(path)
    header.HighBit = 15
    header.save_as(path)
    with pytest.raises(StudyError, match="declares 12 bits per pixel below bit 15, which DICOM does not allow"):
        read(path)
