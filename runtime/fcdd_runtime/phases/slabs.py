"""A sagittal series that shows both breasts with a gap between them -> the slices of each breast."""

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
    whole = [Slab(tuple(slices))]
    plane = slices[0].plane
    if plane is None or int(np.argmax(np.abs(plane.normal))) != 0:
        return whole  # not sagittal
    places = np.array(position_numbers(slices))
    firsts = [slices[index] for index in np.unique(places, return_index=True)[1]]
    planes = [first.plane for first in firsts if first.plane is not None]
    heights = np.array([plane.origin_mm for plane in planes]) @ np.array(planes[0].normal)
    gap = _find_gap(heights)
    if gap is None or len({image_slice.frame_of_reference_uid for image_slice in slices}) > 1:
        return whole
    before, after = _middle_x_mm(firsts[gap]), _middle_x_mm(firsts[gap + 1])
    beyond = places > gap
    # How often a position occurs; a slice that one phase lacks is found when that phase is stacked.
    phases = {int(np.bincount(places[side]).max()) for side in (beyond, ~beyond)}
    if before * after >= 0 or len(phases) > 1:
        return whole
    on_left = beyond if after > before else ~beyond
    sides = ["L" if left else "R" for left in on_left]
    if not _counts_over(slices, places, gap) and [image_slice.laterality for image_slice in slices] != sides:
        return whole
    gap_mm = float(heights[gap + 1] - heights[gap])
    # A laterality that says that the series shows both breasts is forgotten: its slabs show one each.
    unsided = [replace(each, laterality="") if each.laterality == "B" else each for each in slices]
    return [
        Slab(tuple(unsided[index] for index in np.flatnonzero(chosen)), side, gap_mm)
        for side, chosen in (("right", ~on_left), ("left", on_left))
    ]


def _find_gap(heights: npt.NDArray[np.float64]) -> int | None:
    """Return how many positions before the last of the first slab there are; None if there are not two slabs."""
    gaps = np.diff(heights)
    if len(heights) < 2 * MIN_SLICES:
        return None
    at, step = int(np.argmax(gaps)), float(np.median(gaps))
    regular = np.abs(np.delete(gaps, at) - step) <= STEP_TOLERANCE * step
    sizes = sorted((at + 1, len(gaps) - at))
    is_between_breasts = max(MIN_GAP_MM, MIN_GAP_STEPS * step) <= gaps[at] <= MAX_GAP_MM
    return at if regular.all() and is_between_breasts and sizes[0] >= max(MIN_SLICES, MIN_BALANCE * sizes[1]) else None


def _middle_x_mm(image_slice: Slice) -> float:
    """Return the patient x of a slice's centre."""
    plane, pixels = image_slice.plane, image_slice.pixels
    if plane is None or pixels is None:
        return 0.0
    down, along = (pixels.rows - 1) / 2, (pixels.columns - 1) / 2
    return plane.origin_mm[0] + down * plane.row_step_mm[0] + along * plane.column_step_mm[0]


def _counts_over(slices: Sequence[Slice], places: npt.NDArray[np.intp], gap: int) -> bool:
    """Whether InstanceNumber rises or falls from slice to slice by one number, and by the same over the gap.

    A number of its own belongs to each slice that was acquired, so that lost ones leave out theirs.
    """
    numbers = [each.instance_number for each in slices if each.source.frame_number is None]
    known = [number for number in numbers if number is not None]
    if len(known) < len(slices):
        return False
    lowest = np.full(int(places.max()) + 1, np.inf)
    np.minimum.at(lowest, places, known)
    counted = np.diff(lowest)
    return bool(counted[gap] != 0 and (counted == counted[gap]).all())
