import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner

from fcdd_runtime.breasts.projection import project
from fcdd_runtime.breasts.split import split_breasts
from fcdd_runtime.phases.choose import split_phases
from fcdd_runtime.study.read import read_studies
from phantom import Phantom, draw_phantom
from phantom.__main__ import main
from phantom.anatomy import sample_body, tissue_range
from phantom.dataset import RECIPE, SPLITS, Split, breasts_of, examples_of, labels_of, network_images
from phantom.dicom import phantom_uid, write_phantom
from phantom.draw import contrast_curve
from phantom.lesions import place_lesions
from phantom.tissue import Kinetics


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return draw_phantom(7, lesions=2, phases=4)


def test_same_seed_draws_the_same_study_to_the_last_bit(phantom: Phantom) -> None:
    again = draw_phantom(7, lesions=2, phases=4)
    assert again.lesions == phantom.lesions
    assert again.grid == phantom.grid
    assert all(np.array_equal(one, other) for one, other in zip(phantom.volumes, again.volumes, strict=True))


def test_a_phase_does_not_depend_on_how_many_follow(phantom: Phantom) -> None:
    short = draw_phantom(7, lesions=2, phases=2)
    assert all(np.array_equal(one, other) for one, other in zip(short.volumes, phantom.volumes[:2], strict=True))


def test_another_seed_draws_another_patient(phantom: Phantom) -> None:
    other = draw_phantom(8, lesions=2, phases=1)
    assert other.lesions != phantom.lesions
    assert not np.array_equal(other.volumes[0], phantom.volumes[0])


def test_lesions_change_nothing_outside_their_surroundings() -> None:
    without, with_lesion = draw_phantom(3, lesions=0, phases=2), draw_phantom(3, lesions=1, phases=2)
    lesion = with_lesion.lesions[0]
    changed = np.argwhere(without.volumes[1] != with_lesion.volumes[1])
    away = [np.subtract(with_lesion.grid.patient_mm(tuple(voxel)), lesion.centre_mm) for voxel in changed]
    assert len(changed) > 0
    assert np.linalg.norm(away, axis=1).max() <= 2 * lesion.radius_mm + 5


@pytest.mark.parametrize("seed", range(30))
def test_lesions_lie_inside_the_breast_of_their_laterality(seed: int) -> None:
    body = sample_body(seed)
    for lesion in place_lesions(seed, body, count=3):
        x, y, z = np.subtract(lesion.centre_mm, body.origin_mm)
        skin, muscle = tissue_range(body, x, z)
        assert lesion.laterality == ("L" if x > 0 else "R")
        assert skin + lesion.radius_mm < y < muscle - lesion.radius_mm
        assert 3 <= lesion.radius_mm <= 10


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_brightest_voxel_in_front_of_the_chest_lies_in_a_strong_lesion(seed: int) -> None:
    phantom = draw_phantom(seed, lesions=1, phases=2, enhancement=4.0)
    subtraction = phantom.volumes[1].astype(np.int32) - phantom.volumes[0]
    front = subtraction[:, : _sternum_row(phantom), :]
    slice_index, row, column = (int(place) for place in np.unravel_index(int(np.argmax(front)), front.shape))
    lesion = phantom.lesions[0]
    away = np.subtract(phantom.grid.patient_mm((slice_index, row, column)), lesion.centre_mm)
    assert np.linalg.norm(away) <= 1.5 * lesion.radius_mm


def test_split_images_hold_each_lesion_in_the_breast_of_its_laterality() -> None:
    phantom = draw_phantom(11, lesions=1, phases=2, enhancement=4.0)
    lesion = phantom.lesions[0]
    images = {example.image.laterality: example for example in breasts_of(phantom)}
    assert images[lesion.laterality].lesions == (lesion,)
    assert sum(len(example.lesions) for example in images.values()) == 1
    shown = images[lesion.laterality].image
    places = np.argwhere(shown.pixels == 255)
    away = [np.linalg.norm(np.subtract(shown.patient_mm(row, column), lesion.centre_mm)) for row, column in places]
    assert min(away) <= lesion.radius_mm


def test_dicom_files_hold_the_drawn_voxels_where_they_were_drawn(phantom: Phantom, tmp_path: Path) -> None:
    paths = write_phantom(phantom, tmp_path)
    assert len(paths) == 4 * 48
    for phase, index in ((0, 0), (1, 20), (3, 47)):
        dataset = pydicom.dcmread(paths[phase * 48 + index])
        assert np.array_equal(dataset.pixel_array, phantom.volumes[phase][index])
        assert np.allclose(dataset.ImagePositionPatient, phantom.grid.patient_mm((index, 0, 0)), atol=1e-3)
        assert dataset.TemporalPositionIdentifier == phase + 1
        assert dataset.BodyPartExamined == "BREAST"
        assert str(dataset.PatientName) == "Phantom^0007"


def test_in_memory_breast_images_equal_those_read_from_the_files(phantom: Phantom, tmp_path: Path) -> None:
    write_phantom(phantom, tmp_path / "dicom")
    [study], _ = read_studies(tmp_path / "dicom", tmp_path)
    phases = split_phases(study, RECIPE)
    from_files, split = split_breasts(project(phases.pre, phases.post), RECIPE)
    assert split.method == "sternum"
    for drawn, read in zip(breasts_of(phantom), from_files, strict=True):
        assert np.array_equal(drawn.image.pixels, read.pixels)
        assert drawn.image.source(40, 40) == read.source(40, 40)
        assert np.allclose(drawn.image.patient_mm(40, 40), read.patient_mm(40, 40), atol=1e-3)


def test_uids_are_valid_unique_and_follow_from_the_seed(phantom: Phantom, tmp_path: Path) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in write_phantom(phantom, tmp_path)]
    uids = {header.SOPInstanceUID for header in headers}
    assert len(uids) == len(headers)
    assert all(uid.is_valid for uid in uids)
    assert {header.StudyInstanceUID for header in headers} == {phantom_uid(7, "study")}
    assert phantom_uid(7, "study") != phantom_uid(8, "study")


def test_phases_are_told_apart_by_time(phantom: Phantom, tmp_path: Path) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in write_phantom(phantom, tmp_path)]
    times = {header.TemporalPositionIdentifier: header.AcquisitionTime for header in headers}
    assert [times[phase] for phase in (1, 2, 3, 4)] == sorted(set(times.values()))


def test_washout_falls_and_persistent_enhancement_rises_between_the_later_phases() -> None:
    assert contrast_curve(Kinetics.WASHOUT, 235) < contrast_curve(Kinetics.WASHOUT, 75)
    assert contrast_curve(Kinetics.PERSISTENT, 235) > contrast_curve(Kinetics.PERSISTENT, 75)
    assert all(contrast_curve(kinetics, 0) == 0 for kinetics in Kinetics)


def test_a_split_has_the_stated_share_of_lesions() -> None:
    examples = list(examples_of(Split(first_seed=900_000, studies=4, lesion_share=0.75)))
    assert len(examples) == 8
    assert labels_of(examples).sum() == 3
    assert network_images(examples).shape == (8, 1, 224, 224)


def test_no_two_splits_share_a_seed() -> None:
    seeds = [seed for split in SPLITS.values() for seed in range(split.first_seed, split.first_seed + split.studies)]
    assert len(seeds) == len(set(seeds))


def test_draw_command_keeps_the_truth_apart_from_the_dicom_files(tmp_path: Path) -> None:
    answer = CliRunner().invoke(main, ["draw", "--seed", "5", "--lesions", "1", "--out", str(tmp_path)])
    assert answer.exit_code == 0
    assert "lesion in" in answer.output
    assert json.loads((tmp_path / "truth.json").read_text())["lesions"][0]["laterality"] in {"L", "R"}
    assert {path.suffix for path in (tmp_path / "dicom").iterdir()} == {".dcm"}


def _sternum_row(phantom: Phantom) -> int:
    """Row of the skin over the sternum: heart and chest vessels lie behind it."""
    y = sample_body(phantom.seed).origin_mm[1]
    return round((y - phantom.grid.origin_mm[1]) / phantom.grid.step_mm[1][1])
