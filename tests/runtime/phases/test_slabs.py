"""Sagittal series that show both breasts with a gap between them, and series that merely lost slices."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mock_study import MockStudy, breast_phantom, cropped
from pydicom import dcmread

from fcdd_runtime.breasts.split import BreastImage
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.choose import Phases, split_phases
from fcdd_runtime.phases.manual import manual_phases
from fcdd_runtime.score_study import breast_images
from fcdd_runtime.study.read import Study, read_studies
from support import sentences

PHANTOM = breast_phantom(phases=2)
COLUMNS = PHANTOM.voxels.shape[3]
GAP = range(38, 58)
"""Columns between the breasts; x = 0 is column 40."""


def write(folder: Path, left_out: Collection[int], renumber: bool = True, **values: Any) -> list[Path]:
    """Write a sagittal study without the slices of some columns; return the files in order of phase and column."""
    files = MockStudy(PHANTOM, **{"axes": "xzy", **values}).write(folder)
    backwards = "x" in values.get("backwards", "")
    kept = []
    for number, path in enumerate(files):
        index = number % COLUMNS
        if (COLUMNS - 1 - index if backwards else index) in left_out:
            path.unlink()
        else:
            kept.append(path)
    for number, path in enumerate(kept if renumber and not values.get("random_instance_numbers") else (), start=1):
        edit(path, InstanceNumber=number)
    return kept


def edit(path: Path, **values: Any) -> None:
    header = dcmread(path)
    for keyword, value in values.items():
        setattr(header, keyword, value)
    header.save_as(path)


def study_in(folder: Path) -> Study:
    (study,), _ = read_studies(folder, folder)
    return study


def split(folder: Path) -> Phases:
    return split_phases(study_in(folder), MipRecipe())


def images_of(phases: Phases) -> tuple[BreastImage, ...]:
    return breast_images(phases, MipRecipe())[0]


def images_of_a_series_a_side(folder: Path) -> tuple[BreastImage, ...]:
    MockStudy(cropped(PHANTOM, 0, GAP.start), "xzy", series_number=5).write(folder / "right")
    MockStudy(cropped(PHANTOM, GAP.stop, COLUMNS), "xzy", series_number=6).write(folder / "left")
    return images_of(split(folder))


def assert_equal_images(found: tuple[BreastImage, ...], expected: tuple[BreastImage, ...]) -> None:
    assert [image.laterality for image in found] == ["R", "L"]
    for breast, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(breast.pixels, other.pixels)
        assert breast.patient_mm(5, 7) == pytest.approx(other.patient_mm(5, 7))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"backwards": "xz"},
        {"series_per_phase": True},
        {"attributes": {"Laterality": "B"}},
    ],
    ids=str,
)
def test_both_breasts_are_shown_as_if_each_had_a_series_of_its_own(tmp_path: Path, values: dict[str, Any]) -> None:
    write(tmp_path / "one", GAP, **values)
    phases = split(tmp_path / "one")
    assert_equal_images(images_of(phases), images_of_a_series_a_side(tmp_path / "two"))
    assert (phases.choice.count, phases.choice.method) == (2, "TemporalPositionIdentifier")
    assert "right side, phase 1 of" in phases.choice.pre
    assert "left side, phase 1 of" in phases.choice.pre
    assert sentences(phases.findings) == tuple(
        f'series {number} "dyn t1 fs" was read as one slab of slices a breast, 52.5 mm apart; if slices were acquired '
        "between them, they are missing from the scores."
        for number in ((5, 6) if "series_per_phase" in values else (5,))
    )


def set_lateralities(kept: list[Path], **sides: str) -> None:
    for path in kept:
        edit(path, ImageLaterality=sides["right"] if dcmread(path).ImagePositionPatient[0] < 20 else sides["left"])


def test_a_laterality_a_slice_proves_the_gap_where_numbers_are_random(tmp_path: Path) -> None:
    set_lateralities(write(tmp_path / "one", GAP, random_instance_numbers=True), right="R", left="L")
    phases = split(tmp_path / "one")
    assert_equal_images(images_of(phases), images_of_a_series_a_side(tmp_path / "two"))
    assert [warning for warning in sentences(phases.findings) if "52.5 mm apart" in warning] == list(
        sentences(phases.findings)
    )


@pytest.mark.parametrize("sides", [("L", "L"), ("L", "R"), ("R", ""), ("B", "B")])
def test_other_lateralities_prove_nothing(sides: tuple[str, str], tmp_path: Path) -> None:
    set_lateralities(write(tmp_path, GAP, random_instance_numbers=True), right=sides[0], left=sides[1])
    with pytest.raises(StudyError, match="missing slice|several lateralities"):
        split(tmp_path)


@pytest.mark.parametrize("number", ["random", "none"])
@pytest.mark.parametrize("lost", [range(36, 44), range(38, 58), range(18, 64)], ids=len)
def test_a_series_that_lost_its_middle_is_refused_where_no_number_tells(
    lost: range, number: str, tmp_path: Path
) -> None:
    for path in write(tmp_path, lost, random_instance_numbers=True):
        if number == "none":
            edit(path, InstanceNumber=None)
    with pytest.raises(StudyError, match="missing slice"):
        split(tmp_path)


@pytest.mark.parametrize(("end", "is_split"), [(61, True), (62, False)])
def test_a_gap_wider_than_a_sternum_is_a_loss_whatever_the_headers_say(
    end: int, is_split: bool, tmp_path: Path
) -> None:
    set_lateralities(write(tmp_path, range(38, end)), right="R", left="L")
    if is_split:
        assert split(tmp_path).left is not None
        return
    with pytest.raises(StudyError, match=r"missing slice: two neighbours are 62\.50 mm apart"):
        split(tmp_path)


def test_one_choice_of_phases_names_both_breasts(tmp_path: Path) -> None:
    write(tmp_path / "one", GAP)
    phases = split_phases(study_in(tmp_path / "one"), MipRecipe(), manual_phases("5/1", "5/2"))
    assert_equal_images(images_of(phases), images_of_a_series_a_side(tmp_path / "two"))


@pytest.mark.parametrize(
    "left_out",
    [[20], [40], [*GAP, 20], [*GAP, 80], range(60, 80), range(15, 30), range(40, 42), range(5, 45)],
    ids=["in the right", "at the midline", "and in the right", "and in the left", *"abcd"],
)
def test_lost_slices_are_no_gap_between_breasts(tmp_path: Path, left_out: Collection[int]) -> None:
    write(tmp_path, left_out)
    with pytest.raises(StudyError, match="missing slice"):
        split(tmp_path)


def test_slices_that_instance_number_counts_are_lost_even_over_the_midline(tmp_path: Path) -> None:
    write(tmp_path, GAP, renumber=False)
    with pytest.raises(StudyError, match="missing slice"):
        split(tmp_path)


@pytest.mark.parametrize("column", [0, 10, 37, 58, 95])
def test_a_slice_that_one_phase_of_one_breast_lacks_is_missed(tmp_path: Path, column: int) -> None:
    kept = write(tmp_path, GAP)
    breast = [column for column in range(COLUMNS) if column not in GAP]
    kept[len(breast) + breast.index(column)].unlink()
    with pytest.raises(StudyError, match="slice"):
        split(tmp_path)


def test_a_phase_that_one_breast_lacks_is_missed(tmp_path: Path) -> None:
    kept = write(tmp_path, GAP)
    for path in kept[-(COLUMNS - GAP.stop) :]:
        path.unlink()
    with pytest.raises(StudyError, match="missing slice"):
        split(tmp_path)


def test_slabs_in_two_frames_of_reference_are_not_compared(tmp_path: Path) -> None:
    kept = write(tmp_path, GAP)
    for number, path in enumerate(kept):
        if number % (COLUMNS - len(GAP)) >= GAP.start:
            edit(path, FrameOfReferenceUID="1.2.3")
    with pytest.raises(StudyError, match="different frames of reference"):
        split(tmp_path)


def test_a_coronal_series_is_never_split(tmp_path: Path) -> None:
    files = MockStudy(PHANTOM, "yzx").write(tmp_path)
    rows = PHANTOM.voxels.shape[2]
    for number, path in enumerate(files):
        if 25 <= number % rows < 35:
            path.unlink()
    with pytest.raises(StudyError, match="missing slice"):
        split(tmp_path)
