"""A real breast examination: the scanner's own projections judge ours, and what is missing is put to review."""

import math
import os
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from fcdd_export.networks.snapshot import load_snapshot
from fcdd_runtime.backends import open_folder
from fcdd_runtime.breasts.projection import Projection, project
from fcdd_runtime.breasts.split import split_breasts
from fcdd_runtime.contract import MipRecipe, ModelContract
from fcdd_runtime.images.network_input import image_position, resize_image
from fcdd_runtime.phases.choose import Phases, split_phases
from fcdd_runtime.phases.manual import ManualPhases, manual_phases
from fcdd_runtime.score_study import finish, infer, prepare
from fcdd_runtime.study.read import Study, read_studies
from support import REFERENCE_VARIABLE, ExportSnapshot, assert_review, reviews

ROOT = Path(os.environ.get(REFERENCE_VARIABLE, "")) / "real_breast"
pytestmark = pytest.mark.skipif(
    not os.environ.get(REFERENCE_VARIABLE) or not ROOT.is_dir(),
    reason=f"{REFERENCE_VARIABLE} does not name the folder that holds the real breast examination",
)
PRE, AFTER = "08", ("09", "13", "15", "17", "19")
OFFSET = 100
"""What the scanner adds to its subtractions, so that they fit into unsigned pixels."""


def study_in(folder: Path) -> Study:
    (study,), notes = read_studies(folder, folder)
    assert notes == []
    return study


def split(folder: Path, *choices: str) -> Phases:
    manual: ManualPhases | None = manual_phases(*choices) if choices else None
    return split_phases(study_in(folder), MipRecipe(), manual)


def write(folder: Path, series: Sequence[str], edit: Callable[[Dataset, int], None] | None = None) -> Path:
    """Copy series of the examination; `edit` changes each file's header, given which of the series it is from."""
    for number, name in enumerate(series):
        target = folder / f"{number}"
        shutil.copytree(ROOT / name, target)
        if edit is None:
            continue
        for path in target.iterdir():
            header = dcmread(path)
            edit(header, number)
            header.save_as(path)
    return folder


@cache
def scanners_mips() -> dict[int, npt.NDArray[np.int64]]:
    headers = [dcmread(path) for path in (ROOT / "12").iterdir()]
    return {int(header.InstanceNumber): header.pixel_array.astype(np.int64) for header in headers}


def assert_equals_the_scanners(projection: Projection, number: int) -> None:
    np.testing.assert_array_equal(projection.maximum.astype(np.int64) + OFFSET, scanners_mips()[number])


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_the_projection_of_every_phase_equals_the_scanners_own(tmp_path: Path, number: int) -> None:
    phases = split(write(tmp_path, (PRE, AFTER[number - 1])))
    assert_equals_the_scanners(project(phases.pre, phases.post), number)


@pytest.mark.parametrize("number", [1, 5])
def test_uncompressed_files_give_the_same(tmp_path: Path, number: int) -> None:
    write(tmp_path, (PRE, AFTER[number - 1]), lambda header, _: header.decompress(generate_instance_uid=False))
    phases = split(tmp_path)
    assert_equals_the_scanners(project(phases.pre, phases.post), number)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_phases_chosen_by_hand_give_the_same_without_review(number: int) -> None:
    phases = split(ROOT, "8/1", f"{int(AFTER[number - 1])}/1")
    assert_equals_the_scanners(project(phases.pre, phases.post), number)
    assert reviews(phases.findings) == ()


def test_the_whole_examination_is_scored_without_review_and_all_other_series_are_explained() -> None:
    phases = split(ROOT)
    assert_equals_the_scanners(project(phases.pre, phases.post), 1)
    assert (phases.choice.count, phases.choice.before_contrast) == (6, 1)
    assert phases.choice.pre.startswith("series 8 ")
    assert phases.choice.post.startswith("series 9 ")
    assert reviews(phases.findings) == ()
    why = {series.number: series.why for series in phases.not_used}
    assert set(why) == {1, 3, 5, 6, 7, 10, 11, 12, 13, 15, 17, 19, 21, 22, 23, 24}
    assert {why[number] for number in (13, 15, 17, 19)} == {"another phase"}
    assert [why[number].split("(")[1][:3] for number in (10, 12, 21, 22, 23)] == ["SUB", "MIP", "WI)", "WO)", "PEI"]


@pytest.mark.parametrize("later", [*((name,) for name in AFTER[1:]), AFTER[1:], AFTER[2:], ("13", "19"), ("17", "19")])
def test_without_its_first_phase_after_contrast_it_is_scored_and_put_to_review(
    tmp_path: Path, later: tuple[str, ...]
) -> None:
    phases = split(write(tmp_path, (PRE, *later)))
    assert_equals_the_scanners(project(phases.pre, phases.post), 1 + AFTER.index(later[0]))
    assert "post-missing" in reviews(phases.findings)
    assert "contrast-unclear" not in reviews(phases.findings)
    assert_review(phases.findings, "post-missing", "^The first phase after contrast seems to be missing: series 8")


def without_number(header: Dataset, _: int) -> None:
    del header.AcquisitionNumber


@pytest.mark.parametrize("series", [AFTER, AFTER[:2], AFTER[1:], ("09", "19"), ("17", "19")])
@pytest.mark.parametrize("edit", [None, without_number], ids=["numbered", "unnumbered"])
def test_phases_after_contrast_alone_are_never_scored_plainly(
    tmp_path: Path, series: tuple[str, ...], edit: Callable[[Dataset, int], None] | None
) -> None:
    phases = split(write(tmp_path, series, edit))
    assert_review(phases.findings, "contrast-unclear", "unclear whether contrast arrived")


def test_in_reversed_order_it_is_never_scored_plainly(tmp_path: Path) -> None:
    def reverse(header: Dataset, number: int) -> None:
        header.AcquisitionNumber, header.SeriesNumber = 6 - number, 40 - number

    phases = split(write(tmp_path, (PRE, *AFTER), reverse))
    assert_review(phases.findings, "contrast-unclear", "as if the order of the phases were wrong")


def test_the_phase_before_contrast_twice_is_never_scored_plainly(tmp_path: Path) -> None:
    def copy(header: Dataset, number: int) -> None:
        if number:
            header.AcquisitionNumber, header.SeriesNumber = 2, 9
            header.SeriesInstanceUID += ".1"
            header.SOPInstanceUID += ".1"
            header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID

    phases = split(write(tmp_path, (PRE, PRE), copy))
    assert_review(phases.findings, "contrast-unclear", "0.0% of the body")


def test_series_that_nothing_but_their_numbers_orders_are_scored_and_put_to_review(tmp_path: Path) -> None:
    phases = split(write(tmp_path, (PRE, *AFTER), without_number))
    assert_equals_the_scanners(project(phases.pre, phases.post), 1)
    assert reviews(phases.findings) == ("order-unclear",)


def test_two_differently_shaped_breasts_are_parted_at_the_sternum_and_cut_behind_it() -> None:
    phases = split(ROOT)
    (right, left), choice = split_breasts(project(phases.pre, phases.post), MipRecipe())
    assert (choice.method, choice.findings) == ("sternum", ())
    assert choice.midline_x_mm == pytest.approx(7, abs=5)  # as seen on the image
    skin_mm = right.patient_mm(0, 0)[1] + 2.045 * len(right.pixels) - MipRecipe().posterior_margin_mm
    assert skin_mm == pytest.approx(60, abs=5)
    assert len(left.pixels) == len(right.pixels)


@pytest.mark.parametrize("empty", ["R", "L"])
def test_a_breast_that_is_taken_away_leaves_no_breast_there(empty: str) -> None:
    phases = split(ROOT)
    projection = project(phases.pre, phases.post)
    columns = slice(0, 89) if empty == "R" else slice(89, None)
    for image in (projection.pre_mean, projection.pre_maximum):
        image[:84, columns] = float(image[:30].mean())
    images, choice = split_breasts(projection, MipRecipe())
    assert [image.laterality for image in images] == [{"R": "L", "L": "R"}[empty]]
    assert choice.empty_side == empty
    assert choice.midline_x_mm == pytest.approx(7, abs=15)


def test_cropped_images_end_at_the_skin_and_lead_back_to_the_same_voxels() -> None:
    phases = split(ROOT)
    projection = project(phases.pre, phases.post)
    whole, _ = split_breasts(projection, MipRecipe())
    cropped, choice = split_breasts(projection, MipRecipe(crop="breast", air="clear"))
    assert choice.findings == ()
    for image, field in zip(cropped, whole, strict=True):
        rows, columns = image.pixels.shape
        assert rows * columns < 0.55 * field.pixels.size  # more than half of the field of view is air
        skin = ~image.air
        outer = skin if image.laterality == "R" else skin[:, ::-1]
        # The margin of 10 mm less the guard of 5 mm is 2 pixels of 2 mm, and one for the skin's blur.
        assert 1 <= skin.any(axis=1).argmax() <= 3
        assert outer[: rows // 2].any(axis=0).argmax() >= 3  # the chest reaches further than the breast
        assert image.enhancement.max() == field.enhancement.max()
        for row, column in np.argwhere(skin)[::97].tolist():
            place = image.first_row + row, image.first_column - field.first_column + column
            assert image.voxel(row, column) == field.voxel(*place)
            assert image.patient_mm(row, column) == field.patient_mm(*place)
            assert image.enhancement[row, column] == field.enhancement[place]


BUNDLED = Path(__file__).parents[2] / "examples/phantom/snapshot"
LARGEST_SHARE_OVER_AIR = 0.02


def cells_that_see(pixels: npt.NDArray[np.bool_], contract: ModelContract) -> npt.NDArray[np.bool_]:
    """Which cells of the map have nothing but such pixels, bool (size, size), in their receptive fields."""
    upsampling = contract.upsampling
    rows, columns = contract.map_shape
    seen = np.zeros((rows, columns), np.bool_)
    for row, column in np.ndindex(rows, columns):
        fields = []
        for cell in (row, column):
            first = cell * upsampling.jump + upsampling.shift - (upsampling.extent - 1) / 2
            fields.append(slice(max(0, math.floor(first)), math.ceil(first + upsampling.extent)))
        seen[row, column] = pixels[fields[0], fields[1]].all()
    return seen


def test_the_bundled_network_is_silent_over_air_and_looks_at_breasts(export: ExportSnapshot, tmp_path: Path) -> None:
    trained = load_snapshot(BUNDLED)
    folder = export(BUNDLED, "bundled", "fp32", tmp_path, recipe=trained.recipe)
    with open_folder(folder) as backend:
        contract, prepared = backend.contract, prepare(study_in(ROOT), backend.contract)
        result = finish(prepared, *infer(prepared, backend), contract)
    over_air, over_breasts = [], []
    for breast, found in zip(prepared.breasts, result.breasts, strict=True):
        air = resize_image(np.where(breast.air, 255, 0).astype(np.uint8), contract.resize)
        over_air.append(found.anomaly_map[cells_that_see(air == 255, contract)])
        over_breasts.append(found.anomaly_map[cells_that_see(air == 0, contract)])
        row, column = found.peak.image_pixel
        assert not breast.air[row, column]
        # The heatmap's maximum itself, not only the pixel that is named for it, lies on the breast or at its skin.
        at = image_position(found.peak.heatmap_pixel, breast.pixels.shape, contract.resize)
        near = np.hypot(*(np.argwhere(~breast.air) - at).T * breast.pixel_mm[0]).min()
        assert near <= 5
    assert sum(len(cells) for cells in over_air) > 20
    share = np.concatenate(over_air).mean() / np.concatenate(over_breasts).mean()
    assert share <= LARGEST_SHARE_OVER_AIR
