"""A new attribute that tells phases apart is one row of the table, also if it is a vendor's private tag."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from mock_study import MockStudy, breast_phantom
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.choose import Phases, split_phases
from fcdd_runtime.study import phase_attributes
from fcdd_runtime.study import read as read_module
from fcdd_runtime.study.header_values import PrivateTag
from fcdd_runtime.study.phase_attributes import Element, PhaseAttribute
from fcdd_runtime.study.plain_header import HEADER_BYTES, plain_header
from fcdd_runtime.study.read import Study, read_studies
from support import assert_review, sentences

PHANTOM = breast_phantom(phases=3)
SLICES = PHANTOM.voxels.shape[1]
GROUP, CREATOR = 0x0019, "ACME DYNAMICS 2"
TAG = PrivateTag(GROUP, 0xA2, CREATOR)
PRIVATE_GROUP = PrivateTag(GROUP, 0xB0, CREATOR)


def row(**changes: Any) -> PhaseAttribute:
    values: dict[str, Any] = {
        "name": "Acme dynamic number",
        "frame_name": "Acme dynamic number",
        "single_frame": (Element(TAG),),
        "multi_frame": (Element(TAG, PRIVATE_GROUP), Element(TAG, "FrameContentSequence")),
        "unit": "number",
        "tolerance": 0.0,
        "numbers_phases": True,
    }
    return PhaseAttribute(**(values | changes))


@pytest.fixture
def add_row(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def add(**changes: Any) -> None:
        monkeypatch.setattr(phase_attributes, "TABLE", (row(**changes), *phase_attributes.TABLE))

    return add


def set_private(elements: Dataset, vr: str, value: Any, others: int = 0, creator: str = CREATOR) -> None:
    """Write the vendor's element behind blocks of others, which hold the same element with another value."""
    for number in range(others):
        elements.private_block(GROUP, f"OTHER {number}", create=True).add_new(TAG.element, "IS", 77)
    elements.private_block(GROUP, creator, create=True).add_new(TAG.element, vr, value)


def write_study(folder: Path, vr: str = "IS", creator: str = CREATOR, **mock_values: Any) -> list[Path]:
    """Write three phases that only the private number tells apart: 1, 2, 3, in a block of changing place."""
    files = MockStudy(PHANTOM, phase_attribute="InstanceNumber", random_instance_numbers=True, **mock_values).write(
        folder
    )
    for number, path in enumerate(files):
        header = dcmread(path)
        set_private(header, vr, number // SLICES + 1, others=number % 3, creator=creator)
        header.save_as(path)
    return files


def read(folder: Path) -> Study:
    (study,), notes = read_studies(folder, folder)
    assert notes == []
    return study


def split(folder: Path) -> Phases:
    return split_phases(read(folder), MipRecipe())


def assert_first_two_phases(phases: Phases) -> None:
    for volume, voxels in ((phases.pre, PHANTOM.voxels[0]), (phases.post, PHANTOM.voxels[1])):
        np.testing.assert_array_equal(np.stack([volume.read_slice(index) for index in range(SLICES)]), voxels)
    assert (phases.choice.method, phases.choice.count, sentences(phases.findings)) == ("Acme dynamic number", 3, ())


def is_plain(path: Path) -> bool:
    return plain_header(path.read_bytes()[:HEADER_BYTES]) is not None


@pytest.mark.parametrize("vr", ["IS", "DS", "US", "FD"])
def test_a_private_tag_tells_phases_apart_in_plain_headers(
    vr: str, tmp_path: Path, add_row: Callable[..., None]
) -> None:
    files = write_study(tmp_path, vr)
    with pytest.raises(StudyError, match="only one phase"):
        split(tmp_path)
    add_row()
    assert all(map(is_plain, files))
    assert_first_two_phases(split(tmp_path))


@pytest.mark.parametrize(
    ("vr", "syntax"),
    [("SL", ExplicitVRLittleEndian), ("IS", ImplicitVRLittleEndian)],
    ids=["of a rare VR", "of unknown VR, as text"],
)
def test_a_private_tag_tells_phases_apart_in_headers_that_pydicom_reads(
    vr: str, syntax: str, tmp_path: Path, add_row: Callable[..., None]
) -> None:
    files = write_study(tmp_path, vr, transfer_syntax=syntax)
    add_row()
    assert not any(map(is_plain, files))
    assert_first_two_phases(split(tmp_path))


def test_a_private_tag_has_the_same_value_in_plain_headers_as_by_pydicom(
    tmp_path: Path, add_row: Callable[..., None]
) -> None:
    write_study(tmp_path)
    add_row()
    plain = read(tmp_path)
    with mock.patch.object(read_module, "plain_header", lambda _: None):
        assert read(tmp_path) == plain
    values = {image_slice.phase_values["Acme dynamic number"] for image_slice in plain.series[0].slices}
    assert values == {1.0, 2.0, 3.0}


def test_the_same_element_of_another_creator_says_nothing(tmp_path: Path, add_row: Callable[..., None]) -> None:
    write_study(tmp_path, creator="SOMEBODY ELSE")
    add_row()
    with pytest.raises(StudyError, match="only one phase"):
        split(tmp_path)


@pytest.mark.parametrize("group", ["PrivateGroup", "FrameContentSequence"])
def test_a_private_tag_of_frames_tells_phases_apart(group: str, tmp_path: Path, add_row: Callable[..., None]) -> None:
    (path,) = MockStudy(PHANTOM, enhanced=True).write(tmp_path)
    header = dcmread(path)
    for frame in header.PerFrameFunctionalGroupsSequence:
        content = frame.FrameContentSequence[0]
        number = content.TemporalPositionIndex
        del content.TemporalPositionIndex
        if group == "PrivateGroup":
            own = Dataset()
            frame.private_block(GROUP, CREATOR, create=True).add_new(PRIVATE_GROUP.element, "SQ", Sequence([own]))
            set_private(own, "IS", number)
        else:
            set_private(content, "IS", number)
    header.save_as(path)
    add_row()
    assert_first_two_phases(split(tmp_path))


@pytest.mark.parametrize("binds", [True, False])
def test_a_private_time_contradicts_an_order_as_its_row_says(
    binds: bool, tmp_path: Path, add_row: Callable[..., None]
) -> None:
    files = MockStudy(PHANTOM).write(tmp_path)
    for number, path in enumerate(files):
        header = dcmread(path)
        set_private(header, "DS", 60_000 * (3 - number // SLICES) + number % SLICES)
        header.save_as(path)
    # Times of their own for every slice tell no phases apart, so that the temporal positions order them.
    add_row(unit="ms", tolerance=0.001, numbers_phases=False, binds=binds)
    sentence = "Acme dynamic number orders the phases of .* otherwise than TemporalPositionIdentifier"
    [finding] = split(tmp_path).findings
    assert re.search(sentence, finding.sentence)
    assert finding.to_review == binds


def test_a_gap_in_a_private_number_of_phases_is_a_missing_phase(tmp_path: Path, add_row: Callable[..., None]) -> None:
    for path in write_study(tmp_path)[SLICES : 2 * SLICES]:
        path.unlink()
    add_row()
    assert_review(split(tmp_path).findings, "post-missing", "have the Acme dynamic number 1 and 3")
