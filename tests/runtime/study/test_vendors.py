"""Whole studies as vendors' scanners write them, with all that lies beside the dynamic series."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mock_study import MockStudy, Phantom, breast_phantom, cropped
from pydicom import dcmread

from fcdd_runtime.breasts.projection import project
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.choose import Phases, split_phases
from fcdd_runtime.score_study import breast_images
from fcdd_runtime.study import slices as headers
from fcdd_runtime.study.pixels import StoredPixels, read_frame
from fcdd_runtime.study.read import read_studies
from fcdd_runtime.volumes.volume import Volume
from support import assert_review, sentences

PHANTOM = breast_phantom(phases=5)
PRE, FIRST_POST = PHANTOM.voxels[0], PHANTOM.voxels[1]


def only(voxels: npt.NDArray[np.int32], phantom: Phantom = PHANTOM) -> Phantom:
    """Return a study of one phase with these voxels."""
    return replace(phantom, voxels=voxels[None])


def split(folder: Path, **recipe: Any) -> Phases:
    (study,), notes = read_studies(folder, folder)
    assert notes == []
    return split_phases(study, MipRecipe(**recipe))


def voxels(volume: Volume) -> npt.NDArray[np.float32]:
    return np.stack([volume.read_slice(index) for index in range(volume.grid.shape[0])])


def assert_subtracted(phases: Phases, pre: npt.NDArray[np.int32], post: npt.NDArray[np.int32]) -> None:
    np.testing.assert_array_equal(voxels(phases.pre), pre)
    np.testing.assert_array_equal(voxels(phases.post), post)


def at(time: str, **values: Any) -> dict[str, Any]:
    """Header values of a series that was acquired and reconstructed at this time."""
    return {
        "AcquisitionDate": "20240102",
        "AcquisitionTime": time,
        "ContentDate": "20240102",
        "ContentTime": time,
    } | values


def write_siemens(folder: Path, dynamic: Phantom = PHANTOM, **dynamic_values: Any) -> None:
    """Write a series a phase, with subtractions and projections of each, and the other sequences of an exam."""
    for number, axes in enumerate(("zyx", "xzy", "yzx")):
        locator = at("100000", ImageType=["ORIGINAL", "PRIMARY", "M", "NORM"], RepetitionTime="8.6", EchoTime="4")
        MockStudy(only(PRE[::5]), axes, series_number=1, description="localizer", attributes=locator).write(
            folder / f"localizer {number}"
        )
    t2 = at("100200", ScanningSequence="SE", RepetitionTime="4500", EchoTime="84", FlipAngle="150")
    MockStudy(only(PRE + 90), series_number=2, description="tse tra", attributes=t2).write(folder / "t2")
    nonfs = at("100700", ScanOptions="", EchoTime="2.4", RepetitionTime="5.6")
    MockStudy(only(PRE + 300), series_number=3, description="t1_fl3d_tra", attributes=nonfs).write(folder / "t1")
    for phase, volume in enumerate(dynamic.voxels):
        values = at(f"10{10 + phase}20", **dynamic_values)
        number = 5 + 10 * phase
        MockStudy(only(volume), series_number=number, description="t1_fl3d_tra_dyna_1+5", attributes=values).write(
            folder / f"phase {phase}"
        )
        if phase == 0:
            continue
        subtraction, projection = only(abs(volume - dynamic.voxels[0])), only(volume[2:])
        late = values | {"ContentTime": f"1025{phase:02d}"}
        MockStudy(subtraction, series_number=number + 1, description="t1_fl3d_tra_dyna_1+5_SUB", attributes=late).write(
            folder / f"sub {phase}"
        )
        mip = late | {"ImageType": ["DERIVED", "SECONDARY", "MIP"]}
        MockStudy(projection, series_number=number + 2, description="t1_fl3d_tra", attributes=mip).write(
            folder / f"mip {phase}"
        )


def test_siemens_series_per_phase_among_what_the_scanner_computed(tmp_path: Path) -> None:
    write_siemens(tmp_path)
    phases = split(tmp_path, post_contrast_phase=2)
    assert_subtracted(phases, PRE, PHANTOM.voxels[2])
    assert (phases.choice.count, phases.choice.method) == (5, "AcquisitionTime")
    assert [warning.partition(",")[0] for warning in sentences(phases.findings)] == ['series 3 "t1_fl3d_tra"']


def test_siemens_without_its_phase_before_contrast_is_put_to_review(tmp_path: Path) -> None:
    write_siemens(tmp_path)
    for path in (tmp_path / "phase 0").iterdir():
        path.unlink()
    assert_review(split(tmp_path).findings, "contrast-unclear")


def test_ge_one_series_by_trigger_time_with_random_instance_numbers(tmp_path: Path) -> None:
    paths = MockStudy(
        PHANTOM,
        phase_attribute="TriggerTime",
        random_instance_numbers=True,
        description="Ax VIBRANT MPH",
        image_type=("ORIGINAL", "PRIMARY", "OTHER"),
        attributes=at("101500"),
    ).write(tmp_path)
    assert "TemporalPositionIdentifier" not in dcmread(paths[0])
    phases = split(tmp_path)
    assert_subtracted(phases, PRE, FIRST_POST)
    assert (phases.choice.count, phases.choice.method, sentences(phases.findings)) == (5, "TriggerTime", ())


@pytest.mark.parametrize("enhanced", [False, True])
def test_philips_with_a_rescale_of_every_slice(tmp_path: Path, enhanced: bool) -> None:
    MockStudy(PHANTOM, enhanced=enhanced, rescale=True, description="dyn THRIVE", random_instance_numbers=True).write(
        tmp_path
    )
    phases = split(tmp_path)
    assert_subtracted(phases, PRE, FIRST_POST)
    assert (phases.choice.count, sentences(phases.findings)) == (5, ())


def test_a_derived_series_of_one_breast_as_in_public_collections(tmp_path: Path) -> None:
    one_side = cropped(PHANTOM, 44, 96)
    MockStudy(
        one_side,
        phase_attribute="AcquisitionTime",
        description="ISPY2: VOLSER: uni-lateral cropped: original DCE",
        image_type=("DERIVED", "PRIMARY", "OTHER"),
    ).write(tmp_path)
    phases = split(tmp_path)
    assert_subtracted(phases, one_side.voxels[0], one_side.voxels[1])
    images, _ = breast_images(phases, MipRecipe())
    assert [image.laterality for image in images] == ["L"]


def test_everything_odd_at_once(tmp_path: Path) -> None:
    """Sagittal, oblique, flipped, signed, fine slices, two phases before contrast, repeats, an aborted last phase."""
    again = PRE + np.random.default_rng(3).integers(-3, 4, PRE.shape)
    odd = replace(
        PHANTOM,
        voxels=np.concatenate([PRE[None], again[None], PHANTOM.voxels[1:]]).astype(np.int32) - 150,
        spacing_mm=(0.83, 2.5, 2.5),
    )
    paths = MockStudy(
        odd, "xzy", "zx", turned_degrees=4.0, phase_attribute="TriggerTime", signed=True, repeats=2
    ).write(tmp_path)
    for path in paths[-120:]:
        path.unlink()
    phases = split(tmp_path)
    assert_subtracted(phases, *(odd.voxels[phase].transpose(2, 0, 1)[::-1, ::-1] for phase in (1, 2)))
    assert phases.choice.before_contrast == 2
    words = " ".join(sentences(phases.findings))
    assert "slices repeat a position and phase" in words
    assert "phase 6 of 6 is incomplete" in words


def test_eight_phases_of_a_hundred_and_sixty_slices(tmp_path: Path) -> None:
    small = PHANTOM.voxels[:, 5, ::8, ::8]
    levels = 1 + np.arange(160) % 7
    stack = (small[:2, None] * levels[None, :, None, None]).repeat([1, 7], axis=0).astype(np.int32)
    phantom = replace(PHANTOM, voxels=stack, spacing_mm=(1.0, 20.0, 20.0))
    MockStudy(phantom, phase_attribute="AcquisitionTime").write(tmp_path)
    phases = split(tmp_path, post_contrast_phase=7)
    assert_subtracted(phases, stack[0], stack[7])
    assert phases.choice.count == 8


def test_of_eight_phases_only_what_is_needed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = PHANTOM.voxels[:, :, ::2, ::2]
    phantom = replace(PHANTOM, voxels=np.concatenate([small[:1], small[1:2].repeat(7, axis=0)]))
    files = MockStudy(phantom, series_per_phase=True, phase_attribute="AcquisitionTime").write(tmp_path)
    opened: set[Path] = set()

    def noting(stored: StoredPixels, *arguments: Any) -> Any:
        opened.add(stored.path)
        return read_frame(stored, *arguments)

    monkeypatch.setattr(headers, "read_frame", noting)
    phases = split(tmp_path)
    project(phases.pre, phases.post)
    count = len(small[0])
    assert opened == set(files[: 2 * count])


def test_one_acquisition_stored_with_and_without_correction_is_ambiguous(tmp_path: Path) -> None:
    for number, words in ((1, "ND"), (11, "DIS2D")):
        MockStudy(
            PHANTOM,
            series_per_phase=True,
            phase_attribute="AcquisitionTime",
            series_number=number,
            image_type=("ORIGINAL", "PRIMARY", "M", words),
        ).write(tmp_path / words)
    phases = split(tmp_path)
    assert_subtracted(phases, PRE, FIRST_POST)
    assert phases.choice.pre.startswith("series 1 ")
    assert phases.choice.post.startswith("series 2 ")
    assert_review(phases.findings, "phases-ambiguous", r"series 1 .* \+ series 11 .*series 5 .* was taken")


def test_a_phase_put_together_of_repeats_from_several_times_is_refused(tmp_path: Path) -> None:
    files = MockStudy(breast_phantom(phases=3)).write(tmp_path)
    count = len(PHANTOM.voxels[0])
    for number, path in enumerate(files):
        header = dcmread(path)
        phase = number // count
        header.TemporalPositionIdentifier = 1 if phase < 2 else 2
        header.AcquisitionTime = f"{10 + phase}0000"
        header.InstanceNumber = number % count + 1
        header.save_as(path)
    with pytest.raises(StudyError, match="acquired at several times"):
        split(tmp_path)


def test_a_pre_contrast_series_with_another_repetition_time_is_not_passed_over(tmp_path: Path) -> None:
    files = MockStudy(PHANTOM, series_per_phase=True, phase_attribute="AcquisitionTime").write(tmp_path)
    for path in files[: len(PHANTOM.voxels[0])]:
        header = dcmread(path)
        header.RepetitionTime = float(header.get("RepetitionTime") or 5) * 1.4
        header.save_as(path)
    assert_review(split(tmp_path).findings, "phases-ambiguous", "is not later")


def set_values(paths: Iterable[Path], **values: Any) -> None:
    for path in paths:
        header = dcmread(path)
        for keyword, value in values.items():
            setattr(header, keyword, value)
        header.save_as(path)


def write_by_trigger_time(folder: Path, trigger_times_ms: tuple[float, ...], **values: Any) -> list[list[Path]]:
    """Write a series a phase in which only TriggerTime differs; return their files."""
    return [
        MockStudy(
            only(volume),
            series_number=values.get("series_numbers", range(5, 9))[phase],
            phase_attribute="TriggerTime",
            attributes={"TriggerTime": time, **values.get("attributes", {})},
        ).write(folder / str(phase))
        for phase, (volume, time) in enumerate(zip(PHANTOM.voxels, trigger_times_ms, strict=False))
    ]


def test_series_that_only_trigger_time_tells_apart(tmp_path: Path) -> None:
    write_by_trigger_time(tmp_path, (0, 70_000, 140_000), attributes=at("101500"))
    phases = split(tmp_path)
    assert_subtracted(phases, PRE, FIRST_POST)
    assert (phases.choice.count, phases.choice.method, sentences(phases.findings)) == (3, "TriggerTime", ())


@pytest.mark.parametrize(
    ("times_ms", "values"),
    [
        ((0, 0, 0), {}),
        ((12, 840, 2_100), {}),
        ((0, 70_000, 70_000), {}),
        ((0, 140_000, 70_000), {}),
        ((0, 70_000, 140_000), {"series_numbers": (7, 6, 5)}),
    ],
    ids=["equal", "near zero", "two equal", "against the series numbers", "against other series numbers"],
)
def test_series_whose_trigger_time_starts_anew_have_no_certain_order(
    tmp_path: Path, times_ms: tuple[float, ...], values: dict[str, Any]
) -> None:
    write_by_trigger_time(tmp_path, times_ms, **values)
    phases = split(tmp_path)
    assert phases.choice.method == "SeriesNumber"
    assert_review(phases.findings, "order-unclear", "nothing but their numbers orders the series")


@pytest.mark.parametrize(
    ("keyword", "early", "late"),
    [("AcquisitionTime", "101500", "101900"), ("ContentTime", "101500", "101900"), ("AcquisitionNumber", 1, 9)],
)
def test_a_trigger_time_that_another_attribute_contradicts_orders_nothing(
    tmp_path: Path, keyword: str, early: Any, late: Any
) -> None:
    pre, post = write_by_trigger_time(tmp_path, (0, 70_000))
    set_values(pre + post, **{keyword: early})
    assert_subtracted(split(tmp_path), PRE, FIRST_POST)
    # The series overlap, so that this attribute does not order them; but the second one begins before the first.
    set_values([*pre, post[0]], **{keyword: late})
    assert_review(split(tmp_path).findings, "order-unclear", "nothing but their numbers")


def test_trigger_time_orders_no_volumes_of_different_grids(tmp_path: Path) -> None:
    write_by_trigger_time(tmp_path / "a", (0,))
    shorter = replace(only(FIRST_POST[:-1]), bright=PHANTOM.bright)
    attributes = {"TriggerTime": 70_000}
    MockStudy(shorter, series_number=6, phase_attribute="TriggerTime", attributes=attributes).write(tmp_path / "b")
    with pytest.raises(StudyError, match="a slice is missing"):
        split(tmp_path)
