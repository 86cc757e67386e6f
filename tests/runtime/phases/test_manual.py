"""Phases that a person chooses: one pair, or a pair for each breast that has series of its own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mock_study import MockStudy, breast_phantom, cropped
from pydicom import dcmread

from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.choose import Phases, split_phases
from fcdd_runtime.phases.manual import manual_phases
from fcdd_runtime.score_study import breast_images
from fcdd_runtime.study.read import Study, read_studies
from support import assert_review, reviews, sentences

PHANTOM = breast_phantom(phases=3)
RIGHT, LEFT = cropped(PHANTOM, 0, 46), cropped(PHANTOM, 46, 96)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    MockStudy(RIGHT, series_number=5).write(tmp_path / "right")
    MockStudy(LEFT, series_number=6).write(tmp_path / "left")
    (study,), _ = read_studies(tmp_path, tmp_path)
    return study


def choose(study: Study, *choices: str) -> Phases:
    return split_phases(study, MipRecipe(), manual_phases(*choices))


@pytest.mark.parametrize("choices", [("5/1", "5/2", "6/1", "6/2"), ("6/1", "6/2", "5/1", "5/2")])
def test_a_pair_for_each_breast_gives_what_is_found_without(study: Study, choices: tuple[str, ...]) -> None:
    chosen, found = choose(study, *choices), split_phases(study, MipRecipe())
    assert (chosen.choice.pre, chosen.choice.post) == (found.choice.pre, found.choice.post)
    assert (chosen.choice.method, chosen.findings) == ("chosen by hand", found.findings)
    images, split = breast_images(chosen, MipRecipe())
    expected, expected_split = breast_images(found, MipRecipe())
    assert split == expected_split
    assert [image.laterality for image in images] == ["R", "L"]
    for breast, other in zip(images, expected, strict=True):
        np.testing.assert_array_equal(breast.pixels, other.pixels)


def test_pairs_may_take_different_phases_of_the_breasts(study: Study) -> None:
    phases = choose(study, "5/1", "5/3", "6/2", "6/3")
    assert phases.left is not None
    assert "phase 3" in phases.choice.post
    sentence = "phase 1 of 3 was chosen for the right breast, but .* phase 2 of 3 for the left; scores .* be compared"
    assert_review(phases.findings, "sides-differ", sentence)
    np.testing.assert_array_equal(phases.left.pre.read_slice(2), LEFT.voxels[1, 2])


@pytest.mark.parametrize("second", [("5/1", "5/3"), ("5/1", "5/2")])
def test_two_pairs_of_one_breast_are_refused(study: Study, second: tuple[str, str]) -> None:
    with pytest.raises(StudyError, match="do not show the right and the left breast beside each other"):
        choose(study, "5/1", "5/2", *second)


def test_a_pair_across_the_breasts_is_refused(study: Study) -> None:
    with pytest.raises(StudyError, match="unequal"):
        choose(study, "5/1", "6/2", "6/1", "5/2")


def test_the_breast_that_nobody_chose_is_warned_about(study: Study) -> None:
    phases = choose(study, "5/1", "5/2")
    assert phases.left is None
    [finding] = phases.findings
    assert_review([finding], "not-all-scored", 'series 6 "dyn t1 fs" has the protocol .* lies elsewhere and was not')


@pytest.mark.parametrize(("left_post", "warned"), [("7/1", False), ("8/1", True)])
def test_times_tell_unlike_pairs_where_each_phase_has_its_series(tmp_path: Path, left_post: str, warned: bool) -> None:
    for number, side in ((2, RIGHT), (6, LEFT)):
        MockStudy(side, series_number=number, series_per_phase=True, phase_attribute="AcquisitionTime").write(
            tmp_path / str(number)
        )
    (study,), _ = read_studies(tmp_path, tmp_path)
    (*warnings,) = sentences(choose(study, "2/1", "3/1", "6/1", left_post).findings)
    assert ("60 s apart on the right and 120 s on the left" in " ".join(warnings)) == warned


@pytest.mark.parametrize(
    "choice", ["5/" + "9" * 5000, "5/12345", "5/\u0661", "5/0", "5/", "/1", "5", "5/1.0", " /1", ""]
)
def test_a_choice_that_is_written_otherwise_is_refused_without_repeating_it(choice: str) -> None:
    with pytest.raises(StudyError, match="SERIES/PHASE") as refused:
        manual_phases("5/1", choice)
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize("count", [0, 1, 3, 6])
def test_choices_come_in_one_or_two_pairs(count: int) -> None:
    with pytest.raises(StudyError, match="once, or once a breast"):
        manual_phases(*["5/1"] * count)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"image_type": ("DERIVED", "PRIMARY", "MPR")}, r"reformatted \(MPR\) by its ImageType"),
        ({"image_type": ("DERIVED", "SECONDARY", "M", "SUB")}, r"computed \(SUB\) by its ImageType"),
        ({"description": "t1 REFORMATTED"}, r"reformatted \(REFORMATTED\) by its description"),
        ({"attributes": {"ScanningSequence": "SE"}}, "no dynamic T1"),
    ],
)
def test_any_series_may_be_chosen_and_what_is_ruled_out_puts_the_study_to_review(
    tmp_path: Path, values: dict[str, Any], reason: str
) -> None:
    first, rest = (replace(PHANTOM, voxels=PHANTOM.voxels[part]) for part in (slice(1), slice(1, None)))
    MockStudy(first, series_number=7, **values).write(tmp_path / "pre")
    MockStudy(rest, series_number=9).write(tmp_path / "post")
    (study,), _ = read_studies(tmp_path, tmp_path)
    phases = choose(study, "7/1", "9/1")
    np.testing.assert_array_equal(phases.pre.read_slice(2), PHANTOM.voxels[0, 2])
    np.testing.assert_array_equal(phases.post.read_slice(2), PHANTOM.voxels[1, 2])
    assert_review(phases.findings, "ruled-out-chosen", rf"^series 7 .* was chosen, although it is .*{reason}")
    assert "contrast-unclear" not in reviews(phases.findings)


def test_of_several_kinds_of_image_in_a_chosen_series_those_that_belong_together_are_taken(tmp_path: Path) -> None:
    for kind, scale in (("W", 1), ("F", 2)):
        voxels = PHANTOM.voxels * scale
        mock = MockStudy(replace(PHANTOM, voxels=voxels), image_type=("DERIVED", "PRIMARY", kind))
        for path in mock.write(tmp_path / kind):
            header = dcmread(path)
            header.SOPInstanceUID += f".{scale}"
            header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
            header.save_as(path)
    (study,), _ = read_studies(tmp_path, tmp_path)
    phases = choose(study, "5/1", "5/2")
    scale = int(phases.pre.read_slice(2).max() // PHANTOM.voxels[0, 2].max())
    np.testing.assert_array_equal(phases.post.read_slice(2), scale * PHANTOM.voxels[1, 2])
    assert_review(phases.findings, "phases-ambiguous", "mixes several kinds of image")
