"""Header values that are missing, empty or absurd: a result or one sentence, never anything else."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mock_study import MockStudy, breast_phantom
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from result_builders import make_contract

from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.errors import FcddError
from fcdd_runtime.score_study import score_study
from fcdd_runtime.study.read import read_studies

pytestmark = pytest.mark.filterwarnings("ignore")

NAMES = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation", "SamplesPerPixel"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "TemporalPositionIdentifier"),
    *("AcquisitionTime", "AcquisitionDate", "InstanceNumber", "SeriesNumber", "ImageType", "RescaleSlope"),
    *("EchoTime", "RepetitionTime", "FlipAngle", "FrameOfReferenceUID", "NumberOfFrames", "BodyPartExamined"),
]
VALUES = [b"", b"0 ", b"-1", b"1\\2\\3 ", b"1e300 ", b"nan ", b"\xff\xff", b"\x00\x00", b"9" * 64, b"\\\\", b"\x1b$B"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    MockStudy(breast_phantom(phases=2)).write(folder)
    return folder


def changed(header: Dataset, name: str, value: bytes | None) -> None:
    """Leave an element out, or write bytes as its value that may not be valid."""
    tag = Tag(name)
    vr = header[tag].VR if tag in header else "LO"
    header.pop(tag, None)
    if value is not None:
        header[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    # One change a name: what a first one left could not be looked at again.
    changes=st.lists(
        st.tuples(st.sampled_from(NAMES), st.none() | st.sampled_from(VALUES)),
        min_size=1,
        max_size=3,
        unique_by=lambda change: change[0],
    ),
    share=st.sampled_from([1, 2, 7]),
)
def test_odd_headers_give_a_result_or_one_sentence(
    changes: list[tuple[str, bytes | None]], share: int, study: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(study, folder)
    for path in sorted(folder.iterdir())[::share]:
        header = dcmread(path)
        for name, value in changes:
            changed(header, name, value)
        header.save_as(path)
    try:
        for found in read_studies(folder, tmp_path)[0]:
            result = score_study(found, FakeBackend(make_contract()))
            assert {breast.laterality for breast in result.breasts} <= {"L", "R"}
    except FcddError as error:
        assert "\n" not in str(error)
