"""Projection -> breasts: the split follows the anatomy, and orientation of the acquisition changes nothing."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from mock_study import MockStudy, Phantom, breast_phantom, cropped
from pydicom import dcmread
from pydicom.dataset import Dataset

from fcdd_runtime.breasts.projection import Projection, project
from fcdd_runtime.breasts.split import BreastImage, split_breasts
from fcdd_runtime.breasts.sternum import find_sternum
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.choose import split_phases
from fcdd_runtime.result import SplitChoice
from fcdd_runtime.score_study import breast_images
from fcdd_runtime.study.read import read_studies
from fcdd_runtime.volumes.volume import Grid, SliceSource, volume_from_array
from support import assert_review, reviews, sentences

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


CROPPED = MipRecipe(crop="breast", air="clear")
BOTH_CROPS = pytest.mark.parametrize("recipe", [MipRecipe(), CROPPED], ids=["field", "breast"])


def breasts_of(
    mock: MockStudy, folder: Path, *further: MockStudy, recipe: MipRecipe | None = None
) -> tuple[tuple[BreastImage, ...], SplitChoice]:
    recipe = recipe or MipRecipe()
    for number, series in enumerate((mock, *further)):
        series.write(folder / str(number))
    (study,), _ = read_studies(folder, folder)
    return breast_images(split_phases(study, recipe), recipe)


def lateralities(images: tuple[BreastImage, ...]) -> list[str]:
    return [image.laterality for image in images]


def brightest(image: BreastImage) -> tuple[int, int]:
    row, column = np.unravel_index(int(image.pixels.argmax()), image.pixels.shape)
    return int(row), int(column)


def most_enhancing(image: BreastImage) -> tuple[int, int]:
    row, column = np.unravel_index(int(image.enhancement.argmax()), image.enhancement.shape)
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


@BOTH_CROPS
@pytest.mark.parametrize("mirror_left", [False, True])
def test_a_pixel_leads_back_to_the_voxel_it_shows(mirror_left: bool, recipe: MipRecipe) -> None:
    recipe = replace(recipe, mirror_left=mirror_left, window_high_quantile=1.0)
    (right, left), _ = split_breasts(phantom_projection(), recipe)
    row, column = brightest(left)
    assert left.voxel(row, column) == PHANTOM.bright
    assert left.patient_mm(row, column) == pytest.approx(PHANTOM.bright_mm)
    assert left.source(row, column).sop_instance_uid == f"1.2.{PHANTOM.bright[0]}"
    difference = (PHANTOM.voxels[1] - PHANTOM.voxels[0]).astype(float)
    for image in (right, left):
        rows, columns = image.pixels.shape
        shown = np.array([[difference[image.voxel(r, c)] for c in range(columns)] for r in range(rows)])
        shown[image.air] = 0
        np.testing.assert_array_equal(image.pixels, np.floor(shown / difference.max() * 255 + 0.5))


def test_mirroring_flips_the_left_image_only() -> None:
    plain, _ = split_breasts(phantom_projection(), MipRecipe())
    mirrored, _ = split_breasts(phantom_projection(), MipRecipe(mirror_left=True))
    np.testing.assert_array_equal(mirrored[0].pixels, plain[0].pixels)
    np.testing.assert_array_equal(mirrored[1].pixels, plain[1].pixels[:, ::-1])


def test_the_window_maps_low_to_0_and_the_quantile_of_both_boxes_to_255() -> None:
    ramp = np.zeros((2, 4, 100)) + np.arange(10.0).repeat(10) * 100 - 100
    recipe = MipRecipe(window_low=100.0, window_high_quantile=7 / 9)
    images, _ = split_breasts(projection_of(np.zeros_like(ramp), ramp), recipe)
    grey = np.concatenate([image.pixels for image in images], axis=1)[:, ::10]
    np.testing.assert_array_equal(grey[0], [0, 0, 0, 51, 102, 153, 204, 255, 255, 255])


@pytest.mark.parametrize("value", [0, -5])
def test_without_enhancement_the_study_is_refused(value: int) -> None:
    with pytest.raises(StudyError, match="nothing enhances"):
        split_breasts(projection_of(PHANTOM.voxels[0], PHANTOM.voxels[0] + value), MipRecipe())


def head_like() -> npt.NDArray[np.float64]:
    y, x = np.mgrid[:64, :96]
    return np.broadcast_to(np.where(((y - 32) / 28) ** 2 + ((x - 50) / 30) ** 2 < 1, 200.0, 4.0), (10, 64, 96))


def noise() -> npt.NDArray[np.float64]:
    return np.random.default_rng(1).normal(500, 100, (10, 64, 96))


@pytest.mark.parametrize("pre", [head_like(), noise(), np.zeros((10, 64, 96)), np.full((10, 64, 96), 7.0)])
def test_without_a_convincing_valley_the_image_is_halved_at_its_centre_with_a_warning(
    pre: npt.NDArray[np.float64],
) -> None:
    images, choice = split_breasts(projection_of(pre, pre + 100), MipRecipe())
    assert (choice.method, choice.confidence) == ("image centre", 0.0)
    assert choice.midline_x_mm == PHANTOM.first_voxel_mm[0] + 47.5 * PHANTOM.spacing_mm[2]
    assert sentences(choice.findings) == (
        "No sternum was found, so the image was halved at its centre and not cut behind the chest wall.",
    )
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


@BOTH_CROPS
@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize(("axes", "backwards"), AXIAL_FLIPS + OTHERS)
def test_an_acquisition_turned_or_flipped_gives_the_same_images_sides_and_peak(
    tmp_path: Path, axes: str, backwards: str, enhanced: bool, recipe: MipRecipe
) -> None:
    phantom = with_bright(PHANTOM, 2000)
    straight, straight_choice = breasts_of(MockStudy(phantom), tmp_path / "straight", recipe=recipe)
    mock = MockStudy(phantom, axes=axes, backwards=backwards, enhanced=enhanced, rescale=True)
    turned, choice = breasts_of(mock, tmp_path / "turned", recipe=recipe)
    assert choice.method == straight_choice.method == "sternum"
    assert choice.midline_x_mm == pytest.approx(straight_choice.midline_x_mm)
    for breast, other in zip(turned, straight, strict=True):
        assert breast.laterality == other.laterality
        np.testing.assert_array_equal(breast.pixels, other.pixels)
        assert breast.patient_mm(*brightest(breast)) == pytest.approx(other.patient_mm(*brightest(other)), abs=1e-5)
    assert turned[1].patient_mm(*most_enhancing(turned[1])) == pytest.approx(phantom.bright_mm, abs=1e-5)


@BOTH_CROPS
@pytest.mark.parametrize("degrees", [-12.0, 12.0])
def test_an_oblique_acquisition_finds_the_bright_voxel_and_its_side(
    tmp_path: Path, degrees: float, recipe: MipRecipe
) -> None:
    phantom = with_bright(PHANTOM, 2000)
    images, choice = breasts_of(MockStudy(phantom, turned_degrees=degrees), tmp_path, recipe=recipe)
    x, y, z = phantom.bright_mm
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    left = images[1]
    expected = (cos * x - sin * y, sin * x + cos * y, z)
    projection = left.projection
    row, column = np.unravel_index(int(projection.maximum.argmax()), projection.maximum.shape)
    assert left.patient_mm(int(row) - left.first_row, int(column) - left.first_column) == pytest.approx(
        expected, abs=1e-5
    )
    assert choice.method == "sternum"


LEFT, RIGHT = cropped(PHANTOM, 48, 96), cropped(PHANTOM, 0, 48)
AXIAL_AND_SAGITTAL = pytest.mark.parametrize("axes", ["zyx", "xzy"])


@AXIAL_AND_SAGITTAL
@pytest.mark.parametrize("series_per_phase", [False, True])
def test_each_breast_with_series_of_its_own_is_shown_on_its_side(
    tmp_path: Path, axes: str, series_per_phase: bool
) -> None:
    left = MockStudy(LEFT, axes, series_per_phase=series_per_phase, phase_attribute="AcquisitionTime")
    right = replace(left, phantom=RIGHT, series_number=15)
    images, choice = breasts_of(left, tmp_path, right)
    assert lateralities(images) == ["R", "L"]
    assert choice.method == "separate series"
    assert choice.midline_x_mm == pytest.approx(PHANTOM.first_voxel_mm[0] + 47.5 * PHANTOM.spacing_mm[2])
    assert sentences(choice.findings) == ()
    rows = len(images[0].pixels)
    cut_mm = images[0].patient_mm(rows - 1, 0)[1] - PHANTOM.sternum_y_mm
    assert cut_mm == pytest.approx(MipRecipe().posterior_margin_mm, abs=2 * PHANTOM.spacing_mm[1])
    values = np.concatenate([phantom.voxels[1] - phantom.voxels[0] for phantom in (RIGHT, LEFT)], axis=2)
    values = values.max(axis=0)[:rows]
    high = np.quantile(values, MipRecipe().window_high_quantile)
    expected = np.clip(np.floor(values / high * 255 + 0.5), 0, 255)
    np.testing.assert_array_equal(np.concatenate([image.pixels for image in images], axis=1), expected)
    assert images[1].patient_mm(*most_enhancing(images[1])) == pytest.approx(PHANTOM.bright_mm)


def test_headers_that_agree_make_separate_series_certain_and_others_are_put_to_review(tmp_path: Path) -> None:
    left = MockStudy(LEFT, attributes={"Laterality": "L"})
    right = MockStudy(RIGHT, series_number=6, attributes={"ImageLaterality": "R"})
    _, choice = breasts_of(left, tmp_path / "agree", right)
    assert choice.confidence == 1.0
    images, choice = breasts_of(replace(left, attributes={"Laterality": "R"}), tmp_path / "contradict", right)
    assert lateralities(images) == ["R", "L"]
    assert_review(choice.findings, "side-unclear", "By their positions .* but their headers say R and R")


def test_two_dynamic_series_on_one_side_of_the_midline_are_not_taken_for_two_breasts(tmp_path: Path) -> None:
    lateral, medial = MockStudy(cropped(PHANTOM, 72, 96)), MockStudy(cropped(PHANTOM, 46, 70), series_number=6)
    with pytest.raises(StudyError, match="both on one side of the midline"):
        breasts_of(lateral, tmp_path, medial)


def test_two_dynamic_series_above_each_other_are_ambiguous(tmp_path: Path) -> None:
    below, above = (replace(PHANTOM, first_voxel_mm=(-100.0, -80.0, z)) for z in (-80.0, 0.0))
    MockStudy(below).write(tmp_path)
    MockStudy(above, series_number=6).write(tmp_path)
    (study,), _ = read_studies(tmp_path, tmp_path)
    assert_review(split_phases(study, MipRecipe()).findings, "phases-ambiguous", "series 5 .*; series 6 .*; series 5")


def test_a_breast_with_one_phase_only_is_named_as_not_scored(tmp_path: Path) -> None:
    left = MockStudy(LEFT, description="dyn left")
    right = MockStudy(replace(RIGHT, voxels=RIGHT.voxels[:1]), series_number=6, description="dyn right")
    left.write(tmp_path / "left")
    right.write(tmp_path / "right")
    (study,), _ = read_studies(tmp_path, tmp_path)
    phases = split_phases(study, MipRecipe())
    [finding] = phases.findings
    assert_review([finding], "not-all-scored", 'series 6 "dyn right" has the protocol .* lies elsewhere and was not')


@AXIAL_AND_SAGITTAL
@pytest.mark.parametrize(
    ("columns", "side", "method"), [((0, 54), "R", "position"), ((40, 96), "L", "position and sternum")]
)
def test_a_unilateral_study_gives_one_breast_with_its_side(
    tmp_path: Path, axes: str, columns: tuple[int, int], side: str, method: str
) -> None:
    images, choice = breasts_of(MockStudy(cropped(PHANTOM, *columns), axes), tmp_path)
    assert lateralities(images) == [side]
    assert choice.method == method
    x_mm = [images[0].patient_mm(0, column)[0] for column in (0, images[0].pixels.shape[1] - 1)]
    end = min(x_mm) if side == "L" else max(x_mm)
    assert abs(end - PHANTOM.sternum_x_mm) < 20


def test_one_breast_is_cut_behind_the_chest_wall_where_the_field_of_view_reaches_the_sternum(tmp_path: Path) -> None:
    x, y, z = PHANTOM.first_voxel_mm
    at_zero = replace(PHANTOM, first_voxel_mm=(x - PHANTOM.sternum_x_mm, y, z))
    images, choice = breasts_of(MockStudy(cropped(at_zero, 48, 96)), tmp_path / "reaches")
    assert sentences(choice.findings) == ()
    cut_mm = images[0].patient_mm(len(images[0].pixels) - 1, 0)[1] - PHANTOM.sternum_y_mm
    assert cut_mm == pytest.approx(MipRecipe().posterior_margin_mm, abs=2 * PHANTOM.spacing_mm[1])
    images, choice = breasts_of(MockStudy(cropped(at_zero, 56, 96)), tmp_path / "lateral")
    assert len(images[0].pixels) == PHANTOM.voxels.shape[2]
    assert "left breast was not cut behind the chest wall" in sentences(choice.findings)[0]


def test_what_lies_beyond_the_sternum_of_a_unilateral_study_is_cut_off(tmp_path: Path) -> None:
    images, _ = breasts_of(MockStudy(cropped(PHANTOM, 40, 96)), tmp_path)
    assert images[0].patient_mm(0, 0)[0] == pytest.approx(PHANTOM.sternum_x_mm, abs=2 * PHANTOM.spacing_mm[2])
    assert images[0].patient_mm(*most_enhancing(images[0])) == pytest.approx(PHANTOM.bright_mm)


@pytest.mark.parametrize("keyword", ["Laterality", "ImageLaterality"])
def test_laterality_in_the_headers_tells_the_side_of_a_narrow_field_of_view_at_the_midline(
    tmp_path: Path, keyword: str
) -> None:
    x, y, z = RIGHT.first_voxel_mm
    centred = replace(RIGHT, first_voxel_mm=(x + 40, y, z))
    with pytest.raises(StudyError, match=r"unclear which breast is shown: .* 120 mm wide.* add Laterality"):
        breasts_of(MockStudy(centred), tmp_path / "without")
    images, choice = breasts_of(MockStudy(centred, attributes={keyword: "R"}), tmp_path / "with")
    assert lateralities(images) == ["R"]
    assert choice.method == "laterality in the headers"
    assert choice.confidence == pytest.approx(0.33)


def test_frame_laterality_of_an_enhanced_object_tells_the_side(tmp_path: Path) -> None:
    x, y, z = RIGHT.first_voxel_mm
    (path,) = MockStudy(replace(RIGHT, first_voxel_mm=(x + 40, y, z)), enhanced=True).write(tmp_path)
    header, anatomy = dcmread(path), Dataset()
    anatomy.FrameLaterality = "R"
    header.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
    header.save_as(path)
    (study,), _ = read_studies(tmp_path, tmp_path)
    images, choice = breast_images(split_phases(study, MipRecipe()), MipRecipe())
    assert (lateralities(images), choice.method) == (["R"], "laterality in the headers")


@pytest.mark.parametrize(("phantom", "laterality"), [(cropped(PHANTOM, 40, 96), "R"), (RIGHT, "L")])
def test_one_breast_whose_side_is_contradicted_is_refused(tmp_path: Path, phantom: Phantom, laterality: str) -> None:
    with pytest.raises(StudyError, match="unclear which breast is shown, because the evidence contradicts itself"):
        breasts_of(MockStudy(phantom, attributes={"Laterality": laterality}), tmp_path)


@pytest.mark.parametrize(
    ("phantom", "laterality", "shown"), [(RIGHT, "B", ["R"]), (PHANTOM, "R", ["R", "L"]), (PHANTOM, "L", ["R", "L"])]
)
def test_what_the_image_shows_is_scored_where_headers_say_otherwise(
    tmp_path: Path, phantom: Phantom, laterality: str, shown: list[str]
) -> None:
    images, choice = breasts_of(MockStudy(phantom, attributes={"Laterality": laterality}), tmp_path)
    assert lateralities(images) == shown
    assert_review(choice.findings, "side-unclear", f"{laterality} by laterality in the headers")


def without_breast(side: str) -> Phantom:
    """Replace one breast by air in front of the chest, as after a mastectomy."""
    air = PHANTOM.voxels[:, :, :1, :1]
    voxels = PHANTOM.voxels.copy()
    columns = slice(0, 50) if side == "R" else slice(50, None)
    voxels[:, :, :36, columns] = air
    return replace(PHANTOM, voxels=voxels)


@pytest.mark.parametrize("empty", ["R", "L"])
@pytest.mark.parametrize("laterality", ["", "other"])
def test_a_side_without_a_breast_gets_no_score(tmp_path: Path, empty: str, laterality: str) -> None:
    left = {"R": "L", "L": "R"}[empty]
    attributes = {"Laterality": left} if laterality else {}
    images, choice = breasts_of(MockStudy(without_breast(empty), attributes=attributes), tmp_path)
    assert lateralities(images) == [left]
    assert (choice.method, choice.empty_side) == ("one breast", empty)
    assert choice.midline_x_mm == pytest.approx(PHANTOM.sternum_x_mm, abs=15)
    name = {"R": "right", "L": "left"}[empty]
    assert sentences(choice.findings) == (f"No breast is shown on the {name} side, which was not scored.",)
    assert reviews(choice.findings) == (() if laterality else ("no-breast",))
    cut_mm = images[0].patient_mm(len(images[0].pixels) - 1, 0)[1] - PHANTOM.sternum_y_mm
    assert cut_mm == pytest.approx(MipRecipe().posterior_margin_mm, abs=3 * PHANTOM.spacing_mm[1])


def test_a_side_without_a_breast_that_the_headers_name_is_put_to_review(tmp_path: Path) -> None:
    images, choice = breasts_of(MockStudy(without_breast("R"), attributes={"Laterality": "R"}), tmp_path)
    assert lateralities(images) == ["L"]
    assert set(reviews(choice.findings)) == {"no-breast", "side-unclear"}


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_a_smaller_breast_is_a_breast(share: float) -> None:
    projection = phantom_projection()
    heights = (projection.pre_mean > 100).argmax(axis=0)
    smaller = projection.pre_mean.copy()
    for column in range(48):
        front = round(36 - share * (36 - heights[column])) if heights[column] < 36 else heights[column]
        smaller[:front, column] = 4
    assert find_sternum(smaller, projection.pixel_mm) is not None


@pytest.mark.parametrize("places", [[(4, 46)], [(2, 10), (3, 80)], [(12, 46), (5, 5), (30, 47)]])
def test_bright_markers_in_air_change_neither_sternum_nor_cut(places: list[tuple[int, int]]) -> None:
    expected, split = split_breasts(phantom_projection(), MipRecipe())
    voxels = PHANTOM.voxels.copy()
    for row, column in places:
        voxels[:, 2:7, row : row + 5, column : column + 5] = 1000
    images, choice = split_breasts(projection_of(voxels[0], voxels[1]), MipRecipe())
    assert choice == split
    for image, other in zip(images, expected, strict=True):
        changed = image.pixels != other.pixels
        assert changed.mean() < 0.02


def test_a_wide_field_of_view_far_beside_the_midline_is_put_to_review(tmp_path: Path) -> None:
    voxels = np.stack([head_like(), head_like() * np.where(np.arange(64) < 45, 1.0, 1.5)[:, None]]).astype(np.int32)
    beside = replace(PHANTOM, voxels=voxels, spacing_mm=(4.0, 2.5, 3.5), first_voxel_mm=(0.0, -80.0, -30.0))
    images, choice = breasts_of(MockStudy(beside), tmp_path)
    assert lateralities(images) == ["R", "L"]
    assert set(reviews(choice.findings)) == {"side-unclear", "no-sternum"}


def test_a_breast_without_signal_is_warned_about() -> None:
    voxels = PHANTOM.voxels.copy()
    voxels[:, :, :, :48] = 0
    _, choice = split_breasts(projection_of(voxels[0], voxels[1]), MipRecipe(), "B")
    assert any(warning.startswith("The right breast enhances nowhere") for warning in sentences(choice.findings))
    assert not any("left" in warning for warning in sentences(choice.findings))


def test_a_window_that_is_low_against_the_signal_is_warned_about() -> None:
    noise_like = PHANTOM.voxels[0] + np.random.default_rng(2).integers(-2, 3, PHANTOM.voxels[0].shape)
    _, choice = split_breasts(projection_of(PHANTOM.voxels[0], noise_like), MipRecipe())
    assert [warning[:16] for warning in sentences(choice.findings)] == ["The right breast", "The left breast "]
    assert all("hardly enhances" in warning for warning in sentences(choice.findings))


@pytest.mark.parametrize(("degrees", "warned"), [(8.0, False), (12.0, True)])
def test_an_acquisition_turned_by_more_than_ten_degrees_is_warned_about(
    tmp_path: Path, degrees: float, warned: bool
) -> None:
    _, choice = breasts_of(MockStudy(PHANTOM, turned_degrees=degrees), tmp_path)
    assert any("turned by 12 degrees" in warning for warning in sentences(choice.findings)) == warned
