"""Less than the headers promise puts a study to review, with both numbers; complete studies are left alone."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mock_study import MockStudy, breast_phantom
from pydicom import dcmread

from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.phases.choose import Phases, split_phases
from fcdd_runtime.study.read import read_studies
from support import assert_review, reviews

PHANTOM = breast_phantom(phases=4)
SLICES = PHANTOM.voxels.shape[1]


def split(folder: Path) -> Phases:
    (study,), _ = read_studies(folder, folder)
    return split_phases(study, MipRecipe())


def edit(paths: Iterable[Path], **values: Any) -> None:
    for path in paths:
        header = dcmread(path)
        for keyword, value in values.items():
            setattr(header, keyword, value)
        header.save_as(path)


def remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink()


@pytest.mark.parametrize("series_per_phase", [False, True])
def test_a_complete_study_keeps_its_promises(tmp_path: Path, series_per_phase: bool) -> None:
    images = SLICES if series_per_phase else 4 * SLICES
    attributes = {"NumberOfTemporalPositions": 4, "ImagesInAcquisition": images}
    MockStudy(PHANTOM, series_per_phase=series_per_phase, attributes=attributes).write(tmp_path)
    assert split(tmp_path).findings == ()


@pytest.mark.parametrize("series_per_phase", [False, True])
def test_phases_that_the_headers_promise_and_that_have_not_come(tmp_path: Path, series_per_phase: bool) -> None:
    attributes = {"NumberOfTemporalPositions": 4}
    paths = MockStudy(PHANTOM, series_per_phase=series_per_phase, attributes=attributes).write(tmp_path)
    remove(paths[2 * SLICES :])
    assert_review(split(tmp_path).findings, "incomplete", "2 phases have come of 4 that NumberOfTemporalPositions")


def test_the_last_slices_of_all_phases_that_have_not_come(tmp_path: Path) -> None:
    paths = MockStudy(PHANTOM, attributes={"ImagesInAcquisition": 4 * SLICES}).write(tmp_path)
    remove(path for number, path in enumerate(paths) if number % SLICES >= SLICES - 2)
    assert_review(split(tmp_path).findings, "incomplete", "32 slices have come of 40 that ImagesInAcquisition promises")


@pytest.mark.parametrize("attribute", ["TemporalPositionIdentifier", "AcquisitionNumber"])
def test_a_gap_after_the_phase_before_contrast(tmp_path: Path, attribute: str) -> None:
    paths = MockStudy(PHANTOM, phase_attribute=attribute, series_per_phase=True).write(tmp_path)
    remove(paths[SLICES : 2 * SLICES])
    phases = split(tmp_path)
    assert reviews(phases.findings) == ("post-missing",)
    assert_review(phases.findings, "post-missing", f"first phase after contrast .* have the {attribute} 1 and 3")


@pytest.mark.parametrize("attribute", ["TemporalPositionIdentifier", "AcquisitionNumber"])
def test_a_gap_among_later_phases(tmp_path: Path, attribute: str) -> None:
    paths = MockStudy(PHANTOM, phase_attribute=attribute, series_per_phase=True).write(tmp_path)
    remove(paths[2 * SLICES : 3 * SLICES])
    phases = split(tmp_path)
    assert reviews(phases.findings) == ("incomplete",)
    assert_review(phases.findings, "incomplete", f"{attribute} of the phases of .* is 1, 2, 4")


@pytest.mark.parametrize(("image_type", "missing"), [(("ORIGINAL", "PRIMARY", "M"), False), (("DERIVED", "SUB"), True)])
def test_an_acquisition_number_that_another_acquisition_took_leaves_no_gap(
    tmp_path: Path, image_type: tuple[str, ...], missing: bool
) -> None:
    paths = MockStudy(PHANTOM, phase_attribute="AcquisitionNumber", series_per_phase=True).write(tmp_path / "dynamic")
    remove(paths[SLICES : 2 * SLICES])
    other = replace(PHANTOM, voxels=PHANTOM.voxels[:1])
    attributes = {"AcquisitionNumber": 2, "EchoTime": "8", "FlipAngle": "90"}
    MockStudy(other, series_number=20, image_type=image_type, attributes=attributes).write(tmp_path / "other")
    assert reviews(split(tmp_path).findings) == (("post-missing",) if missing else ())


def test_a_phase_that_is_shorter_than_the_others(tmp_path: Path) -> None:
    remove(MockStudy(PHANTOM).write(tmp_path)[-1:])
    assert_review(split(tmp_path).findings, "incomplete", "phase 4 of 4 .* 9 slices have come, 10 of other phases")
