"""When contrast arrived, in drawn bodies with vessels, glands and a lesion, whole and cropped, noisy and moved."""

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from fcdd_runtime.phases.contrast import Arrival, Run, find_arrival
from fcdd_runtime.volumes.volume import Grid, SliceSource, Volume
from phantom import Phantom, draw_phantom

Voxels = npt.NDArray[np.float32]

WHOLE = np.s_[:, :, :]
HALF = np.s_[:, :, 96:]
BESIDE = (np.s_[:, :, :84], np.s_[:, :, 108:])
"""The right and the left side, each ending 20 mm beside the midline: without the heart."""
CROP = np.s_[:, :100, 108:180]
"""The left breast as in public collections: 126 x 175 mm."""


@cache
def drawn(seed: int) -> Phantom:
    return draw_phantom(seed)


def phases_of(seed: int) -> list[Voxels]:
    return [volume.astype(np.float32) for volume in drawn(seed).volumes]


def lesion_of(seed: int) -> npt.NDArray[np.bool_]:
    [lesion] = drawn(seed).lesions
    grid = drawn(seed).grid
    squares = [
        (origin + step * np.arange(count) - centre) ** 2
        for origin, step, count, centre in zip(
            grid.origin_mm[::-1], (3.0, 1.75, 1.75), grid.shape, lesion.centre_mm[::-1], strict=True
        )
    ]
    away = squares[0][:, None, None] + squares[1][:, None] + squares[2]
    return np.asarray(away <= (lesion.radius_mm + 2) ** 2)


def noisy(voxels: Voxels, share: float, seed: int = 0) -> Voxels:
    """Add noise, as a share of the body's median."""
    level = share * float(np.median(voxels[voxels > 60]))
    noise = np.random.default_rng(seed).standard_normal(voxels.shape, dtype=np.float32)
    return np.asarray(np.abs(voxels + np.float32(level) * noise))


def run_of(*phases: Voxels) -> Run:
    return Run(lambda index: volume_of(phases[index]), tuple(f"phase {index}" for index in range(len(phases))))


def volume_of(voxels: Voxels) -> Volume:
    slices, rows, columns = voxels.shape
    grid = Grid((slices, rows, columns), (0.0, 0.0, 0.0), ((0.0, 0.0, 3.0), (0.0, 1.75, 0.0), (1.75, 0.0, 0.0)))
    sources = tuple(SliceSource(str(index), None) for index in range(slices))
    return Volume(grid, sources, lambda index: voxels[index])


def arrival_in(*phases: Voxels) -> Arrival:
    return find_arrival([run_of(*phases)])


@pytest.mark.parametrize("seed", [3, 4, 7])
@pytest.mark.parametrize(("share", "rest"), [(0.3, 0.0), (0.3, 0.3), (0.6, 0.2), (1.0, 0.0), (1.0, 0.3)])
def test_a_phase_in_which_a_lesion_enhances_early_is_never_taken_as_before_contrast(
    seed: int, share: float, rest: float
) -> None:
    before, after, *_ = phases_of(seed)
    early = before + np.where(lesion_of(seed), np.float32(share), np.float32(rest)) * (after - before)
    assert arrival_in(before, noisy(early, 0.03), after).last_before == 0


@pytest.mark.parametrize("region", [WHOLE, HALF, CROP])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_two_phases_before_contrast_are_told_from_the_first_after_it(
    region: tuple[slice, slice, slice], noise: float
) -> None:
    before, after, later, _ = (noisy(one[region], noise, seed) for seed, one in enumerate(phases_of(4)))
    again = noisy(before, 0.03, 9)
    arrival = arrival_in(before, again, after, later)
    assert (arrival.last_before, arrival.first_after, arrival.doubt) == (1, 2, "")


@pytest.mark.parametrize("seed", [3, 6])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_sides_without_the_heart_are_judged_together(seed: int, noise: float) -> None:
    before, after, *_ = (noisy(one, noise, number) for number, one in enumerate(phases_of(seed)))
    arrival = find_arrival([run_of(before[side], after[side]) for side in BESIDE])
    assert (arrival.last_before, arrival.first_after, arrival.doubt) == (0, 1, "")
    assert "unclear whether contrast arrived" in arrival_in(before[BESIDE[0]], after[BESIDE[0]]).doubt


@pytest.mark.parametrize("region", [WHOLE, HALF, BESIDE[1], CROP])
@pytest.mark.parametrize("noise", [0.0, 0.08])
def test_phases_that_lie_all_before_or_all_after_contrast_or_in_the_wrong_order_are_doubted(
    region: tuple[slice, slice, slice], noise: float
) -> None:
    before, after, later, last = (noisy(one[region], noise, seed) for seed, one in enumerate(phases_of(7)))
    for phases in ([after, later, last], [before, noisy(before, 0.03, 9)], [after, before], [after, before, later]):
        assert "unclear" in arrival_in(*phases).doubt


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("voxels", [1, 2])
def test_of_two_phases_before_contrast_between_which_the_body_moved_the_first_is_taken(axis: int, voxels: int) -> None:
    before, after, *_ = phases_of(7)
    moved = [np.roll(one, voxels, axis) for one in (before, after)]
    arrival = arrival_in(before, *moved)
    assert (arrival.last_before, arrival.first_after) == (0, 2)
