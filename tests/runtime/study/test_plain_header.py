"""The short walk over plain headers against pydicom: the same slices, or left to pydicom."""

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mock_study import MockStudy, breast_phantom
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from fcdd_runtime.study import read as study_module
from fcdd_runtime.study.plain_header import HEADER_BYTES, plain_header

pytestmark = pytest.mark.filterwarnings("ignore:.*(V|v)alue.*")

Read = tuple[Any, list[str]]

NUMBERS = st.one_of(
    st.sampled_from(["0", "-0.0", "1e3", "+4", ".5", "5.", "1e37", "1.2345678901", "", " 7 ", "abc", "1,5", "nan"]),
    st.floats(-1e6, 1e6).map(lambda value: f"{value:.6g}"),
)
WORDS = st.one_of(
    st.sampled_from(
        [
            "",
            "FS",
            "M",
            "DERIVED",
            "a b",
            " lead",
            "trail ",
            "R\\xe4ume",
            "R\xe4ume",
            "M\xc3\xbcller^Eva^^",
            "a=b^c",
            "x\\x1by",
            "one\\two",
            "\\",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
)
ATTRIBUTES: dict[str, tuple[str, Any]] = {
    "TriggerTime": ("DS", NUMBERS),
    "EchoTime": ("DS", NUMBERS),
    "RescaleSlope": ("DS", NUMBERS),
    "RescaleIntercept": ("DS", NUMBERS),
    "AcquisitionNumber": ("IS", NUMBERS),
    "TemporalPositionIdentifier": ("IS", NUMBERS),
    "SeriesNumber": ("IS", NUMBERS),
    "AcquisitionTime": ("TM", st.sampled_from(["", "101112", "101112.123456", "10", "99", "10:11:12", "x"])),
    "SeriesDescription": ("LO", WORDS),
    "ImageType": ("CS", WORDS),
    "BodyPartExamined": ("CS", WORDS),
    "PatientName": ("PN", WORDS),
    "PatientID": ("LO", WORDS),
    "SpecificCharacterSet": ("CS", st.sampled_from(["ISO_IR 100", "ISO_IR 192", "ISO_IR 13", ""])),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MockStudy(breast_phantom()).write(tmp_path_factory.mktemp("source"))[0]


def read(path: Path) -> Read:
    unread = study_module._Unread()
    return study_module._read_file(path, unread), unread.notes


def read_by_pydicom(path: Path) -> Read:
    with mock.patch.object(study_module, "plain_header", lambda _: None):
        return read(path)


def is_plain(path: Path) -> bool:
    return plain_header(path.read_bytes()[:HEADER_BYTES]) is not None


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.fixed_dictionaries({}, optional={name: values for name, (_, values) in ATTRIBUTES.items()}))
def test_whatever_the_values_are_the_slices_are_those_of_pydicom(
    values: dict[str, str], source: Path, tmp_path: Path
) -> None:
    header = dcmread(source)
    for name, text in values.items():
        vr = ATTRIBUTES[name][0]
        element = DataElement(name, "OB", text.encode("latin-1") + b" " * (len(text) % 2))
        # Written as bytes under the attribute's own VR: what is not valid could not be written otherwise.
        header[element.tag] = element
        element.VR = vr
        element._value = text
    path = tmp_path / "changed.dcm"
    try:
        header.save_as(path)
    except (ValueError, OverflowError, TypeError, AttributeError, UnicodeError):
        return
    assert read(path) == read_by_pydicom(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(132, 1500), byte=st.integers(0, 255))
def test_whatever_byte_is_damaged_no_other_slices_come_of_it(
    place: int, byte: int, source: Path, tmp_path: Path
) -> None:
    data = bytearray(source.read_bytes())
    data[min(place, len(data) - 1)] = byte
    path = tmp_path / "damaged.dcm"
    path.write_bytes(data)
    if is_plain(path):
        assert read(path) == read_by_pydicom(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, 3000))
def test_a_header_that_is_cut_is_not_plain(length: int, source: Path, tmp_path: Path) -> None:
    end = source.read_bytes().rindex(b"\xe0\x7f\x10\x00")
    path = tmp_path / "cut.dcm"
    path.write_bytes(source.read_bytes()[: min(length, end)])
    assert not is_plain(path)


def nested(depth: int, undefined: bool) -> Dataset:
    inner = Dataset()
    inner.RescaleSlope = "77"
    for _ in range(depth):
        outer = Dataset()
        outer.ReferencedImageSequence = Sequence([inner])
        outer["ReferencedImageSequence"].is_undefined_length = undefined
        inner.is_undefined_length_sequence_item = undefined
        inner = outer
    return inner


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 20])
def test_values_inside_sequences_are_not_those_of_the_header(
    undefined: bool, depth: int, source: Path, tmp_path: Path
) -> None:
    header = dcmread(source)
    header.update(nested(depth, undefined))
    path = tmp_path / "nested.dcm"
    header.save_as(path)
    assert is_plain(path)
    assert read(path) == read_by_pydicom(path)


def test_implicit_headers_are_left_to_pydicom(source: Path, tmp_path: Path) -> None:
    header = dcmread(source)
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    path = tmp_path / "implicit.dcm"
    header.save_as(path, implicit_vr=True, little_endian=True)
    assert not is_plain(path)
    assert read(path)[0] is not None


def test_real_headers_are_plain_and_say_the_same(reference_data: Path) -> None:
    paths = sorted((reference_data / "real_mr" / "philips_classic_3phase").iterdir())[:20]
    assert all(is_plain(path) for path in paths)
    assert [read(path) for path in paths] == [read_by_pydicom(path) for path in paths]


def test_a_multi_frame_object_is_left_to_pydicom(reference_data: Path) -> None:
    [path] = (reference_data / "real_mr" / "philips_enhanced_3phase").iterdir()
    assert not is_plain(path)
