"""Numbers of headers that size or place something: a sentence or an ordinary result comes of each."""

import resource
from pathlib import Path
from typing import Any

import pytest
from mock_study import MockStudy, breast_phantom
from pydicom import dcmread
from pydicom.dataset import Dataset
from result_builders import make_contract

from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import Finding
from fcdd_runtime.score_study import prepare
from fcdd_runtime.study import bounds
from fcdd_runtime.study.bounds import FRAMES, PIXEL_SPACING, POSITION, SLICE_STEP, Bound
from fcdd_runtime.study.read import read_studies
from support import reviews


def outcome(folder: Path) -> tuple[Finding, ...] | str:
    """Prepare a study; return its findings, or the sentence why not."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: tuple[Finding, ...] | str
    try:
        ((study,), _) = read_studies(folder, folder)
        found = prepare(study, make_contract()).findings
    except StudyError as error:
        found = str(error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024
    return found


def change(folder: Path, enhanced: bool, keyword: str, value: Any, only: slice = slice(None)) -> None:
    for path in MockStudy(breast_phantom(), enhanced=enhanced).write(folder)[only]:
        header = dcmread(path)
        for place in places_of(header, keyword):
            setattr(place, keyword, value)
        header.save_as(path)


def places_of(header: Dataset, keyword: str) -> list[Dataset]:
    """The header, or where a multi-frame file has the element."""
    found: list[Dataset] = []

    def note(dataset: Dataset, element: Any) -> None:
        if element.keyword == keyword:
            found.append(dataset)

    header.walk(note)
    return found or [header]


ODD = [1e-9, 1e9, 1e30, -1.0, 0.0, 1e-3, 5000.0, "1e400", "nan", ""]


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("value", ODD, ids=str)
def test_any_pixel_spacing_is_read_or_refused_in_a_sentence(value: Any, enhanced: bool, tmp_path: Path) -> None:
    try:
        change(tmp_path, enhanced, "PixelSpacing", [value, value])
    except (ValueError, OverflowError):
        pytest.skip("no such value can be written")
    assert isinstance(outcome(tmp_path), str)


@pytest.mark.parametrize("value", [[2.5, 1e-9], [2.5, 1e9], [1e-9, 2.5]], ids=str)
def test_a_bad_spacing_in_one_direction_or_one_slice_is_noticed(value: list[float], tmp_path: Path) -> None:
    change(tmp_path / "all", False, "PixelSpacing", value)
    found = outcome(tmp_path / "all")
    assert isinstance(found, str)
    change(tmp_path / "one", False, "PixelSpacing", value, slice(3, 4))
    one = outcome(tmp_path / "one")
    assert isinstance(one, str) or reviews(one) != ()


@pytest.mark.parametrize("value", [1e30, -1e30, 1e9, 6000.0, 1e-300], ids=str)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_position_is_placed_or_refused(value: float, axis: int, tmp_path: Path) -> None:
    for path in MockStudy(breast_phantom()).write(tmp_path):
        header = dcmread(path)
        position = [float(part) for part in header.ImagePositionPatient]
        position[axis] = value if axis < 2 else value + position[2] * 1e-3
        header.ImagePositionPatient = position
        header.save_as(path)
    found = outcome(tmp_path)
    assert isinstance(found, str) or value == 1e-300


@pytest.mark.parametrize("factor", [1e-9, 1e-4, 100.0, 1e6])
def test_slices_at_any_distance_are_stacked_or_refused(factor: float, tmp_path: Path) -> None:
    for path in MockStudy(breast_phantom()).write(tmp_path):
        header = dcmread(path)
        x, y, z = (float(part) for part in header.ImagePositionPatient)
        header.ImagePositionPatient = [x, y, float(f"{z * factor:.9g}")]
        header.save_as(path)
    assert isinstance(outcome(tmp_path), str)


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("NumberOfTemporalPositions", [0, 10**9, -5]),
        ("ImagesInAcquisition", [0, 10**9, -5]),
        ("InstanceNumber", [2**31 - 1, -(2**31), 0]),
        ("AcquisitionNumber", [2**31 - 1, -(2**31)]),
        ("TriggerTime", [1e30, -1e30, 1e-30]),
        ("TemporalPositionIdentifier", [2**31 - 1, -(2**31)]),
        ("EchoTime", [1e30, -1.0]),
        ("RepetitionTime", [1e30, 0.0]),
        ("FlipAngle", [1e30, -90.0]),
        ("SliceThickness", [1e30, 1e-9, -1.0]),
        ("SpacingBetweenSlices", [1e30, 1e-9, -1.0]),
        ("RescaleSlope", [1e30, 1e-30, 0.0, -1.0]),
        ("RescaleIntercept", [1e30, -1e30]),
        ("SeriesNumber", [2**31 - 1, -(2**31)]),
    ],
)
def test_other_numbers_of_a_header_raise_nothing_but_a_sentence(
    keyword: str, values: list[float], tmp_path: Path
) -> None:
    for number, value in enumerate(values):
        change(tmp_path / str(number), False, keyword, value)
        outcome(tmp_path / str(number))


@pytest.mark.parametrize("frames", [0, -1, 10**8, 2**31 - 1])
def test_frames_that_no_file_holds_are_refused_before_memory_is_taken(frames: int, tmp_path: Path) -> None:
    change(tmp_path, True, "NumberOfFrames", frames)
    assert isinstance(outcome(tmp_path), str)


def test_descriptions_of_frames_that_are_not_there_are_not_looked_at(tmp_path: Path) -> None:
    """A file of 0.8 MB took 20 s."""
    (path,) = MockStudy(breast_phantom(), enhanced=True).write(tmp_path)
    header = dcmread(path)
    header.PerFrameFunctionalGroupsSequence = [Dataset()] * 60_000
    header.save_as(path)
    ((study,), _) = read_studies(tmp_path, tmp_path)
    assert len(study.series[0].slices) == header.NumberOfFrames
    assert "describes 60000" in study.series[0].slices[0].damage


def test_a_phase_has_so_many_voxels_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank slices of 4096 x 4096 pixels compress to kilobytes, and take 0.1 s each to decode."""
    MockStudy(breast_phantom()).write(tmp_path)
    monkeypatch.setattr(bounds, "MAX_VOXELS", 10 * 64 * 96)
    assert not isinstance(outcome(tmp_path), str)
    monkeypatch.setattr(bounds, "MAX_VOXELS", 10 * 64 * 96 - 1)
    assert "has 10 slices of 64 x 96 pixels, more than a breast volume has" in outcome(tmp_path)


@pytest.mark.parametrize(
    ("bound", "inside", "outside"),
    [
        (PIXEL_SPACING, [0.02, 0.7, 20.0], [0.019, 20.1, float("inf"), float("nan")]),
        (POSITION, [-5000.0, 0.0], [-5001.0]),
        (SLICE_STEP, [0.6, 5.0], [0.01]),
        (FRAMES, [1, 4800], [0, 20_001]),
    ],
)
def test_a_bound_says_which_value_is_none(bound: Bound, inside: list[float], outside: list[float]) -> None:
    assert bound.problem(*inside) == ""
    for value in outside:
        assert f"of {value:g}" in bound.problem(inside[0], value)
