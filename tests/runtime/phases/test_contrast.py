"""When contrast arrived, in bodies of plain shapes: told from gain, motion and noise; what is unclear is doubted."""

import re

import numpy as np
import numpy.typing as npt
import pytest

from fcdd_runtime.phases.contrast import Arrival, Run, change_between, find_arrival
from fcdd_runtime.volumes.volume import Grid, SliceSource, Volume

Voxels = npt.NDArray[np.float64]

SHAPE = (24, 128, 160)
Z, Y, X = np.ogrid[:24, :128, :160]
LESION = (Z - 12) ** 2 * 4 + (Y - 50) ** 2 + (X - 40) ** 2 <= 16


def ball(y: int, x: int, radius: int) -> npt.NDArray[np.bool_]:
    return np.broadcast_to((Y - y) ** 2 + (X - x) ** 2 <= radius**2, SHAPE)


BODY = ball(80, 80, 70) & np.broadcast_to(Y < 120, SHAPE)
GLAND = ball(50, 40, 12) | ball(50, 120, 12)
HEART = ball(95, 92, 14)
BEFORE = np.where(BODY, 100.0, 3.0) + 50 * GLAND
UPTAKE = 0.05 * 100 * BODY + 0.4 * 150 * GLAND + 100 * HEART


def volume(voxels: Voxels, seed: int = 0) -> Volume:
    """Return a scan of voxels, with noise of 3 % of fat's signal."""
    noisy = np.abs(voxels + np.random.default_rng(seed).normal(0, 3, voxels.shape)).astype(np.float32)
    slices, rows, columns = noisy.shape
    grid = Grid((slices, rows, columns), (0.0, 0.0, 0.0), ((0.0, 0.0, 4.0), (0.0, 2.0, 0.0), (2.0, 0.0, 0.0)))
    return Volume(grid, tuple(SliceSource(str(index), None) for index in range(len(noisy))), lambda index: noisy[index])


def run_of(*phases: Voxels, opened: list[int] | None = None) -> Run:
    volumes = [volume(voxels, seed) for seed, voxels in enumerate(phases)]

    def phase(index: int) -> Volume:
        if opened is not None:
            opened.append(index)
        return volumes[index]

    return Run(phase, tuple(f"phase {index}" for index in range(len(volumes))))


def arrival_of(*phases: Voxels) -> Arrival:
    return find_arrival([run_of(*phases)])


def arrival_in(*phases: Voxels) -> int:
    """Return the last phase before contrast, where contrast arrives in the next."""
    arrival = arrival_of(*phases)
    assert not arrival.doubt
    assert arrival.first_after == arrival.last_before + 1
    return arrival.last_before


def assert_doubted(arrival: Arrival, words: str) -> None:
    assert re.search(words, arrival.doubt)


def arrives(before: Voxels, after: Voxels) -> bool:
    return change_between(volume(before), volume(after, 1)).arrived


def drift() -> Voxels:
    return np.broadcast_to(1 + 0.06 * np.cos(X / 50) * np.sin(Y / 40), SHAPE)


@pytest.mark.parametrize("columns", [slice(None), slice(0, 80), slice(80, None), slice(10, 70)])
@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_contrast_arrives_in_whole_and_in_one_sided_fields_of_view(columns: slice, strength: float) -> None:
    before, after = BEFORE[..., columns], (BEFORE + strength * UPTAKE)[..., columns]
    assert arrival_in(before, before, after) == 1
    assert arrival_in(before, 1.06 * after) == 0
    assert arrival_in(before, (drift() * (BEFORE + strength * UPTAKE))[..., columns]) == 0


@pytest.mark.parametrize("gain", [0.8, 0.94, 1.06, 1.3])
def test_a_gain_is_no_contrast_and_the_phase_after_it_may_be_the_first_with_contrast(gain: float) -> None:
    assert arrival_in(BEFORE, gain * BEFORE, gain * (BEFORE + UPTAKE)) == 1
    assert_doubted(arrival_of(BEFORE, gain * BEFORE), r"unclear whether .* phase 0 and phase 1: 0\.0% of the body")


@pytest.mark.parametrize("change", [drift(), 1 + 5 / BEFORE])
def test_drift_of_the_field_and_an_offset_are_no_contrast(change: Voxels) -> None:
    assert not arrives(BEFORE, BEFORE * change)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
@pytest.mark.parametrize("columns", [slice(None), slice(0, 80)])
def test_motion_is_no_contrast_and_does_not_hide_it(axis: int, shift: int, columns: slice) -> None:
    still, moved, enhanced = (
        np.roll(one, by, axis)[..., columns] for one, by in ((BEFORE, 0), (BEFORE, shift), (BEFORE + UPTAKE, shift))
    )
    assert not arrives(still, moved)
    assert arrives(still, enhanced)


def test_washout_after_contrast_is_no_arrival() -> None:
    after = BEFORE + UPTAKE
    later = after + 0.06 * 150 * GLAND - 15 * HEART
    assert_doubted(arrival_of(after, later), "unclear")


def test_phases_in_the_wrong_order_are_doubted() -> None:
    assert_doubted(arrival_of(BEFORE + UPTAKE, BEFORE), "phase 1 is far darker than phase 0 .* order of the phases")


def test_an_enhancement_that_is_too_faint_to_be_sure_is_doubted_and_its_phase_taken() -> None:
    arrival = arrival_of(BEFORE, BEFORE, BEFORE + 0.18 * UPTAKE + 150 * LESION)
    assert_doubted(arrival, "unclear whether contrast arrived between phase 1 and phase 2")
    assert (arrival.last_before, arrival.first_after) == (1, 2)


def suppressed_fat(rise: float, enhanced: float, seed: int = 0) -> tuple[Voxels, Voxels]:
    """A body of 200 with 3 % of fat at 340 that was not suppressed and does not rise, before and after contrast.

    Parameters
    ----------
    rise : of three quarters of the rest, as a share
    enhanced : of the last quarter, in places of 8 mm
    """
    random = np.random.default_rng(seed)
    fat = random.random((24 // 8, 128 // 16, 160 // 16)) < 0.03
    unsuppressed = np.kron(fat, np.ones((8, 16, 16), dtype=bool)) & BODY
    glands = np.kron(random.random((12, 32, 40)) < 0.25, np.ones((2, 4, 4), dtype=bool))
    before = np.where(BODY, np.where(unsuppressed, 340.0, 200.0), 3.0)
    factor = np.where(unsuppressed | ~BODY, 1.0, np.where(glands, 1 + enhanced, 1 + rise))
    return before, before * factor


@pytest.mark.parametrize("rise", [0.0, 0.2, 0.4, 0.6, 0.75])
@pytest.mark.parametrize("fourfold", ["signal", "rise"])
def test_contrast_arrives_where_all_but_unsuppressed_fat_rises(rise: float, fourfold: str) -> None:
    enhanced = 3.0 if fourfold == "signal" or rise == 0 else 4 * rise
    before, after = suppressed_fat(rise, enhanced)
    assert arrival_in(before, after) == 0
    assert_doubted(arrival_of(after, before), "unclear")
    assert_doubted(arrival_of(after, 1.05 * after), "unclear")


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_phase_in_which_only_a_lesion_enhances_is_neither_before_nor_after_contrast(share: float) -> None:
    after = BEFORE + UPTAKE + 150 * LESION
    arrival = arrival_of(BEFORE, BEFORE + share * 150 * LESION, after)
    assert arrival.last_before == 0
    assert arrival_in(BEFORE, BEFORE, after) == 1


def test_a_phase_in_which_contrast_begins_to_arrive_is_passed_over() -> None:
    arrival = arrival_of(BEFORE, BEFORE, BEFORE + 0.1 * UPTAKE, BEFORE + UPTAKE)
    assert (arrival.last_before, arrival.first_after) == (1, 3)


def test_a_moved_phase_is_passed_over() -> None:
    arrival = arrival_of(BEFORE, np.roll(BEFORE, 1, 1), np.roll(BEFORE + UPTAKE, 1, 1))
    assert (arrival.last_before, arrival.first_after) == (0, 2)


def test_where_contrast_leaves_and_comes_back_the_order_is_doubted() -> None:
    assert_doubted(arrival_of(BEFORE + UPTAKE, BEFORE, BEFORE + UPTAKE), "phase 1 is far darker than phase 0")


def test_of_two_runs_of_one_injection_the_one_that_shows_contrast_decides() -> None:
    faint = run_of(BEFORE, BEFORE, BEFORE + 0.1 * UPTAKE)
    arrival = find_arrival([faint, run_of(BEFORE, BEFORE, BEFORE + UPTAKE)])
    assert (arrival.last_before, arrival.first_after) == (1, 2)
    assert arrival.changes[1].rise > arrival.changes[0].rise
    assert not arrival.doubt
    assert_doubted(find_arrival([faint]), "unclear whether")


def test_a_doubt_about_one_of_two_runs_is_one_about_both() -> None:
    early = run_of(BEFORE, BEFORE + 150 * LESION, BEFORE + UPTAKE)
    assert find_arrival([run_of(BEFORE, BEFORE, BEFORE + UPTAKE), early]).last_before == 0


def test_a_run_whose_signal_falls_contradicts_one_in_which_contrast_arrives() -> None:
    falling = run_of(BEFORE + UPTAKE, BEFORE)
    assert_doubted(find_arrival([run_of(BEFORE, BEFORE + UPTAKE), falling]), "far darker")


def test_an_image_without_a_body_shows_no_change() -> None:
    change = change_between(volume(np.zeros(SHAPE)), volume(np.zeros(SHAPE)))
    assert not change.arrived
    assert not change.fell


def test_where_contrast_arrives_plainly_no_later_phase_is_opened() -> None:
    opened: list[int] = []
    find_arrival([run_of(BEFORE, BEFORE + UPTAKE, BEFORE + UPTAKE, opened=opened)])
    assert set(opened) == {0, 1}
