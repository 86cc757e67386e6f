"""Each difficulty can be asked for by name and strength, changes what it is named for, and never hides a lesion."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from click.testing import CliRunner

from fcdd_runtime.breasts.projection import Projection, project
from fcdd_runtime.breasts.split import split_breasts
from fcdd_runtime.phases.choose import split_phases
from fcdd_runtime.study.read import read_studies
from phantom import draw_phantom
from phantom.__main__ import main
from phantom.anatomy import sample_body
from phantom.dataset import RECIPE, breasts_of, phantom_volume
from phantom.dicom import write_phantom
from phantom.difficulties import DIFFICULTIES, harder_side, sample_difficulties
from phantom.draw import Phantom

SEED = 3


def projection(phantom: Phantom, phase: int = 1) -> Projection:
    return project(phantom_volume(phantom, 0), phantom_volume(phantom, phase))


def body_of(phantom: Phantom) -> npt.NDArray[np.bool_]:
    image = projection(phantom).pre_mean
    body: npt.NDArray[np.bool_] = image > 0.2 * np.quantile(image, 0.95)
    return body


def rise(phantom: Phantom, phase: int) -> float:
    """Rise of the body's median signal from the first phase to another one."""
    inside = phantom.volumes[0] > np.quantile(phantom.volumes[0], 0.6)
    before, after = (float(np.median(phantom.volumes[number][inside])) for number in (0, phase))
    return after / before - 1


@pytest.mark.parametrize("name", DIFFICULTIES)
def test_a_difficulty_changes_the_drawing_and_repeats_to_the_last_bit(name: str) -> None:
    plain, hard, again = (
        draw_phantom(SEED, phases=2, difficulties=wanted) for wanted in ({}, {name: 1.0}, {name: 1.0})
    )
    changed = any(not np.array_equal(one, other) for one, other in zip(plain.volumes, hard.volumes, strict=True))
    assert changed or plain.grid != hard.grid or hard.bare
    assert all(np.array_equal(one, other) for one, other in zip(hard.volumes, again.volumes, strict=True))


def test_strength_0_is_no_difficulty_and_no_difficulties_are_the_plain_drawing() -> None:
    plain = draw_phantom(SEED, phases=2)
    none = draw_phantom(SEED, phases=2, difficulties={name: 0.0 for name in DIFFICULTIES if name not in ("bare",)})
    assert none.grid == plain.grid
    assert all(np.array_equal(one, other) for one, other in zip(plain.volumes, none.volumes, strict=True))


def test_up_to_half_of_the_field_of_view_is_air_in_front() -> None:
    shares = [
        float(body_of(draw_phantom(SEED, phases=2, difficulties={"air": air})).any(axis=1).argmax())
        for air in (0.0, 0.5, 1.0)
    ]
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 35  # of 192 rows


def test_sizes_follow_the_strength() -> None:
    body, small, long = (sample_body(SEED, wanted) for wanted in ({}, {"small": 1.0}, {"pendulous": 1.0}))
    assert all(a.protrusion > 1.5 * b.protrusion for a, b in zip(body.breasts, small.breasts, strict=True))
    assert all(b.protrusion > 1.3 * a.protrusion for a, b in zip(body.breasts, long.breasts, strict=True))
    assert all(b.half_size[0] < 0.6 * a.half_size[0] for a, b in zip(body.breasts, long.breasts, strict=True))
    unequal = sample_body(SEED, {"unequal": 1.0}).breasts
    ratio = min(unequal[0].protrusion / unequal[1].protrusion, unequal[1].protrusion / unequal[0].protrusion)
    assert ratio < 0.5


def test_a_missing_breast_gets_neither_lesion_nor_score() -> None:
    phantom = draw_phantom(SEED, lesions=3, phases=2, difficulties={"missing": 1.0})
    side = harder_side(SEED, "missing")
    assert {lesion.laterality for lesion in phantom.lesions} == {"R" if side == "L" else "L"}
    images, choice = split_breasts(projection(phantom), RECIPE)
    assert (len(images), choice.empty_side) == (1, side)


def test_the_body_rises_by_up_to_three_quarters_in_the_last_phase() -> None:
    plain, half, full = (draw_phantom(SEED, difficulties={"uptake": strength}) for strength in (0.0, 0.5, 1.0))
    assert rise(plain, 3) < 0.2
    assert rise(full, 3) - rise(plain, 3) == pytest.approx(0.75, abs=0.08)
    assert rise(half, 3) - rise(plain, 3) == pytest.approx(0.375, abs=0.05)
    assert rise(full, 1) < rise(full, 3)


def test_fat_that_suppression_missed_is_bright_and_does_not_enhance() -> None:
    plain, hard = (draw_phantom(SEED, phases=2, difficulties=wanted) for wanted in ({}, {"fat": 1.0}))
    brighter = hard.volumes[0] > 1.8 * plain.volumes[0].astype(float) + 50
    assert brighter.sum() > 3000
    before, after = (hard.volumes[phase][brighter].astype(float) for phase in (0, 1))
    assert float(np.median(after / before)) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", ["vessels", "background", "motion"])
def test_what_looks_like_enhancement_brightens_normal_breasts(name: str) -> None:
    plain, hard = (draw_phantom(SEED, lesions=0, phases=2, difficulties=wanted) for wanted in ({}, {name: 1.0}))
    means = [
        np.mean([np.quantile(one.image.enhancement, 0.9) for one in breasts_of(phantom)]) for phantom in (plain, hard)
    ]
    assert means[1] > 1.15 * means[0]


def test_a_wave_swings_over_one_side_of_the_subtraction() -> None:
    plain, hard = (draw_phantom(SEED, lesions=0, phases=2, difficulties=wanted) for wanted in ({}, {"wave": 1.0}))
    change = np.abs(projection(hard).maximum - projection(plain).maximum)[:90]
    by_side = {"R": float(change[:, :96].mean()), "L": float(change[:, 96:].mean())}
    side = harder_side(SEED, "wave")
    assert by_side[side] > 3 * by_side["L" if side == "R" else "R"]


def test_capsules_lie_in_front_of_the_skin_and_arms_beside_the_breasts() -> None:
    plain, capsules, arms = (
        draw_phantom(SEED, phases=1, difficulties=wanted) for wanted in ({}, {"capsules": 1.0}, {"arms": 1.0})
    )
    body = body_of(draw_phantom(SEED, phases=2))
    front = body.argmax(axis=0)
    rows, columns = np.nonzero((capsules.volumes[0].astype(int) - plain.volumes[0]).max(axis=0) > 150)
    assert len(rows) > 0
    assert (rows <= front[columns] + 1).all()
    _, columns = np.nonzero((arms.volumes[0].astype(int) - plain.volumes[0]).max(axis=0) > 100)
    assert len(columns) > 100
    assert (np.abs(columns - 95.5) > 50).all()


def test_bare_files_have_12_bits_and_no_time_and_are_read_all_the_same(tmp_path: Path) -> None:
    phantom = draw_phantom(SEED, phases=3, difficulties={"bare": 1.0})
    headers = [pydicom.dcmread(path) for path in write_phantom(phantom, tmp_path / "dicom")]
    assert {header.BitsStored for header in headers} == {12}
    assert max(int(header.pixel_array.max()) for header in headers) <= 4095
    assert not any(
        "Time" in element.keyword and element.keyword not in ("StudyTime", "SeriesTime", "RepetitionTime", "EchoTime")
        for element in headers[0]
    )
    [study], _ = read_studies(tmp_path / "dicom", tmp_path)
    phases = split_phases(study, RECIPE)
    assert phases.choice.count == 3


@pytest.mark.parametrize("seed", range(40, 52))
def test_whatever_comes_together_the_lesion_is_in_the_image_and_not_cleared(seed: int) -> None:
    phantom = draw_phantom(seed, phases=2, difficulties=sample_difficulties(seed))
    [lesion] = phantom.lesions
    [shown] = [one.image for one in breasts_of(phantom) if one.lesions]
    corner = np.array(shown.patient_mm(0, 0))
    row, column = (round((lesion.centre_mm[axis] - corner[axis]) / 1.75) for axis in (1, 0))
    assert not shown.air[row, column]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [("snow", "there is no difficulty 'snow'"), ("air=2", "strength of air is 2"), ("air=x", "could not convert")],
)
def test_the_command_refuses_what_is_not_drawn(tmp_path: Path, wanted: str, words: str) -> None:
    answer = CliRunner().invoke(main, ["draw", "--with", wanted, "--out", str(tmp_path / "out")])
    assert answer.exit_code == 2
    assert words in answer.output
    assert not (tmp_path / "out").exists()


def test_the_page_shows_every_difficulty_by_its_name(tmp_path: Path) -> None:
    write_phantom(draw_phantom(5, phases=2), tmp_path / "real")
    out = tmp_path / "page.html"
    answer = CliRunner().invoke(main, ["gallery", "--real", str(tmp_path / "real"), "--out", str(out)])
    assert answer.exit_code == 0, answer.output
    page = out.read_text(encoding="utf-8")
    assert all(f"<b>{name}</b>" in page for name in ("real", "none", *DIFFICULTIES))
    assert 'src="data:image/png' in page
    assert 'src="http' not in page
