"""Study -> pre- and post-contrast volume: the right voxels for every vendor's way, or one sentence why not."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mock_study import MockStudy, Phantom, breast_phantom, cropped
from pydicom import dcmread
from pydicom.dataset import Dataset

from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.choose import Phases, split_phases
from fcdd_runtime.phases.manual import manual_phases
from fcdd_runtime.study.read import Study, read_studies
from fcdd_runtime.study.slices import Slice
from fcdd_runtime.volumes.volume import Volume
from support import assert_review, reviews, sentences

PHANTOM = breast_phantom(phases=4)
SLICES = PHANTOM.voxels.shape[1]
ATTRIBUTES = ["TemporalPositionIdentifier", "TriggerTime", "AcquisitionTime", "ContentTime", "AcquisitionNumber"]
REFERENCE = os.environ.get("FCDD_REFERENCE_DATA")
needs_reference = pytest.mark.skipif(
    REFERENCE is None, reason="FCDD_REFERENCE_DATA does not name the folder of real MR files"
)


def study_in(folder: Path) -> Study:
    (study,), _ = read_studies(folder, folder)
    return study


def split(folder: Path, post_contrast_phase: int = 1) -> Phases:
    return split_phases(study_in(folder), MipRecipe(post_contrast_phase=post_contrast_phase))


def voxels(volume: Volume) -> npt.NDArray[np.float32]:
    return np.stack([volume.read_slice(index) for index in range(volume.grid.shape[0])])


def assert_phases(phases: Phases, pre: int = 0, post: int = 1, phantom: Phantom = PHANTOM) -> None:
    np.testing.assert_array_equal(voxels(phases.pre), phantom.voxels[pre])
    np.testing.assert_array_equal(voxels(phases.post), phantom.voxels[post])


def change(path: Path, edit: Callable[[Dataset], Any]) -> None:
    header = dcmread(path)
    edit(header)
    header.save_as(path)


def set_values(path: Path, **values: Any) -> None:
    header = dcmread(path)
    for keyword, value in values.items():
        setattr(header, keyword, value)
    header.save_as(path)


def with_phases(*phases: int, phantom: Phantom = PHANTOM) -> Phantom:
    return replace(phantom, voxels=phantom.voxels[list(phases)])


@pytest.mark.parametrize(
    ("attribute", "series_per_phase"),
    # TriggerTime counts from the start of its own series.
    [
        (attribute, own)
        for attribute in ATTRIBUTES
        for own in (False, True)
        if (attribute, own) != ("TriggerTime", True)
    ],
)
def test_any_attribute_tells_phases_apart_whatever_the_instance_numbers(
    tmp_path: Path, attribute: str, series_per_phase: bool
) -> None:
    mock = MockStudy(
        PHANTOM,
        phase_attribute=attribute,
        series_per_phase=series_per_phase,
        random_instance_numbers=True,
        rescale=True,
    )
    mock.write(tmp_path)
    phases = split(tmp_path, post_contrast_phase=2)
    assert_phases(phases, post=2)
    assert phases.choice.method == attribute
    assert phases.choice.count == 4
    assert sentences(phases.findings) == ()


@pytest.mark.parametrize("series_per_phase", [False, True])
@pytest.mark.parametrize("attribute", ["TemporalPositionIdentifier", "AcquisitionTime"])
def test_enhanced_objects_give_the_same_volumes(tmp_path: Path, attribute: str, series_per_phase: bool) -> None:
    MockStudy(PHANTOM, enhanced=True, phase_attribute=attribute, series_per_phase=series_per_phase, rescale=True).write(
        tmp_path
    )
    phases = split(tmp_path, post_contrast_phase=3)
    assert_phases(phases, post=3)
    named = {"TemporalPositionIdentifier": "TemporalPositionIndex", "AcquisitionTime": "FrameAcquisitionDateTime"}
    assert phases.choice.method == named[attribute]


def test_instance_number_blocks_are_the_last_resort_and_are_warned_about(tmp_path: Path) -> None:
    MockStudy(PHANTOM, phase_attribute="InstanceNumber").write(tmp_path)
    phases = split(tmp_path)
    assert_phases(phases)
    assert phases.choice.method == "InstanceNumber"
    assert any("InstanceNumber only" in warning for warning in sentences(phases.findings))


def test_random_instance_numbers_alone_tell_nothing_and_are_refused(tmp_path: Path) -> None:
    MockStudy(PHANTOM, phase_attribute="InstanceNumber", random_instance_numbers=True).write(tmp_path)
    with pytest.raises(StudyError, match="only one phase"):
        split(tmp_path)


def test_a_pre_contrast_series_and_a_series_of_all_post_contrast_phases_are_joined(tmp_path: Path) -> None:
    MockStudy(with_phases(0), series_number=3, attributes={"AcquisitionTime": "100000"}).write(tmp_path)
    MockStudy(with_phases(1, 2, 3), series_number=2, phase_attribute="AcquisitionTime").write(tmp_path)
    phases = split(tmp_path)
    assert_phases(phases)
    assert phases.choice.pre.startswith("series 3")
    assert phases.choice.count == 4


def test_times_that_jitter_within_a_phase_are_merged(tmp_path: Path) -> None:
    mock = MockStudy(PHANTOM, phase_attribute="AcquisitionTime")
    for number, path in enumerate(mock.write(tmp_path)):
        late = f"10{10 + number // SLICES:02d}20.{25 + number % 3 * 30}"
        set_values(path, AcquisitionTime=late)
    assert_phases(split(tmp_path))


def test_a_phase_that_crosses_midnight_comes_later(tmp_path: Path) -> None:
    mock = MockStudy(with_phases(0, 1), phase_attribute="AcquisitionTime")
    for number, path in enumerate(mock.write(tmp_path)):
        day, time = (("20240102", "235930"), ("20240103", "000030"))[number // SLICES]
        set_values(path, AcquisitionDate=day, AcquisitionTime=time)
    assert_phases(split(tmp_path))


def test_slices_with_a_time_of_their_own_do_not_pass_for_phases(tmp_path: Path) -> None:
    paths = MockStudy(with_phases(0), phase_attribute="InstanceNumber").write(tmp_path)
    for number, path in enumerate(paths):
        set_values(path, AcquisitionTime=f"10{number:02d}00")
    with pytest.raises(StudyError, match="only one phase"):
        split(tmp_path)


@pytest.mark.parametrize("attribute", ["AcquisitionTime", "ContentTime", "TriggerTime"])
@pytest.mark.parametrize("apart_s", [0.5, 2.5, 5.0])
@pytest.mark.parametrize("pause_after", [None, 0, 1, 2])
def test_a_time_of_its_own_for_every_slice_and_phase_tells_phases_apart(
    tmp_path: Path, attribute: str, apart_s: float, pause_after: int | None
) -> None:
    """A pause after a phase must not make those before and after it two phases whose slices occur several times."""
    mock = MockStudy(PHANTOM, phase_attribute="InstanceNumber", random_instance_numbers=True)
    for number, path in enumerate(mock.write(tmp_path)):
        phase, index = divmod(number, SLICES)
        pause = 60 if pause_after is not None and phase > pause_after else 0
        second = apart_s * (SLICES * phase + index * 3 % SLICES) + pause
        time = f"10{second // 60:02.0f}{second % 60:04.1f}"
        set_values(path, **{attribute: 1000.0 * second if attribute == "TriggerTime" else time})
    phases = split(tmp_path)
    assert_phases(phases)
    assert (phases.choice.method, phases.choice.count) == (attribute, 4)
    assert reviews(phases.findings) == ()


def test_positions_that_jitter_are_one_position_and_one_grid(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    for path in MockStudy(PHANTOM).write(tmp_path):
        change(
            path, lambda header: setattr(header, "ImagePositionPatient", moved(header, random.uniform(-0.02, 0.02, 3)))
        )
    phases = split(tmp_path)
    assert_phases(phases)
    [finding] = phases.findings
    assert (finding.code, finding.to_review) == ("jitter", False)


@pytest.mark.parametrize(("shift", "equal"), [(0.015, True), (0.03, False)])
def test_grids_are_equal_to_two_percent_of_a_voxel(tmp_path: Path, shift: float, equal: bool) -> None:
    paths = MockStudy(PHANTOM, series_per_phase=True).write(tmp_path)
    for path in paths[:SLICES]:
        change(path, lambda header: setattr(header, "ImagePositionPatient", moved(header, np.array([0, 0, 4 * shift]))))
    if equal:
        assert_phases(split(tmp_path))
    else:
        with pytest.raises(StudyError, match="unequal grids"):
            split(tmp_path)


@pytest.mark.parametrize(("position", "supine"), [("HFP", False), ("FFP", False), ("HFS", True), ("FFDR", True)])
def test_a_patient_who_did_not_lie_prone_puts_a_study_to_review(tmp_path: Path, position: str, supine: bool) -> None:
    MockStudy(PHANTOM, attributes={"PatientPosition": position}).write(tmp_path)
    findings = split(tmp_path).findings
    assert reviews(findings) == (("supine",) if supine else ())
    assert [position in finding.sentence for finding in findings] == [True] * supine


def test_a_block_of_padding_is_neither_enhancement_nor_body(tmp_path: Path) -> None:
    padded = PHANTOM.voxels.copy()
    padded[..., :4, :4] = 65535
    attributes = {"PixelPaddingValue": 65535}
    MockStudy(replace(PHANTOM, voxels=padded), attributes=attributes).write(tmp_path)
    phases = split(tmp_path)
    assert reviews(phases.findings) == ()
    assert voxels(phases.pre)[:, :4, :4].max() < 10


@pytest.mark.parametrize(
    ("description", "image_type"),
    [
        ("dyn t1 fs_SUB", ("ORIGINAL", "PRIMARY", "M", "ND")),
        ("t1", ("DERIVED", "PRIMARY", "M", "SUBTRACTION")),
        ("t1", ("DERIVED", "SECONDARY", "MIP")),
        ("t1", ("DERIVED", "SECONDARY", "PROJECTION IMAGE")),
        ("t1", ("ORIGINAL", "PRIMARY", "LOCALIZER")),
        ("t1", ("DERIVED", "SECONDARY", "MPR")),
        ("t2_tirm_tra", ("ORIGINAL", "PRIMARY", "M", "ND")),
        ("ep2d DWI", ("ORIGINAL", "PRIMARY", "M", "ND")),
    ],
)
def test_scanner_made_and_other_series_are_left_out_even_if_they_have_more_phases(
    tmp_path: Path, description: str, image_type: tuple[str, ...]
) -> None:
    MockStudy(with_phases(0, 1)).write(tmp_path)
    other = with_phases(3, 2, 1)
    MockStudy(other, series_number=1, description=description, image_type=image_type).write(tmp_path)
    assert_phases(split(tmp_path))


def test_a_study_that_is_derived_as_a_whole_is_used(tmp_path: Path) -> None:
    MockStudy(PHANTOM, image_type=("DERIVED", "SECONDARY", "OTHER")).write(tmp_path)
    assert_phases(split(tmp_path))


def test_a_series_with_another_echo_time_is_no_phase_of_the_acquisition(tmp_path: Path) -> None:
    MockStudy(PHANTOM, series_per_phase=True, phase_attribute="AcquisitionTime").write(tmp_path)
    earlier = {"EchoTime": "9.0", "AcquisitionTime": "090000"}
    MockStudy(with_phases(3), series_number=1, attributes=earlier).write(tmp_path)
    assert_phases(split(tmp_path))


def test_the_first_of_repeated_slices_is_taken_with_a_warning(tmp_path: Path) -> None:
    MockStudy(PHANTOM, repeats=2).write(tmp_path / "classic")
    MockStudy(PHANTOM, repeats=2, enhanced=True).write(tmp_path / "enhanced")
    for folder in ("classic", "enhanced"):
        phases = split(tmp_path / folder)
        assert_phases(phases)
        assert any("40 slices repeat a position and phase" in warning for warning in sentences(phases.findings))


@pytest.mark.parametrize("axes", ["zyx", "xzy", "yzx"])
@pytest.mark.parametrize("backwards", ["", "z", "yx"])
def test_the_grid_places_every_voxel_where_it_is_in_the_patient(tmp_path: Path, axes: str, backwards: str) -> None:
    MockStudy(with_phases(0, 1), axes=axes, backwards=backwards).write(tmp_path)
    post = split(tmp_path).post
    index, row, column = np.unravel_index(int(voxels(post).argmax()), post.grid.shape)
    assert post.grid.patient_mm((float(index), float(row), float(column))) == pytest.approx(PHANTOM.bright_mm)


def test_sub_millimetre_slice_steps_are_kept(tmp_path: Path) -> None:
    fine = replace(PHANTOM, spacing_mm=(0.37, 2.5, 2.5))
    MockStudy(fine).write(tmp_path)
    phases = split(tmp_path)
    assert_phases(phases)
    assert phases.post.grid.step_mm[0] == pytest.approx((0, 0, 0.37))


def test_sources_name_the_file_or_frame_that_a_slice_is_read_from(tmp_path: Path) -> None:
    paths = MockStudy(PHANTOM).write(tmp_path / "classic")
    MockStudy(PHANTOM, enhanced=True).write(tmp_path / "enhanced")
    classic, enhanced = split(tmp_path / "classic").post, split(tmp_path / "enhanced").post
    assert [source.sop_instance_uid for source in classic.sources] == [
        dcmread(path).SOPInstanceUID for path in paths[SLICES : 2 * SLICES]
    ]
    assert [source.frame_number for source in enhanced.sources] == [2 + 4 * index for index in range(SLICES)]


def test_an_aborted_last_phase_that_is_not_needed_puts_a_study_to_review(tmp_path: Path) -> None:
    for path in MockStudy(PHANTOM, phase_attribute="TriggerTime").write(tmp_path)[-6:]:
        path.unlink()
    phases = split(tmp_path)
    assert_phases(phases)
    [finding] = phases.findings
    assert_review([finding], "incomplete", "phase 4 of 4 is incomplete: 4 slices have come, 10 of other phases")
    with pytest.raises(StudyError, match="phase 4 of 4 has 4 slices, a breast volume at least 8"):
        split(tmp_path, post_contrast_phase=3)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
@pytest.mark.parametrize("lost", [0, 4, 9, 10, 14, 19])
def test_a_missing_slice_is_refused_wherever_it_is(tmp_path: Path, attribute: str, lost: int) -> None:
    MockStudy(with_phases(0, 1), phase_attribute=attribute).write(tmp_path)[lost].unlink()
    with pytest.raises(StudyError, match=r"missing slice|slice is missing"):
        split(tmp_path)


@pytest.mark.parametrize("lost", [0, 4, 9, 10, 14, 19])
def test_a_missing_slice_is_refused_where_each_phase_has_a_series(tmp_path: Path, lost: int) -> None:
    MockStudy(PHANTOM, phase_attribute="ContentTime", series_per_phase=True).write(tmp_path)[lost].unlink()
    with pytest.raises(StudyError, match=r"missing slice|slice is missing"):
        split(tmp_path)


def test_a_slice_that_both_phases_miss_is_refused(tmp_path: Path) -> None:
    paths = MockStudy(with_phases(0, 1)).write(tmp_path)
    paths[4].unlink()
    paths[14].unlink()
    with pytest.raises(StudyError, match=r"missing slice: two neighbours are 8\.00 mm apart"):
        split(tmp_path)


@pytest.mark.parametrize("outermost", [0, SLICES - 1])
def test_an_outermost_slice_that_both_phases_miss_puts_a_study_to_review(tmp_path: Path, outermost: int) -> None:
    paths = MockStudy(PHANTOM).write(tmp_path)
    paths[outermost].unlink()
    paths[SLICES + outermost].unlink()
    phases = split(tmp_path)
    assert phases.post.grid.shape[0] == SLICES - 1
    assert_review(phases.findings, "incomplete", "phase 1 of 4 is incomplete: 9 slices have come, 10 of other phases")


def test_a_truncated_slice_is_refused_by_name_if_it_is_needed_and_not_otherwise(tmp_path: Path) -> None:
    paths = MockStudy(PHANTOM).write(tmp_path)
    needed, other = paths[SLICES + 3], paths[2 * SLICES + 3]
    other.write_bytes(other.read_bytes()[:-500])
    assert_phases(split(tmp_path))
    needed.write_bytes(needed.read_bytes()[:-500])
    with pytest.raises(StudyError, match=f'"{needed.name}" is truncated'):
        split(tmp_path)


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("enhanced", [False, True])
def test_a_file_cut_anywhere_never_yields_volumes(tmp_path: Path, enhanced: bool, phase: int) -> None:
    paths = MockStudy(with_phases(0, 1), enhanced=enhanced, series_per_phase=True).write(tmp_path)
    path = paths[phase if enhanced else phase * SLICES + 4]
    content = path.read_bytes()
    for bytes_left in [*range(0, min(len(content), 2000), 197), len(content) // 2, len(content) - 1]:
        path.write_bytes(content[:bytes_left])
        with pytest.raises(StudyError):
            split(tmp_path)


def test_a_slice_without_a_position_is_named(tmp_path: Path) -> None:
    path = MockStudy(PHANTOM).write(tmp_path)[0]
    change(path, lambda header: header.pop("ImagePositionPatient"))
    with pytest.raises(StudyError, match="a slice is missing"):
        split(tmp_path)
    other = MockStudy(PHANTOM, study="other").write(tmp_path / "other")[2 * SLICES]
    change(other, lambda header: header.pop("ImagePositionPatient"))
    assert_review(split(tmp_path / "other").findings, "incomplete", f'"{other.name}" in series 5 .* says not where')


def test_mixed_matrix_sizes_in_a_phase_are_refused(tmp_path: Path) -> None:
    path = MockStudy(PHANTOM).write(tmp_path)[3]

    def shrink(header: Dataset) -> None:
        header.Rows, header.PixelData = 32, header.PixelData[: 32 * 96 * 2]

    change(path, shrink)
    with pytest.raises(StudyError, match="mixes matrix sizes"):
        split(tmp_path)


def test_slices_that_are_not_parallel_are_refused(tmp_path: Path) -> None:
    path = MockStudy(PHANTOM).write(tmp_path)[3]
    turned = [1, 0, 0, 0, float(np.cos(0.05)), float(np.sin(0.05))]
    set_values(path, ImageOrientationPatient=turned)
    with pytest.raises(StudyError, match="not parallel"):
        split(tmp_path)


@pytest.mark.parametrize("series_per_phase", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_grid_that_moves_between_the_phases_is_refused(tmp_path: Path, axis: int, series_per_phase: bool) -> None:
    paths = MockStudy(PHANTOM, series_per_phase=series_per_phase).write(tmp_path)

    def move(header: Dataset) -> None:
        position = list(header.ImagePositionPatient)
        position[axis] += 0.5
        header.ImagePositionPatient = position

    for path in paths[:SLICES]:
        change(path, move)
    with pytest.raises(StudyError, match=r"unequal grids, 0\.50 mm apart"):
        split(tmp_path)


@pytest.mark.parametrize("axes", ["zyx", "xzy"])
def test_a_shifted_post_contrast_phase_is_interpolated_where_the_recipe_says_so(tmp_path: Path, axes: str) -> None:
    z, y, x = np.meshgrid(*map(np.arange, PHANTOM.voxels.shape[1:]), indexing="ij")
    ramp = (100 + 40 * z + 3 * y + 2 * x).astype(np.int32)
    # A ramp that doubles, and as much again at the back, so that it enhances.
    growth = 2 + (y >= 58)
    phantom = replace(PHANTOM, voxels=np.stack([ramp, growth * ramp]))
    paths = MockStudy(phantom, axes, series_per_phase=True, phase_attribute="AcquisitionTime").write(tmp_path)
    shift = np.array([0.3, -0.4, 0.25]) * phantom.spacing_mm[::-1]
    for path in paths[len(paths) // 2 :]:
        change(path, lambda header: setattr(header, "ImagePositionPatient", moved(header, shift)))
    with pytest.raises(StudyError, match="unequal grids"):
        split(tmp_path)
    phases = split_phases(study_in(tmp_path), MipRecipe(resample=True))
    assert phases.post.grid == phases.pre.grid
    order = ["zyx".index(axis) for axis in axes]
    expected = (2 * ramp - 2 * (0.25 * 40 - 0.4 * 3 + 0.3 * 2)).transpose(order)
    # Less the edge of the image, and the step in growth.
    inner = tuple(slice(1, -1) if axis != "y" else slice(1, 48) for axis in axes)
    np.testing.assert_allclose(voxels(phases.post)[inner], expected[inner], rtol=1e-5)
    assert any("was interpolated" in warning for warning in sentences(phases.findings))


def test_a_phase_that_is_shifted_by_a_voxel_is_refused_even_if_the_recipe_resamples(tmp_path: Path) -> None:
    paths = MockStudy(PHANTOM, series_per_phase=True, phase_attribute="AcquisitionTime").write(tmp_path)
    for path in paths[SLICES : 2 * SLICES]:
        change(path, lambda header: setattr(header, "ImagePositionPatient", moved(header, np.array([2.5, 0, 0]))))
    with pytest.raises(StudyError, match=r"unequal grids, 2\.50 mm apart"):
        split_phases(study_in(tmp_path), MipRecipe(resample=True))


def moved(header: Dataset, shift: npt.NDArray[np.float64]) -> list[float]:
    return [round(float(value), 8) for value in np.array(header.ImagePositionPatient, dtype=float) + shift]


def test_phases_of_another_matrix_are_refused_and_no_later_phase_passes_for_the_first(tmp_path: Path) -> None:
    coarse = replace(PHANTOM, voxels=PHANTOM.voxels[:1, :, ::2, ::2], spacing_mm=(4.0, 5.0, 5.0))
    MockStudy(coarse, series_number=1, attributes={"TemporalPositionIdentifier": 0}).write(tmp_path)
    MockStudy(with_phases(1, 2, 3), series_number=2, series_per_phase=True).write(tmp_path)
    with pytest.raises(StudyError, match="unequal matrices, 32 x 48 and 64 x 96"):
        split(tmp_path)


def test_one_phase_only_is_refused(tmp_path: Path) -> None:
    MockStudy(with_phases(0)).write(tmp_path)
    with pytest.raises(StudyError, match='only one phase was found, series 5 "dyn t1 fs"'):
        split(tmp_path)


def test_series_that_do_not_belong_together_give_no_pair(tmp_path: Path) -> None:
    MockStudy(with_phases(0)).write(tmp_path)
    MockStudy(with_phases(1), series_number=6, attributes={"EchoTime": "4", "RepetitionTime": "9"}).write(tmp_path)
    with pytest.raises(StudyError, match="no pre- and post-contrast pair was found"):
        split(tmp_path)


def test_too_few_phases_for_the_recipe_are_refused(tmp_path: Path) -> None:
    MockStudy(PHANTOM).write(tmp_path)
    with pytest.raises(StudyError, match="asks for post-contrast phase 4"):
        split(tmp_path, post_contrast_phase=4)


def test_two_dynamic_series_of_one_kind_and_time_are_ambiguous_and_listed(tmp_path: Path) -> None:
    MockStudy(PHANTOM, series_number=5, description="dyn").write(tmp_path)
    MockStudy(PHANTOM, series_number=6, description="dyn corrected").write(tmp_path)
    phases = split(tmp_path)
    assert_phases(phases)
    assert phases.choice.pre.startswith("series 5")
    assert_review(
        phases.findings, "phases-ambiguous", r'series 5 "dyn" \+ series 6 "dyn corrected" .*; series 5 "dyn" '
    )


def test_two_dynamic_series_of_equal_length_and_another_kind_are_ambiguous_and_listed(tmp_path: Path) -> None:
    MockStudy(PHANTOM, series_number=5, image_type=("DERIVED", "PRIMARY", "W")).write(tmp_path)
    MockStudy(PHANTOM, series_number=6, image_type=("DERIVED", "PRIMARY", "F")).write(tmp_path)
    phases = split(tmp_path)
    assert phases.choice.pre.startswith("series 5")
    assert_review(phases.findings, "phases-ambiguous", r"series 5.*; series 6.*; series 5 .* was taken")


def edit_phase(paths: list[Path], phase: int, **values: Any) -> None:
    """Set header values in the files of one phase of a MockStudy that was written as single-frame files."""
    for path in paths[phase * SLICES : (phase + 1) * SLICES]:
        set_values(path, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"EchoTime": "1.73"},
        {"RepetitionTime": "4.6"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "FIL", "FM"]},
        {"SeriesDescription": "t1 fs breast screen"},
    ],
)
def test_a_pre_contrast_series_that_differs_in_rounding_or_post_processing_is_still_the_first_phase(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    paths = MockStudy(PHANTOM, series_per_phase=True, phase_attribute="AcquisitionTime").write(tmp_path)
    edit_phase(paths, 0, **values)
    phases = split(tmp_path)
    assert_phases(phases)
    assert phases.choice.count == 4


@pytest.mark.parametrize(
    "values",
    [
        {"EchoTime": "1.9"},
        {"ImageType": ["DERIVED", "SECONDARY", "OTHER"]},
        {"SeriesDescription": "t1 fs ser"},
        {"SeriesDescription": "t1 fs 1 mip"},
    ],
)
@pytest.mark.parametrize(("attribute", "phase"), [("AcquisitionTime", 0), ("AcquisitionTime", 1), ("ContentTime", 0)])
def test_a_phase_that_its_headers_hide_is_missed_and_named(
    tmp_path: Path, values: dict[str, Any], attribute: str, phase: int
) -> None:
    paths = MockStudy(PHANTOM, series_per_phase=True, phase_attribute=attribute).write(tmp_path)
    edit_phase(paths, phase, **values)
    assert_review(
        split(tmp_path).findings, "phases-ambiguous", rf"^series {5 + phase} .* could be a phase of .* is not later"
    )


def test_an_earlier_series_of_another_protocol_on_the_same_positions_is_named_in_a_warning(tmp_path: Path) -> None:
    MockStudy(PHANTOM, phase_attribute="AcquisitionTime").write(tmp_path)
    other = {"AcquisitionTime": "095500", "ScanOptions": "", "EchoTime": "2.4"}
    MockStudy(with_phases(3), series_number=2, description="t1 nonfs", attributes=other).write(tmp_path)
    phases = split(tmp_path)
    assert_phases(phases)
    assert sentences(phases.findings) == (
        'series 2 "t1 nonfs", phase 1 of 1 is not later than series 5 "dyn t1 fs", phase 2 of 4 and was not used, '
        "because its protocol differs.",
    )


@pytest.mark.parametrize("enhanced", [False, True])
def test_temporal_positions_that_do_not_begin_with_the_first_are_incomplete(tmp_path: Path, enhanced: bool) -> None:
    mock = MockStudy(with_phases(0, 1, 2), enhanced=enhanced)
    for path in mock.write(tmp_path):
        header = dcmread(path)
        if enhanced:
            for frame in header.PerFrameFunctionalGroupsSequence:
                frame.FrameContentSequence[0].TemporalPositionIndex += 1
        else:
            header.TemporalPositionIdentifier += 1
        header.save_as(path)
    phases = split(tmp_path)
    assert_phases(phases)
    assert_review(phases.findings, "incomplete", r"TemporalPosition\w+ of the phases of .* is 2, 3, 4")


def test_a_gap_in_the_temporal_positions_is_a_missing_phase(tmp_path: Path) -> None:
    paths = MockStudy(PHANTOM).write(tmp_path)
    for path in paths[SLICES : 2 * SLICES]:
        path.unlink()
    phases = split(tmp_path)
    assert_phases(phases, post=2)
    assert_review(phases.findings, "post-missing", "have the TemporalPositionIdentifier 1 and 3")


def test_a_first_phase_that_says_post_is_put_to_review_and_one_that_says_contrast_is_noted(tmp_path: Path) -> None:
    MockStudy(PHANTOM, description="AX T1 FS POST").write(tmp_path / "post")
    assert_review(split(tmp_path / "post").findings, "pre-missing", "its description says POST")
    MockStudy(PHANTOM, description="AX T1 FS +C").write(tmp_path / "contrast")
    assert "says +C" in sentences(split(tmp_path / "contrast").findings)[0]
    MockStudy(PHANTOM, description="AX T1 PRE AND POST CONTRAST").write(tmp_path / "both")
    assert sentences(split(tmp_path / "both").findings) == ()


@pytest.mark.parametrize(
    "values",
    [{"ImageType": ["ORIGINAL", "PRIMARY", "MPR"]}, {"ScanningSequence": "SE"}, {"SeriesDescription": "t1 fs SUB"}],
)
def test_a_first_phase_that_any_header_rules_out_is_not_passed_over(tmp_path: Path, values: dict[str, Any]) -> None:
    phantom = replace(PHANTOM, voxels=np.concatenate([PHANTOM.voxels[:1], PHANTOM.voxels[:3]]))
    paths = MockStudy(phantom, series_per_phase=True, phase_attribute="AcquisitionTime").write(tmp_path)
    edit_phase(paths, 0, **values)
    assert_review(split(tmp_path).findings, "phases-ambiguous", "^series 5 .* could be a phase")


@pytest.mark.parametrize("time", ["095000", None])
def test_a_first_phase_without_positions_is_not_passed_over(tmp_path: Path, time: str | None) -> None:
    MockStudy(PHANTOM, phase_attribute="AcquisitionTime").write(tmp_path)
    attributes = {} if time is None else {"AcquisitionTime": time}
    for path in MockStudy(with_phases(0), series_number=2, attributes=attributes).write(tmp_path):
        change(path, lambda header: header.pop("ImagePositionPatient"))
    assert_review(split(tmp_path).findings, "phases-ambiguous", "series 2 .* does not say where it lies")


@pytest.mark.parametrize("time", ["101020.25", "101500"])
def test_what_a_scanner_computed_bears_the_time_of_its_source_or_a_later_one_and_is_left_out(
    tmp_path: Path, time: str
) -> None:
    MockStudy(PHANTOM, phase_attribute="AcquisitionTime").write(tmp_path)
    computed = MockStudy(with_phases(0), series_number=2, image_type=("DERIVED", "SECONDARY", "MPR"))
    replace(computed, attributes={"AcquisitionTime": time}).write(tmp_path / "placed")
    for path in replace(computed, series_number=3, attributes={"AcquisitionTime": time}).write(tmp_path / "unplaced"):
        change(path, lambda header: header.pop("ImagePositionPatient"))
    assert_phases(split(tmp_path))


def test_later_phases_alone_are_put_to_review_because_nothing_enhances(tmp_path: Path) -> None:
    MockStudy(with_phases(1, 2, 3), phase_attribute="AcquisitionTime").write(tmp_path)
    phases = split(tmp_path)
    assert_phases(phases, pre=1, post=2)
    assert_review(phases.findings, "contrast-unclear", "unclear whether contrast arrived between series 5")


def with_signal(*levels: float) -> Phantom:
    """Scale the first phase by one factor a phase."""
    scaled = np.stack([PHANTOM.voxels[0] * level for level in levels])
    return replace(PHANTOM, voxels=np.round(scaled).astype(np.int32))


@pytest.mark.parametrize("levels", [(1.0, 1.0), (1.0, 1.0, 1.01, 0.99), (1.0, 1.06), (1.0, 1.3), (1.0, 0.8)])
def test_phases_that_differ_by_a_gain_are_put_to_review(tmp_path: Path, levels: tuple[float, ...]) -> None:
    MockStudy(with_signal(*levels)).write(tmp_path)
    assert_review(split(tmp_path).findings, "contrast-unclear", "unclear whether contrast arrived")


def test_phases_in_the_wrong_order_are_put_to_review(tmp_path: Path) -> None:
    MockStudy(with_phases(1, 0)).write(tmp_path)
    assert_review(split(tmp_path).findings, "contrast-unclear", "as if the order of the phases were wrong")


@pytest.mark.parametrize("series_per_phase", [False, True])
def test_of_two_phases_before_contrast_the_last_is_subtracted(tmp_path: Path, series_per_phase: bool) -> None:
    random = np.random.default_rng(4)
    again = PHANTOM.voxels[0] + random.integers(-4, 5, PHANTOM.voxels[0].shape)
    voxels = np.concatenate([PHANTOM.voxels[:1], again[None].clip(0), PHANTOM.voxels[1:]]).astype(np.int32)
    phantom = replace(PHANTOM, voxels=voxels)
    MockStudy(phantom, series_per_phase=series_per_phase, phase_attribute="AcquisitionTime").write(tmp_path)
    phases = split(tmp_path, post_contrast_phase=2)
    assert_phases(phases, pre=1, post=3, phantom=phantom)
    assert phases.choice.before_contrast == 2
    assert phases.choice.rise == pytest.approx(PHANTOM.voxels[1].mean() / PHANTOM.voxels[0].mean() - 1, abs=0.03)
    with pytest.raises(StudyError, match="has only 3"):
        split(tmp_path, post_contrast_phase=4)


def test_a_phase_in_which_a_lesion_enhances_early_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    early = PHANTOM.voxels[0].copy()
    z, y, x = PHANTOM.bright
    early[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2] += 80
    phantom = replace(PHANTOM, voxels=np.concatenate([PHANTOM.voxels[:1], early[None], PHANTOM.voxels[1:]]))
    MockStudy(phantom).write(tmp_path)
    phases = split(tmp_path, post_contrast_phase=2)
    assert_phases(phases, pre=0, post=3, phantom=phantom)
    assert phases.choice.before_contrast == 1
    [warning] = sentences(phases.findings)
    assert "phase 2 of 5 differs from the first phase in places" in warning
    assert "phase 1 of 5 was subtracted" in warning
    with pytest.raises(StudyError, match="has only 3"):
        split(tmp_path, post_contrast_phase=4)


def write_sides(folder: Path, times: tuple[tuple[str, ...], tuple[str, ...]]) -> tuple[Phantom, Phantom]:
    """Write a series for each breast, of which the right shows hardly any enhancement, and the times of the phases."""
    right, left = cropped(PHANTOM, 0, 46), cropped(PHANTOM, 46, 96)
    faint = right.voxels[0] + (right.voxels - right.voxels[0]) // 8
    right = replace(right, voxels=faint.astype(np.int32))
    for number, (side, own) in enumerate(zip((right, left), times, strict=True)):
        for index, path in enumerate(MockStudy(side, series_number=number + 5).write(folder / str(number))):
            set_values(path, AcquisitionTime=own[index // SLICES])
    return right, left


def test_a_breast_that_hardly_enhances_follows_the_other_of_the_same_injection(tmp_path: Path) -> None:
    right, left = write_sides(tmp_path, (("1000", "1002", "1004", "1006"), ("1001", "1003", "1005", "1007")))
    phases = split(tmp_path)
    assert_phases(phases, phantom=right)
    assert phases.left is not None
    assert_phases(phases.left, phantom=left)


def test_breasts_whose_phases_were_acquired_one_side_after_the_other_are_judged_apart(tmp_path: Path) -> None:
    write_sides(tmp_path, (("1000", "1002", "1004", "1006"), ("1010", "1012", "1014", "1016")))
    assert_review(split(tmp_path).findings, "contrast-unclear", "between series 5")


def test_pixels_of_phases_that_are_not_needed_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = MockStudy(PHANTOM).write(tmp_path)
    read: set[str] = set()
    original = Slice.read

    def noting(image_slice: Slice) -> npt.NDArray[np.float32]:
        read.add(image_slice.path.name)
        return original(image_slice)

    monkeypatch.setattr(Slice, "read", noting)
    split(tmp_path)
    assert read
    assert read <= {path.name for path in paths[: 2 * SLICES]}


@pytest.mark.parametrize(
    "attributes",
    [
        {"ScanningSequence": "EP", "RepetitionTime": "6000", "EchoTime": "70"},
        {"ScanningSequence": "SE", "FlipAngle": "90"},
        {"ScanningSequence": "IR", "FlipAngle": "180"},
        {"EchoTime": "30"},
        {"RepetitionTime": "3000"},
        {"DiffusionBValue": 400.0},
    ],
)
def test_a_series_of_many_volumes_that_is_no_dynamic_t1_does_not_win(
    tmp_path: Path, attributes: dict[str, Any]
) -> None:
    MockStudy(with_phases(0, 1)).write(tmp_path)
    MockStudy(with_phases(3, 2, 1), series_number=1, description="ep2d_b50_b400", attributes=attributes).write(tmp_path)
    assert_phases(split(tmp_path))


def test_what_is_no_dynamic_t1_is_taken_with_a_warning_where_a_study_has_nothing_else(tmp_path: Path) -> None:
    MockStudy(PHANTOM, attributes={"ScanningSequence": "SE"}).write(tmp_path)
    phases = split(tmp_path)
    assert_phases(phases)
    assert any("is no dynamic T1 by its protocol (spin echo)" in warning for warning in sentences(phases.findings))


def test_a_dynamic_t1_of_one_phase_does_not_make_another_series_the_dynamic(tmp_path: Path) -> None:
    MockStudy(with_phases(0)).write(tmp_path)
    MockStudy(with_phases(1, 2), series_number=6, attributes={"ScanningSequence": "EP"}).write(tmp_path)
    with pytest.raises(StudyError, match="only one phase was found, series 5"):
        split(tmp_path)


def test_two_dynamic_series_of_unequal_length_are_ambiguous_and_listed(tmp_path: Path) -> None:
    MockStudy(with_phases(0, 1), series_number=5).write(tmp_path)
    MockStudy(PHANTOM, series_number=6, attributes={"EchoTime": "4"}).write(tmp_path)
    phases = split(tmp_path)
    assert phases.choice.pre.startswith("series 6")
    assert_review(phases.findings, "phases-ambiguous", r"series 5.*2 phases.*; series 6.*4 phases.*; series 6 .* taken")


def test_undated_times_on_both_sides_of_midnight_are_put_to_review(tmp_path: Path) -> None:
    for own in (False, True):
        folder = tmp_path / str(own)
        paths = MockStudy(with_phases(0, 1), phase_attribute="AcquisitionNumber", series_per_phase=own).write(folder)
        for phase, time in enumerate(("235930", "000100")):
            edit_phase(paths, phase, AcquisitionTime=time)
        phases = split(folder)
        assert_phases(phases)
        sentence = "AcquisitionTime has no date, and its values lie more than 12 hours"
        assert_review(phases.findings, "order-unclear", sentence)


def test_trigger_times_of_different_series_are_not_compared(tmp_path: Path) -> None:
    paths = MockStudy(with_phases(0, 1), series_per_phase=True, phase_attribute="AcquisitionTime").write(tmp_path)
    edit_phase(paths, 0, TriggerTime="50")
    edit_phase(paths, 1, TriggerTime="30")
    phases = split(tmp_path)
    assert_phases(phases)
    assert phases.choice.method == "AcquisitionTime"


@pytest.mark.parametrize(("keyword", "values"), [("AcquisitionTime", ("1010", "1005")), ("TriggerTime", ("9000", "1"))])
def test_attributes_that_order_the_phases_oppositely_put_a_study_to_review(
    tmp_path: Path, keyword: str, values: tuple[str, str]
) -> None:
    paths = MockStudy(with_phases(0, 1)).write(tmp_path)
    for phase, value in enumerate(values):
        edit_phase(paths, phase, **{keyword: value})
    phases = split(tmp_path)
    assert_phases(phases)
    sentence = f"{keyword} orders the phases of .* otherwise than TemporalPositionIdentifier, which was followed"
    assert_review(phases.findings, "order-unclear", sentence)


def test_a_content_time_that_contradicts_is_noted(tmp_path: Path) -> None:
    paths = MockStudy(with_phases(0, 1)).write(tmp_path)
    for phase, value in enumerate(("101000", "100500")):
        edit_phase(paths, phase, ContentTime=value)
    phases = split(tmp_path)
    assert_phases(phases)
    assert "ContentTime orders the phases" in sentences(phases.findings)[0]
    assert reviews(phases.findings) == ()


def test_a_few_slices_are_no_volume(tmp_path: Path) -> None:
    few = replace(PHANTOM, voxels=PHANTOM.voxels[:, 2:5])
    MockStudy(few).write(tmp_path)
    with pytest.raises(StudyError, match="has 3 slices, a breast volume at least 8"):
        split(tmp_path)


def test_a_chosen_pair_settles_what_is_ambiguous(tmp_path: Path) -> None:
    MockStudy(PHANTOM, series_number=5).write(tmp_path)
    MockStudy(PHANTOM, series_number=6, attributes={"EchoTime": "4"}).write(tmp_path)
    assert_review(split(tmp_path).findings, "phases-ambiguous")
    for series in ("6", MockStudy(PHANTOM).series_instance_uid(6)):
        phases = split_phases(study_in(tmp_path), MipRecipe(), manual_phases(f"{series}/1", f"{series}/3"))
        assert_phases(phases, post=2)
        assert phases.choice.pre == 'series 6 "dyn t1 fs", phase 1 of 4'
        assert phases.choice.method == "chosen by hand"
        assert reviews(phases.findings) == ()


def test_a_chosen_pair_may_lie_in_series_that_their_description_hides(tmp_path: Path) -> None:
    MockStudy(PHANTOM, series_per_phase=True, description="t1 fs loc", phase_attribute="ContentTime").write(tmp_path)
    with pytest.raises(StudyError, match="no MR volume that can be a phase"):
        split(tmp_path)
    assert_phases(split_phases(study_in(tmp_path), MipRecipe(), manual_phases("5/1", "6/1")))


def test_a_chosen_pair_that_does_not_enhance_is_put_to_review(tmp_path: Path) -> None:
    MockStudy(PHANTOM).write(tmp_path)
    phases = split_phases(study_in(tmp_path), MipRecipe(), manual_phases("5/3", "5/2"))
    assert_review(phases.findings, "contrast-unclear", "mean signal changes by -")


@pytest.mark.parametrize(
    ("pre", "words"),
    [("5/9", "has no phase 9; it has phases 1 to 4"), ("8/1", 'no series 8; choose one of: series 5 "dyn t1 fs"')],
)
def test_a_choice_that_does_not_exist_is_refused(tmp_path: Path, pre: str, words: str) -> None:
    MockStudy(PHANTOM).write(tmp_path)
    with pytest.raises(StudyError, match=words):
        split_phases(study_in(tmp_path), MipRecipe(), manual_phases(pre, "5/2"))


@pytest.mark.parametrize("text", ["5", "5/", "/1", "5/0", "5/x", ""])
def test_a_choice_that_is_not_series_and_phase_is_refused(text: str) -> None:
    with pytest.raises(StudyError, match="SERIES/PHASE"):
        manual_phases("5/1", text)


def test_phases_in_different_frames_of_reference_are_put_to_review(tmp_path: Path) -> None:
    paths = MockStudy(PHANTOM, series_per_phase=True).write(tmp_path)
    for path in paths[:SLICES]:
        set_values(path, FrameOfReferenceUID="1.2.3")
    phases = split(tmp_path)
    assert_phases(phases)
    assert_review(phases.findings, "repositioned", "different frames of reference")


def test_another_body_part_is_put_to_review(tmp_path: Path) -> None:
    MockStudy(PHANTOM, attributes={"BodyPartExamined": "BRAIN"}).write(tmp_path)
    [finding] = split(tmp_path).findings
    assert_review([finding], "not-breast", "The body part is BRAIN")


@needs_reference
def test_a_real_scan_is_the_same_in_classic_and_in_enhanced_files() -> None:
    real = Path(str(REFERENCE)) / "real_mr"
    classic, enhanced = split(real / "philips_classic_3phase"), split(real / "philips_enhanced_3phase")
    for volume, other in ((classic.pre, enhanced.pre), (classic.post, enhanced.post)):
        assert volume.grid == other.grid
        np.testing.assert_array_equal(voxels(volume), voxels(other))
    assert {source.sop_instance_uid for source in classic.pre.sources} == {
        str(header.SOPInstanceUID)
        for path in (real / "philips_classic_3phase").iterdir()
        if (header := dcmread(path, stop_before_pixels=True)).InstanceNumber <= 40
    }
    for phases in (classic, enhanced):
        assert phases.choice.count == 3
        assert any("120 slices repeat" in warning for warning in sentences(phases.findings))
        assert any("BRAIN, which is not the breast" in warning for warning in sentences(phases.findings))


@needs_reference
def test_a_real_enhanced_object_without_frame_of_reference_is_read() -> None:
    phases = split(Path(str(REFERENCE)) / "real_mr" / "philips_enhanced_4phase")
    assert phases.choice.count == 4
    assert phases.post.grid.shape == (8, 64, 64)
    assert [source.frame_number for source in phases.pre.sources] == list(range(1, 33, 4))
