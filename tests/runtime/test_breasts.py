"""Projection -> breasts: the split follows the anatomy, and orientation of the acquisition changes nothing."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from mock_study import MockStudy, Phantom, breast_phantom

from fcdd_runtime.breasts import BreastImage, split_breasts
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.mip import Projection, project
from fcdd_runtime.phases import split_phases
from fcdd_runtime.result import SplitChoice
from fcdd_runtime.study import read_studies
from fcdd_runtime.volume import Grid, SliceSource, volume_from_array

PHANTOM = breast_phantom(phases=2)


def projection_of(pre: npt.NDArray[np.generic], post: npt.NDArray[np.generic]) -> Projection:
    """Project voxels (z foot to head, y front to back, x right to left) of the phantom's grid."""
    dz, dy, dx = PHANTOM.spacing_mm
    slices, rows, columns = pre.shape
    grid = Grid((slices, rows, columns), PHANTOM.first_voxel_mm, ((0, 0, dz), (0, dy, 0), (dx, 0, 0)))
    sources = tuple(SliceSource(f"1.2.{index}", None) for index in range(len(pre)))
    return project(volume_from_array(pre, grid, sources), volume_from_array(post, grid, sources))


def phantom_projection() -> Projection:
    return projection_of(PHANTOM.voxels[0], PHANTOM.voxels[1])


def breasts_of(mock: MockStudy, folder: Path) -> tuple[tuple[BreastImage, ...], SplitChoice]:
    mock.write(folder)
    (study,), _ = read_studies(folder, folder)
    phases = split_phases(study, MipRecipe())
    return split_breasts(project(phases.pre, phases.post), MipRecipe())


def brightest(image: BreastImage) -> tuple[int, int]:
    row, column = np.unravel_index(int(image.pixels.argmax()), image.pixels.shape)
    return int(row), int(column)


def with_bright(phantom: Phantom, value: int) -> Phantom:
    voxels = phantom.voxels.copy()
    brightest = (1, *phantom.bright)
    voxels[brightest] = value
    return replace(phantom, voxels=voxels)


def test_the_midline_is_the_sternum_and_the_cut_lies_behind_its_skin() -> None:
    (right, left), choice = split_breasts(phantom_projection(), MipRecipe(posterior_margin_mm=25.0))
    assert choice.method == "sternum"
    assert choice.confidence > 0.5
    assert choice.midline_x_mm == pytest.approx(PHANTOM.sternum_x_mm, abs=PHANTOM.spacing_mm[2])
    assert (right.laterality, left.laterality) == ("R", "L")
    assert right.pixels.shape[1] + left.pixels.shape[1] == PHANTOM.voxels.shape[3]
    last_y_mm = right.patient_mm(right.pixels.shape[0] - 1, 0)[1]
    assert last_y_mm == pytest.approx(PHANTOM.sternum_y_mm + 25, abs=2 * PHANTOM.spacing_mm[1])


def test_right_lies_at_smaller_patient_x() -> None:
    (right, left), choice = split_breasts(phantom_projection(), MipRecipe())
    assert right.patient_mm(0, right.pixels.shape[1] - 1)[0] < choice.midline_x_mm < left.patient_mm(0, 0)[0]
    assert right.patient_mm(0, 0)[0] < right.patient_mm(0, 1)[0]


@pytest.mark.parametrize("mirror_left", [False, True])
def test_a_pixel_leads_back_to_the_voxel_it_shows(mirror_left: bool) -> None:
    recipe = MipRecipe(mirror_left=mirror_left, window_high_quantile=1.0)
    (right, left), _ = split_breasts(phantom_projection(), recipe)
    row, column = brightest(left)
    assert left.voxel(row, column) == PHANTOM.bright
    assert left.patient_mm(row, column) == pytest.approx(PHANTOM.bright_mm)
    assert left.source(row, column).sop_instance_uid == f"1.2.{PHANTOM.bright[0]}"
    difference = (PHANTOM.voxels[1] - PHANTOM.voxels[0]).astype(float)
    for image in (right, left):
        shown = np.array([[difference[image.voxel(r, c)] for c in range(image.pixels.shape[1])] for r in range(5)])
        np.testing.assert_array_equal(image.pixels[:5], np.floor(shown / difference.max() * 255 + 0.5))


def test_mirroring_flips_the_left_image_only() -> None:
    plain, _ = split_breasts(phantom_projection(), MipRecipe())
    mirrored, _ = split_breasts(phantom_projection(), MipRecipe(mirror_left=True))
    np.testing.assert_array_equal(mirrored[0].pixels, plain[0].pixels)
    np.testing.assert_array_equal(mirrored[1].pixels, plain[1].pixels[:, ::-1])


def test_the_window_maps_low_to_0_and_the_quantile_of_both_boxes_to_255() -> None:
    ramp = np.zeros((2, 4, 10)) + np.arange(10.0) * 100 - 100
    images, _ = split_breasts(
        projection_of(np.zeros_like(ramp), ramp), MipRecipe(window_low=100.0, window_high_quantile=7 / 9)
    )
    grey = np.concatenate([image.pixels for image in images], axis=1)
    np.testing.assert_array_equal(grey[0], [0, 0, 0, 51, 102, 153, 204, 255, 255, 255])


@pytest.mark.parametrize("value", [0, -5])
def test_without_enhancement_the_images_are_black(value: int) -> None:
    images, _ = split_breasts(projection_of(PHANTOM.voxels[0], PHANTOM.voxels[0] + value), MipRecipe())
    assert [int(image.pixels.max()) for image in images] == [0, 0]


def head_like() -> npt.NDArray[np.float64]:
    y, x = np.mgrid[:64, :96]
    return np.broadcast_to(np.where(((y - 32) / 28) ** 2 + ((x - 50) / 30) ** 2 < 1, 200.0, 4.0), (10, 64, 96))


def noise() -> npt.NDArray[np.float64]:
    return np.random.default_rng(1).normal(500, 100, (10, 64, 96))


@pytest.mark.parametrize("pre", [head_like(), noise(), np.zeros((10, 64, 96)), np.full((10, 64, 96), 7.0)])
def test_without_a_convincing_valley_the_image_is_halved_at_its_centre(pre: npt.NDArray[np.float64]) -> None:
    images, choice = split_breasts(projection_of(pre, pre + 1), MipRecipe())
    assert choice == SplitChoice("image centre", 0.0, PHANTOM.first_voxel_mm[0] + 47.5 * PHANTOM.spacing_mm[2])
    assert [image.pixels.shape for image in images] == [(64, 48), (64, 48)]


def test_ghosts_and_noise_in_front_of_the_skin_do_not_move_the_split() -> None:
    _, clean = split_breasts(phantom_projection(), MipRecipe())
    pre = PHANTOM.voxels[0].copy()
    pre[:, 4:6, 20:80] = 190
    pre[:, 10, :] += 30
    _, disturbed = split_breasts(projection_of(pre, PHANTOM.voxels[1]), MipRecipe())
    assert disturbed.midline_x_mm == pytest.approx(clean.midline_x_mm, abs=PHANTOM.spacing_mm[2])


def test_the_cut_never_leaves_the_image() -> None:
    (right, left), _ = split_breasts(phantom_projection(), MipRecipe(posterior_margin_mm=1000.0))
    assert right.pixels.shape[0] == left.pixels.shape[0] == PHANTOM.voxels.shape[2]


def test_a_projection_of_one_column_is_refused() -> None:
    column = np.ones((3, 4, 1))
    with pytest.raises(StudyError, match="one column wide"):
        split_breasts(projection_of(column, column), MipRecipe())


AXIAL_FLIPS = [("zyx", "".join(flips)) for flips in product(["", "z"], ["", "y"], ["", "x"])]
OTHERS = [("zxy", ""), ("zxy", "xy"), ("xzy", "z"), ("xzy", "x"), ("xyz", "zy"), ("yzx", "z"), ("yzx", "yx")]


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize(("axes", "backwards"), AXIAL_FLIPS + OTHERS)
def test_an_acquisition_turned_or_flipped_gives_the_same_images_sides_and_peak(
    tmp_path: Path, axes: str, backwards: str, enhanced: bool
) -> None:
    phantom = with_bright(PHANTOM, 2000)
    straight, straight_choice = breasts_of(MockStudy(phantom), tmp_path / "straight")
    mock = MockStudy(phantom, axes=axes, backwards=backwards, enhanced=enhanced, rescale=True)
    turned, choice = breasts_of(mock, tmp_path / "turned")
    assert choice.method == straight_choice.method == "sternum"
    assert choice.midline_x_mm == pytest.approx(straight_choice.midline_x_mm)
    for one, other in zip(turned, straight, strict=True):
        assert one.laterality == other.laterality
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert one.patient_mm(*brightest(one)) == pytest.approx(other.patient_mm(*brightest(other)), abs=1e-5)


@pytest.mark.parametrize("degrees", [-12.0, 12.0])
def test_an_oblique_acquisition_finds_the_bright_voxel_and_its_side(tmp_path: Path, degrees: float) -> None:
    phantom = with_bright(PHANTOM, 2000)
    images, choice = breasts_of(MockStudy(phantom, turned_degrees=degrees), tmp_path)
    x, y, z = phantom.bright_mm
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    left = images[1]
    expected = (cos * x - sin * y, sin * x + cos * y, z)
    projection = left.projection
    row, column = np.unravel_index(int(projection.maximum.argmax()), projection.maximum.shape)
    assert left.patient_mm(int(row), int(column) - left.first_column) == pytest.approx(expected, abs=1e-5)
    assert choice.method == "sternum"
