"""The peak is the voxel that enhances most near the heatmap's maximum, in every orientation, whatever is clipped."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from mock_study import MockStudy, Phantom, breast_phantom
from pydicom import dcmread
from result_builders import make_contract

from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.phases.choose import split_phases
from fcdd_runtime.result import BreastResult
from fcdd_runtime.score_study import breast_images, score_study
from fcdd_runtime.study.read import read_studies

AXIAL = [("zyx", "".join(flips)) for flips in product(["", "z"], ["", "y"], ["", "x"])]
OTHERS = [("zxy", "x"), ("xzy", ""), ("xzy", "zx"), ("xyz", "y"), ("yzx", "z"), ("yxz", "yx")]


def phantom_with_bright_voxel() -> Phantom:
    """Draw a voxel that is brighter than all after windowing has clipped most of them to one grey."""
    phantom = breast_phantom(phases=2)
    voxels = phantom.voxels.copy()
    brightest = (1, *phantom.bright)
    voxels[brightest] = 900
    return replace(phantom, voxels=voxels)


def scored_left_breast(folder: Path, cell: tuple[int, int], recipe: MipRecipe) -> BreastResult:
    (study,), _ = read_studies(folder, folder)
    result = score_study(study, FakeBackend(make_contract(recipe=recipe), cell=cell))
    assert [breast.laterality for breast in result.breasts] == ["R", "L"]
    return result.breasts[1]


def cell_of(phantom: Phantom, folder: Path, recipe: MipRecipe) -> tuple[int, int]:
    """Return the map cell that sees the bright voxel, by the position of its pixel in the left breast's image."""
    probe = scored_left_breast(folder, (14, 14), recipe)
    (study,), _ = read_studies(folder, folder)
    (_, left), _ = breast_images(split_phases(study, recipe), recipe)
    pixel = phantom.bright[1] - left.first_row, phantom.bright[2] - left.first_column
    row, column = (int((place + 0.5) * 28 / side) for place, side in zip(pixel, probe.image.shape, strict=True))
    return row, column


def file_with_the_brightest_pixel(folder: Path) -> str:
    headers = [dcmread(path) for path in sorted(folder.iterdir())]
    return str(max(headers, key=lambda header: int(header.pixel_array.max())).SOPInstanceUID)


RECIPES = [MipRecipe(), MipRecipe(window_high_quantile=0.5), MipRecipe(crop="breast", air="clear")]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("axes", "backwards"), AXIAL + OTHERS)
def test_the_peak_is_the_bright_voxel_and_the_slice_that_holds_it(
    tmp_path: Path, axes: str, backwards: str, recipe: MipRecipe
) -> None:
    phantom = phantom_with_bright_voxel()
    MockStudy(phantom, axes=axes, backwards=backwards).write(tmp_path)
    peak = scored_left_breast(tmp_path, cell_of(phantom, tmp_path, recipe), recipe).peak
    assert peak.patient_mm == pytest.approx(phantom.bright_mm, abs=1e-5)
    assert peak.sop_instance_uid == file_with_the_brightest_pixel(tmp_path)


@pytest.mark.parametrize("axes", ["zyx", "xzy"])
def test_in_an_enhanced_object_the_peak_names_the_frame(tmp_path: Path, axes: str) -> None:
    phantom, recipe = phantom_with_bright_voxel(), MipRecipe()
    (path,) = MockStudy(phantom, axes=axes, enhanced=True).write(tmp_path)
    peak = scored_left_breast(tmp_path, cell_of(phantom, tmp_path, recipe), recipe).peak
    frames = dcmread(path).pixel_array
    assert peak.frame_number == 1 + int(frames.max(axis=(1, 2)).argmax())
    assert peak.patient_mm == pytest.approx(phantom.bright_mm, abs=1e-5)


def test_a_mirrored_left_breast_has_the_same_peak(tmp_path: Path) -> None:
    phantom = phantom_with_bright_voxel()
    MockStudy(phantom).write(tmp_path)
    row, column = cell_of(phantom, tmp_path, MipRecipe())
    plain = scored_left_breast(tmp_path, (row, column), MipRecipe())
    mirrored = scored_left_breast(tmp_path, (row, 27 - column), MipRecipe(mirror_left=True))
    np.testing.assert_array_equal(mirrored.image, plain.image[:, ::-1])
    assert mirrored.peak.patient_mm == plain.peak.patient_mm


def test_of_equally_bright_pixels_the_nearest_to_the_map_cell_counts(tmp_path: Path) -> None:
    phantom, recipe = phantom_with_bright_voxel(), MipRecipe()
    z, y, x = phantom.bright
    phantom.voxels[1, z, y - 2, x - 2] = phantom.voxels[1, z, y, x] = 900 + phantom.voxels[0, z, y, x]
    phantom.voxels[0, z, y - 2, x - 2] = phantom.voxels[0, z, y, x]
    MockStudy(phantom).write(tmp_path)
    peak = scored_left_breast(tmp_path, cell_of(phantom, tmp_path, recipe), recipe).peak
    assert peak.patient_mm == pytest.approx(phantom.bright_mm, abs=1e-5)


def test_a_peak_over_cleared_air_is_the_nearest_pixel_of_the_breast(tmp_path: Path) -> None:
    phantom, recipe = phantom_with_bright_voxel(), MipRecipe(crop="breast", crop_margin_mm=25.0, air="clear")
    MockStudy(phantom).write(tmp_path)
    (study,), _ = read_studies(tmp_path, tmp_path)
    (_, left), _ = breast_images(split_phases(study, recipe), recipe)
    assert left.air[0].all()
    row, column = scored_left_breast(tmp_path, (0, 14), recipe).peak.image_pixel
    assert not left.air[row, column]
    assert left.air[row - 1, column] or left.air[row, column - 1] or left.air[row, column + 1]
