"""Where a region lies: every voxel of it, from its definition, in all orientations; and what its object says of it."""

import dataclasses
from pathlib import Path
from typing import Literal

import highdicom
import numpy as np
import numpy.typing as npt
import pytest
from mock_study import OBLONG, ORIENTATIONS, MockStudy, read_study
from pydicom import dcmread
from pydicom.dataset import Dataset
from result_builders import SIZE, make_breast, make_contract

from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.contract import Display, MipRecipe, Resize
from fcdd_runtime.images.regions import DEPTH, find_regions, heat_at_pixels, region_level
from fcdd_runtime.pacs import DicomOptions
from fcdd_runtime.pacs.write import write_dicom_results
from fcdd_runtime.result import BreastResult, StudyResult
from fcdd_runtime.score_study import score_study

Voxel = tuple[int, int, int]


def regions_of(
    mock: MockStudy, folder: Path, recipe: MipRecipe, resize: Resize, cell: tuple[int, int]
) -> tuple[StudyResult, dict[str, Dataset]]:
    """The result of a study with one lit map cell, and the segmentation of each breast."""
    mock.write(folder / "study")
    study = read_study(folder / "study")
    result = score_study(study, FakeBackend(make_contract(recipe=recipe, resize=resize), cell))
    (folder / "out").mkdir()
    options = DicomOptions(frozenset({"region"}), all_regions=True)
    assert write_dicom_results(result, study, folder / "out", folder / "none", options) == ()
    return result, {path.stem[-1]: dcmread(path) for path in (folder / "out").glob("*.dcm")}


def phantom_voxel(mock: MockStudy, patient_mm: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The phantom's voxels (N, 3), z y x, at points (N, 3) of the patient; they have to lie at their centres."""
    upright = np.atleast_2d(patient_mm) @ np.linalg.inv(mock._turn()).T
    places = (upright - mock.phantom.first_voxel_mm) / np.array(mock.phantom.spacing_mm)[::-1]
    assert np.abs(places - np.rint(places)).max() < 0.01
    voxels: npt.NDArray[np.int64] = np.rint(places).astype(np.int64)[:, ::-1]
    return voxels


def voxels_in(dataset: Dataset, mock: MockStudy) -> set[Voxel]:
    """The phantom's voxels that a segmentation marks, from the positions that its header states."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    down_mm, along_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found: set[Voxel] = set()
    for frame, pixels in zip(
        dataset.PerFrameFunctionalGroupsSequence,
        dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns),
        strict=True,
    ):
        rows, columns = np.nonzero(pixels)
        assert rows.size, "a frame is empty"
        origin = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        points = origin + np.outer(columns * along_mm, cosines[:3]) + np.outer(rows * down_mm, cosines[3:])
        found |= {(int(z), int(y), int(x)) for z, y, x in phantom_voxel(mock, points)}
    return found


def expected_voxels(mock: MockStudy, breast: BreastResult, resize: Resize, *, mirrored: bool) -> set[Voxel]:
    """What the region has to be, from the phantom and the definitions: no code of the product but the peak's place."""
    enhancement = mock.phantom.voxels[1] - mock.phantom.voxels[0]
    deepest = enhancement.argmax(axis=0)
    [[_, y_peak, x_peak]] = phantom_voxel(mock, breast.peak.patient_mm)
    row_peak, column_peak = breast.peak.image_pixel
    rows, columns = breast.image.shape
    scale = [resize.size / rows, resize.size / columns]
    cut = [0, 0]
    if resize.rule != "squash":
        lengths = [int(resize.shorter_side * side / min(rows, columns)) for side in (rows, columns)]
        scale = [length / side for length, side in zip(lengths, (rows, columns), strict=True)]
        cut = [round((length - resize.size) / 2) for length in lengths]
    found: set[Voxel] = set()
    for row in range(rows):
        for column in range(columns):
            place = [int((at + 0.5) * by) - less for at, by, less in zip((row, column), scale, cut, strict=True)]
            if min(place) < 0 or max(place) >= resize.size or breast.heatmap[place[0], place[1]] <= 1.25:
                continue
            y = y_peak + row - row_peak
            x = x_peak + (column_peak - column if mirrored else column - column_peak)
            z = int(deepest[y, x])
            found |= {(other, int(y), int(x)) for other in range(z - DEPTH, z + DEPTH + 1)}
    return {voxel for voxel in found if 0 <= voxel[0] < len(enhancement)}


@pytest.mark.parametrize(
    "mock",
    [*ORIENTATIONS, MockStudy(OBLONG, enhanced=True)],
    ids=lambda m: f"{m.axes}-{m.backwards}-{m.turned_degrees:g}-{m.enhanced}",
)
@pytest.mark.parametrize("resize", [Resize("squash", SIZE, SIZE), Resize("shorter_side_center_crop", SIZE, 256)])
@pytest.mark.parametrize("mirror", [False, True], ids=["", "mirrored"])
@pytest.mark.parametrize("crop", ["field", "breast"])
def test_a_lit_map_cell_comes_back_at_its_own_voxels(
    mock: MockStudy, resize: Resize, mirror: bool, crop: Literal["field", "breast"], tmp_path: Path
) -> None:
    recipe = MipRecipe(mirror_left=mirror, crop=crop)
    result, segmentations = regions_of(mock, tmp_path, recipe, resize, (10, 12))
    assert sorted(segmentations) == ["L", "R"]
    for breast in result.breasts:
        expected = expected_voxels(mock, breast, resize, mirrored=recipe.mirrors(breast.laterality))
        assert expected
        assert voxels_in(segmentations[breast.laterality], mock) == expected


def test_each_frame_names_the_slice_that_it_lies_on(tmp_path: Path) -> None:
    for mock in (MockStudy(OBLONG), MockStudy(OBLONG, enhanced=True)):
        folder = tmp_path / str(mock.enhanced)
        _, segmentations = regions_of(mock, folder, MipRecipe(), Resize("squash", SIZE, SIZE), (10, 12))
        sources = {dcmread(path).SOPInstanceUID: dcmread(path) for path in (folder / "study").iterdir()}
        for dataset in segmentations.values():
            for frame in dataset.PerFrameFunctionalGroupsSequence:
                [image] = frame.DerivationImageSequence[0].SourceImageSequence
                source = sources[image.ReferencedSOPInstanceUID]
                if mock.enhanced:
                    group = source.PerFrameFunctionalGroupsSequence[int(image.ReferencedFrameNumber) - 1]
                    place = group.PlanePositionSequence[0].ImagePositionPatient
                else:
                    place = source.ImagePositionPatient
                assert list(frame.PlanePositionSequence[0].ImagePositionPatient) == pytest.approx(list(place))
                assert (dataset.Rows, dataset.Columns) == (source.Rows, source.Columns)


def test_a_region_is_named_for_what_it_is_and_states_its_level(tmp_path: Path) -> None:
    _, segmentations = regions_of(MockStudy(OBLONG), tmp_path, MipRecipe(), Resize("squash", SIZE, SIZE), (10, 12))
    for path in (tmp_path / "out").glob("*.dcm"):
        assert highdicom.seg.segread(path).segmentation_type.value == "BINARY"
    for side, dataset in segmentations.items():
        assert [segment.SegmentLabel for segment in dataset.SegmentSequence] == [
            "Region of network response, depth from the brightest voxel",
            "Scattered rest of the region, depth from the brightest voxel",
        ]
        assert "lesion" not in str(dataset).lower()
        for segment in dataset.SegmentSequence:
            assert "Heatmap above 1.25" in segment.SegmentDescription
            modifier = segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0]
            assert modifier.CodeMeaning == {"L": "Left", "R": "Right"}[side]


def with_heat(*spots: tuple[int, int, float]) -> BreastResult:
    """A breast whose heatmap is 0 but for squares of 9 pixels' side around some places."""
    heat = np.zeros((SIZE, SIZE), np.float32)
    for row, column, value in spots:
        heat[row - 4 : row + 5, column - 4 : column + 5] = value
    return make_breast(heatmap=heat)


def test_regions_that_do_not_touch_are_told_apart_the_highest_first() -> None:
    contract = make_contract()
    regions = find_regions(with_heat((60, 60, 3.0), (150, 150, 9.0)), contract)
    assert [region.highest for region in regions] == [9.0, 3.0]
    assert not (regions[0].pixels & regions[1].pixels).any()


@pytest.mark.parametrize(("low", "span", "level"), [(0.25, 2.0, 1.25), (3.0, 0.5, 3.25), (0.0, 0.0, None)])
def test_the_level_is_the_contracts_and_never_the_images(low: float, span: float, level: float | None) -> None:
    display = Display(0.97, (low, span))
    assert region_level(display) == level
    contract = make_contract(display=display)
    above, below = (3.3, 3.2)
    assert bool(find_regions(with_heat((60, 60, above)), contract)) is (level is not None)
    assert bool(find_regions(with_heat((60, 60, below)), contract)) is (level == 1.25)


def test_cleared_air_is_of_no_region() -> None:
    breast = with_heat((60, 60, 3.0))
    [region] = find_regions(breast, make_contract())
    assert find_regions(dataclasses.replace(breast, body=~region.pixels), make_contract()) == []


def test_the_core_of_a_region_ends_where_the_depth_jumps() -> None:
    """A lesion at one depth, and beside it, under the same response, tissue far behind it."""
    breast = with_heat((60, 60, 3.0))
    [whole] = find_regions(breast, make_contract())
    rows, columns = np.nonzero(whole.pixels)
    middle = int(np.median(columns))
    peak = dataclasses.replace(breast.peak, image_pixel=(int(rows[0]), int(columns.min())))
    for jump, expected in ((DEPTH, whole.pixels), (DEPTH + 1, whole.pixels & (np.arange(160) < middle))):
        voxels = breast.voxels.copy()
        voxels[:, middle:, 0] += jump
        [region] = find_regions(dataclasses.replace(breast, voxels=voxels, peak=peak), make_contract())
        assert np.array_equal(region.core, expected)
        assert np.array_equal(region.pixels, whole.pixels)
        assert len(region.voxels) + len(region.scattered) == (2 * DEPTH + 1) * whole.pixels.sum()


def test_the_core_of_a_region_without_the_peak_grows_from_its_brightest_pixel() -> None:
    breast = with_heat((60, 60, 3.0), (150, 150, 9.0))
    [highest, other] = find_regions(breast, make_contract())
    image, voxels = breast.image.copy(), breast.voxels.copy()
    brightest = tuple(np.argwhere(other.pixels)[3])
    image[other.pixels], image[brightest] = 100, 200
    voxels[..., 0][other.pixels] = 1
    voxels[brightest][0] = 15
    [_, region] = find_regions(dataclasses.replace(breast, image=image, voxels=voxels), make_contract())
    assert [tuple(place) for place in np.argwhere(region.core)] == [brightest]
    assert highest.highest > region.highest


def test_a_region_ends_with_the_volume() -> None:
    breast = with_heat((60, 60, 3.0))
    first = breast.voxels.copy()
    first[..., 0] = 0
    [region] = find_regions(dataclasses.replace(breast, voxels=first), make_contract())
    assert sorted(set(region.voxels[:, 0].tolist())) == list(range(DEPTH + 1))
    assert len(region.voxels) == (DEPTH + 1) * region.pixels.sum()


def test_what_the_network_did_not_see_has_no_heat() -> None:
    heat = heat_at_pixels(np.ones((SIZE, SIZE), np.float32), (100, 50), Resize("shorter_side_center_crop", SIZE, 256))
    seen = np.isfinite(heat)
    # 512 x 256 pixels after resizing, of which the middle 224 x 224 are seen.
    assert seen.sum(axis=0).max() == pytest.approx(224 * 100 / 512, abs=1)
    assert seen.sum(axis=1).max() == pytest.approx(224 * 50 / 256, abs=1)
    assert not seen[0].any() and not seen[-1].any()
