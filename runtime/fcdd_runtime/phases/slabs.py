"""A sagittal series that shows both breasts with a gap between them -> the slices of each breast."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fcdd_runtime.phases.order import position_numbers
from fcdd_runtime.study.slices import Slice
from fcdd_runtime.study.stacking import MIN_SLICES, STEP_TOLERANCE

MIN_GAP_MM = 10.0
"""A narrower gap is that of lost slices; the breasts lie some centimetres apart."""
MAX_GAP_MM = 60.0
"""Slabs are planned up to the sternum, some 40 mm wide, on either side; a wider gap holds breast, which nobody leaves
out on purpose, so that its slices are lost whatever the headers say."""
MIN_GAP_STEPS = 2.5
"""One lost slice leaves a gap of two steps."""
MIN_BALANCE = 0.5
"""Share of the other's slices that the smaller slab has at least; slabs of the two breasts are planned alike."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Slab:
    """Slices of one series that lie side by side."""

    slices: tuple[Slice, ...]
    side: str = ""
    """`right` or `left`, where the series shows both breasts with a gap between them."""
    gap_mm: float = 0.0
    """How far the nearest slices of the two breasts lie apart; 0 without a gap."""


def breast_slabs(slices: Sequence[Slice]) -> list[Slab]:
    """Split slices of one series and protocol between the breasts, where the gap between them is no loss of slices.

    That is so if there is one gap, over the midline (x = 0), between two regular runs of slices with the same step
    and number of phases, and if the headers prove that nothing was there: InstanceNumber counts over the gap as from
    slice to slice, or each slice has the laterality of its side.

    Parameters
    ----------
    slices : at least one, all with a plane and nearly parallel

    Returns
    -------
    those of the right and of the left breast; or one with all slices, where they are not two slabs beyond doubt
    """
    split = _beyond_midline(slices) if _is_sagittal(slices[0]) else None
    if split is None:
        return [Slab(tuple(slices))]
    on_left, gap_mm = split
    return [
        Slab(tuple(_unsided(slices[index]) for index in np.flatnonzero(chosen)), side, gap_mm)
        for side, chosen in (("right", ~on_left), ("left", on_left))
    ]


def _beyond_midline(slices: Sequence[Slice]) -> tuple[npt.NDArray[np.bool_], float] | None:
    """Tell for each slice whether it shows the left breast, and how wide the gap is, mm; None if unclear."""
    places = np.array(position_numbers(slices))
    firsts = [slices[index] for index in np.unique(places, return_index=True)[1]]
    heights = _heights(firsts)
    gap = _only_gap(heights)
    if gap is None or len({one.frame_of_reference_uid for one in slices}) > 1:
        return None
    before, after = _middle_x_mm(firsts[gap]), _middle_x_mm(firsts[gap + 1])
    beyond = places > gap
    on_left = beyond if after > before else ~beyond
    if before * after >= 0 or not _have_equal_phases(places, beyond):
        return None
    if not _counts_over(slices, places, gap) and not _has_own_lateralities(slices, on_left):
        return None
    return on_left, float(heights[gap + 1] - heights[gap])


def _is_sagittal(one: Slice) -> bool:
    return one.plane is not None and int(np.argmax(np.abs(one.plane.normal))) == 0


def _heights(slices: Sequence[Slice]) -> Floats:
    planes = [one.plane for one in slices if one.plane is not None]
    return np.asarray(np.array([plane.origin_mm for plane in planes]) @ np.array(planes[0].normal))


def _middle_x_mm(one: Slice) -> float:
    """Return the patient x of a slice's centre."""
    if one.plane is None or one.pixels is None:
        return 0.0
    down, along = (one.pixels.rows - 1) / 2, (one.pixels.columns - 1) / 2
    return one.plane.origin_mm[0] + down * one.plane.row_step_mm[0] + along * one.plane.column_step_mm[0]


def _only_gap(heights: Floats) -> int | None:
    """Return how many positions before the last of the first slab there are; None if there are not two slabs."""
    gaps = np.diff(heights)
    if len(heights) < 2 * MIN_SLICES:
        return None
    at, step = int(np.argmax(gaps)), float(np.median(gaps))
    regular = np.abs(np.delete(gaps, at) - step) <= STEP_TOLERANCE * step
    sizes = sorted((at + 1, len(gaps) - at))
    is_between_breasts = max(MIN_GAP_MM, MIN_GAP_STEPS * step) <= gaps[at] <= MAX_GAP_MM
    return at if regular.all() and is_between_breasts and sizes[0] >= max(MIN_SLICES, MIN_BALANCE * sizes[1]) else None


def _have_equal_phases(places: npt.NDArray[np.intp], beyond: npt.NDArray[np.bool_]) -> bool:
    """Compare how often a position occurs; a slice that one phase lacks is found when that phase is stacked."""
    most = {max(Counter(places[chosen].tolist()).values()) for chosen in (beyond, ~beyond)}
    return len(most) == 1


def _counts_over(slices: Sequence[Slice], places: npt.NDArray[np.intp], gap: int) -> bool:
    """Whether InstanceNumber rises or falls from slice to slice by one number, and by the same over the gap.

    A number of its own belongs to each slice that was acquired, so that lost ones leave out theirs.
    """
    numbers = [one.instance_number for one in slices if one.source.frame_number is None]
    known = [number for number in numbers if number is not None]
    if len(known) < len(slices):
        return False
    lowest = np.full(int(places.max()) + 1, np.inf)
    np.minimum.at(lowest, places, known)
    counted = np.diff(lowest)
    return bool(counted[gap] != 0 and (counted == counted[gap]).all())


def _has_own_lateralities(slices: Sequence[Slice], on_left: npt.NDArray[np.bool_]) -> bool:
    return [one.laterality for one in slices] == ["L" if left else "R" for left in on_left]


def _unsided(one: Slice) -> Slice:
    """Forget a laterality that says that the series shows both breasts: its slabs show one each."""
    return replace(one, laterality="") if one.laterality == "B" else one
