"""The image of a breast ends at its skin, and what lies around it is black: never a part of the breast."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from mock_study import breast_phantom

from fcdd_runtime.breasts.projection import Projection, project
from fcdd_runtime.breasts.split import BreastImage, separate_breasts, split_breasts
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.findings import Finding
from fcdd_runtime.volumes.volume import Grid, SliceSource, volume_from_array
from support import reviews

PHANTOM = breast_phantom(phases=2)
DZ, DY, DX = PHANTOM.spacing_mm
FRONT, FIRST, LAST, SKIN = 13, 10, 88, 36
"""Of the drawn body: row of the foremost skin, columns of the outermost, row of the skin over the sternum."""
CUT = SKIN + 12
Voxels = npt.NDArray[np.float64]
RECIPE = MipRecipe(crop="breast", crop_margin_mm=10.0)


def body(air_rows: int = 0) -> Voxels:
    """Return the drawn body, (phases, z, y, x), with air beside the chest and further air in front."""
    voxels = PHANTOM.voxels.astype(np.float64)
    voxels[1] += np.where(voxels[0].mean(axis=0) > 100, 60, 0)  # the body as a whole enhances
    voxels[..., :FIRST] = voxels[..., LAST + 1 :] = 4
    return np.pad(voxels, [(0, 0), (0, 0), (air_rows, 0), (0, 0)], mode="edge")


def projection_of(voxels: Voxels) -> Projection:
    grid = Grid(voxels.shape[1:], PHANTOM.first_voxel_mm, ((0, 0, DZ), (0, DY, 0), (DX, 0, 0)))  # type: ignore[arg-type]
    sources = tuple(SliceSource(f"1.2.{index}", None) for index in range(voxels.shape[1]))
    return project(*(volume_from_array(phase, grid, sources) for phase in voxels))


def split(voxels: Voxels, recipe: MipRecipe = RECIPE) -> tuple[tuple[BreastImage, ...], tuple[Finding, ...]]:
    images, choice = split_breasts(projection_of(voxels), recipe)
    return images, choice.findings


def boxes(images: tuple[BreastImage, ...]) -> list[tuple[int, int, int, int]]:
    """Return first row, end row, first column and end column of each."""
    return [
        (i.first_row, i.first_row + i.pixels.shape[0], i.first_column, i.first_column + i.pixels.shape[1])
        for i in images
    ]


@pytest.mark.parametrize("margin", [0, 2, 4])
@pytest.mark.parametrize("air_rows", [0, 40])
def test_a_box_ends_at_the_margin_in_front_of_the_skin_and_beside_it(margin: int, air_rows: int) -> None:
    images, findings = split(body(air_rows), replace(RECIPE, crop_margin_mm=margin * DX))
    (top, end, first, middle), (left_top, left_end, left_middle, last) = boxes(images)
    assert findings == ()
    assert (top, left_top) == (air_rows + FRONT - margin,) * 2
    assert (first, last) == (FIRST - margin, LAST + 1 + margin)
    assert end == left_end == pytest.approx(air_rows + CUT, abs=1)
    assert middle == left_middle


def test_a_margin_beyond_the_field_of_view_ends_with_it() -> None:
    whole, _ = split(body(), MipRecipe())
    assert boxes(split(body(), replace(RECIPE, crop_margin_mm=1000.0))[0]) == boxes(whole)


def test_air_is_black_and_the_breast_is_as_it_was() -> None:
    voxels = body(40)
    voxels[1] += np.random.default_rng(0).integers(0, 12, voxels[1].shape)
    shown, _ = split(voxels, MipRecipe())
    cleared, findings = split(voxels, MipRecipe(air="clear"))
    assert findings == ()
    inside = (voxels[0].mean(axis=0) > 100).cumsum(axis=0) > 0
    for image, other in zip(cleared, shown, strict=True):
        columns = slice(image.first_column, image.first_column + image.pixels.shape[1])
        assert not (image.air & inside[: len(image.air), columns]).any()
        assert image.air.mean() > 0.4
        assert (image.pixels[image.air] == 0).all()
        assert (image.enhancement[image.air] == 0).all()
        np.testing.assert_array_equal(image.enhancement[~image.air], other.enhancement[~image.air])


def test_the_larger_breast_does_not_size_the_box_of_the_smaller() -> None:
    voxels = body(20)
    middle = 50
    smaller = np.roll(voxels[..., :middle], 8, axis=2)
    smaller[:, :, :8] = 4
    smaller[:, :, 20 + SKIN - 6 :] = voxels[:, :, 20 + SKIN - 6 :, :middle]
    voxels[..., :middle] = smaller
    images, findings = split(voxels)
    assert findings == ()
    assert [image.first_row for image in images] == [20 + FRONT + 8 - 4, 20 + FRONT - 4]


@pytest.mark.parametrize("slices", [1, 3, 5])
def test_breasts_that_touch_each_other_in_some_slices_are_not_cut_off_behind(slices: int) -> None:
    expected, _ = split(body(20))
    voxels = body(20)
    bridge = np.zeros(voxels.shape[2:], np.bool_)
    bridge[20 + FRONT + 6 : 20 + SKIN, 30:70] = True
    for phase, value in ((0, 200), (1, 260)):
        voxels[phase, :slices, bridge.nonzero()[0], bridge.nonzero()[1]] = value
    images, findings = split(voxels)
    assert findings == ()
    assert [box[1] for box in boxes(images)] == [box[1] for box in boxes(expected)]


def with_noise(voxels: Voxels) -> None:
    voxels += np.abs(np.random.default_rng(1).normal(0, 12, voxels.shape))


def with_coil_noise(voxels: Voxels) -> None:
    """Noise that is stronger near the coil, in front of the breasts."""
    rows = np.arange(voxels.shape[2])[:, None]
    voxels += np.abs(np.random.default_rng(1).normal(0, 1, voxels.shape)) * (3 + 9 * np.exp(-(((rows - 15) / 8) ** 2)))


def with_capsules(voxels: Voxels) -> None:
    """Two marker capsules, which move by a voxel between the phases."""
    for phase in (0, 1):
        for row, column in ((25, 25 + phase), (30, 70 + phase)):
            voxels[phase, 4:6, row : row + 3, column : column + 3] = 900


@pytest.mark.parametrize("disturb", [with_noise, with_coil_noise, with_capsules])
def test_what_lies_around_the_body_does_not_move_the_boxes(disturb: object) -> None:
    expected, _ = split(body(40))
    voxels = body(40)
    disturb(voxels)  # type: ignore[operator]
    images, findings = split(voxels, replace(RECIPE, air="clear"))
    assert findings == ()
    assert np.abs(np.subtract(boxes(images), boxes(expected))).max() <= 1


@pytest.mark.parametrize("slices", [1, 2])
def test_a_breast_that_fills_few_slices_is_neither_cut_off_nor_cleared(slices: int) -> None:
    voxels = body(40)
    front = 40 + SKIN - 2
    voxels[:, slices:, :front] = 4  # both breasts are there in the first slices alone
    voxels[1, 0, 40 + FRONT + 3 : 40 + FRONT + 6, 70:73] = 700
    images, findings = split(voxels, replace(RECIPE, air="clear"))
    assert reviews(findings) == ()
    assert boxes(images) == boxes(split(body(40))[0])
    assert images[1].enhancement.max() == 500


@pytest.mark.parametrize("share", [0.5, 0.2, 0.08])
def test_a_breast_that_the_coil_leaves_dark_is_not_lost(share: float) -> None:
    voxels = body(40)
    voxels[..., :50] *= share
    voxels[:, :, : 40 + 5] = 1
    voxels[1, 4:6, 40 + FRONT + 4 : 40 + FRONT + 6, 26:28] += 300
    images, findings = split(voxels, replace(RECIPE, air="clear"))
    right = images[0]
    shown = right.laterality == "R" and right.enhancement.max() >= 300
    assert shown or reviews(findings)


def test_what_enhances_where_air_was_taken_to_be_keeps_the_image_whole_and_is_put_to_review() -> None:
    voxels = body(40)
    voxels[1, 4:6, 20:23, 68:71] = 404
    images, findings = split(voxels, replace(RECIPE, air="clear"))
    assert reviews(findings) == ("air-enhances",)
    assert "left breast" in findings[0].sentence
    assert images[1].first_row == 0
    assert not images[1].air.any()
    assert images[1].enhancement[20:23].max() == pytest.approx(400, abs=4)
    assert images[0].air.any()


def test_where_no_skin_is_found_the_image_is_whole_and_put_to_review() -> None:
    noise = np.random.default_rng(0).normal(500, 100, (10, 64, 96))
    images, findings = split(np.stack([noise, noise + 300]), replace(RECIPE, air="clear"))
    assert reviews(findings) == ("no-sternum", "no-skin")
    assert boxes(images) == [(0, 64, 0, 48), (0, 64, 48, 96)]


def test_separate_series_are_cropped_each_by_its_own_skin() -> None:
    right, left = body(10)[..., :50], body(30)[..., 50:]
    projections = projection_of(right), projection_of(left)
    images, choice = separate_breasts(*projections, replace(RECIPE, air="clear"), ("R", "L"))
    assert {finding.code for finding in choice.findings} <= {"not-cut"}
    assert [image.first_row for image in images] == [10 + FRONT - 4, 30 + FRONT - 4]
    assert images[0].first_column == FIRST - 4
    assert images[1].pixels.shape[1] == LAST + 1 + 4 - 50


def test_the_pixel_under_a_position_is_the_same_with_both_crops() -> None:
    voxels = body(40)
    voxels[1, 7, 40 + 22, 70] = 2000
    places = []
    for recipe in (MipRecipe(), replace(RECIPE, air="clear"), replace(RECIPE, air="clear", mirror_left=True)):
        image = split(voxels, recipe)[0][1]
        row, column = (int(place) for place in np.unravel_index(image.enhancement.argmax(), image.enhancement.shape))
        places.append((image.voxel(row, column), image.patient_mm(row, column), image.source(row, column)))
    assert places[0][0] == (7, 62, 70)
    assert places[0] == places[1] == places[2]


LESION = (slice(40 + FRONT + 4, 40 + FRONT + 7), slice(70, 73))
"""Some millimetres behind the left nipple."""


def with_lesion(voxels: Voxels, place: tuple[slice, slice] = LESION) -> Voxels:
    rows, columns = place
    voxels[1, 4:6, rows, columns] = voxels[0, 4:6, rows, columns] + 300
    return voxels


def lost(voxels: Voxels, recipe: MipRecipe, place: tuple[slice, slice] = LESION) -> bool:
    """Whether a pixel of a place is in no image, or cleared, without review."""
    images, findings = split(voxels, recipe)
    seen = np.zeros(voxels.shape[2:], np.bool_)
    for image in images:
        rows, columns = image.air.shape
        seen[image.first_row : image.first_row + rows, image.first_column : image.first_column + columns] |= ~image.air
    return not seen[place].all() and not reviews(findings)


CLEARED = replace(RECIPE, air="clear")


def test_the_front_of_a_breast_behind_a_dark_band_is_not_lost() -> None:
    voxels = body(40)
    voxels[:, :, 40 + FRONT + 16 : 40 + FRONT + 18, 50:] = 4  # such as a saturation band
    assert not lost(with_lesion(voxels), CLEARED)


@pytest.mark.parametrize("fat", [6, 10, 20, 40])
def test_a_breast_of_dark_fat_with_bright_gland_is_not_lost(fat: int) -> None:
    voxels = body(40)
    front = voxels[:, :, : 40 + SKIN + 1]
    front[front > 100] = fat
    gland = slice(40 + FRONT + 5, 40 + SKIN - 6)
    voxels[:, :, gland, 20:38] = voxels[:, :, gland, 62:80] = 140
    place = (slice(40 + FRONT + 8, 40 + FRONT + 11), slice(68, 71))
    assert not lost(with_lesion(voxels, place), CLEARED, place)


@pytest.mark.parametrize("decay_mm", [25.0, 40.0, 60.0])
def test_a_coil_that_weakens_to_the_front_loses_no_breast_and_no_lesion_that_it_dims(decay_mm: float) -> None:
    voxels = with_lesion(body(40))
    behind_mm = np.clip(40 + SKIN + 10 - np.arange(voxels.shape[2]), 0, None)[:, None] * DY
    assert not lost(np.hypot(voxels * np.exp(-behind_mm / decay_mm), 1.0), CLEARED)


@pytest.mark.parametrize("margin", [0.0, 2.5, 5.0])
def test_what_enhances_in_front_of_a_narrow_margin_is_not_lost(margin: float) -> None:
    rows, columns, voxels = slice(40 + FRONT - 2, 40 + FRONT + 1), slice(68, 73), body(40)
    voxels[:, 4:6, rows, columns] = 10
    voxels[1, 4:6, rows, columns] = 510
    assert not lost(voxels, replace(CLEARED, crop_margin_mm=margin), (rows, columns))


def test_tissue_beside_the_breast_is_in_its_image() -> None:
    voxels = body(40)
    fold = slice(40 + SKIN - 12, 40 + SKIN + 14)
    voxels[:, :, fold, 89:] = 200
    voxels[:, :, fold, 89] = 4
    place = (slice(40 + SKIN - 8, 40 + SKIN - 5), slice(93, 96))
    assert not lost(with_lesion(voxels, place), CLEARED, place)
