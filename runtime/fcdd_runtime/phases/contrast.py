"""When contrast arrived: where the body is far brighter than in the phase before, and than all that lies beside it.

Contrast makes heart, vessels and glands brighter than fat and muscle, whose change is the median's: what all of the
body shares, such as another gain of the scanner, is no contrast and is taken off. Motion carries tissue to a place
beside, so that a cell counts as brighter only if it exceeds every cell beside it in the phase before, and motion that
goes further makes as much darker as brighter. From one phase after contrast to the next, tissues change by less than
`MIN_CHANGE`, and what washes out becomes darker.

What drawn studies show (10 bodies of examples/phantom; both breasts, halves, sides that end 20 mm beside the midline,
crops of 126 x 175 mm in front of the chest), cells of 3.5 mm far brighter and far darker, all slices read:

================================================================  ============  ===========
change                                                           brighter      darker
================================================================  ============  ===========
before to after contrast, both breasts or a half, noise 0 .. 8 %  211 .. 9615   0 .. 1
the same with 6 % more gain or 5 % drift across the field         383 .. 9613   0
the same, half the enhancement                                    4 .. 6828     0
before to after contrast, sides without the heart and crops       0 .. 4145     0 .. 1
before to before, or after to next after; noise, gain, drift      0 .. 1        0
before to before, moved by a voxel or half (at most 3 mm)         0 .. 1        0
the same, moved by two voxels (3.5 mm; 6 mm along slices)         0 .. 747      0 .. 224
after to before contrast, both breasts or a half                  0             192 .. 9615
================================================================  ============  ===========

Of the sides and crops, 15 % show too little, all of them of fatty right breasts: they follow the other side, or are
refused. Phases are compared with the one before, not with the first: from the first to the third phase after contrast,
up to 230 cells rise as far.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.early_uptake import differs_in_places
from fcdd_runtime.volumes.body_mask import body_mask
from fcdd_runtime.volumes.cells import (
    Mask,
    cell_mm,
    highest_beside,
    sampled_cells,
    whole_cells,
    without_edge,
    without_margin,
)
from fcdd_runtime.volumes.volume import FloatArray, Volume

MIN_CHANGE = 0.2
"""Relative change that counts; smaller are drift, washout and persistent enhancement."""
NOISE_FACTOR = 3.0
"""A change counts only if it is this often the standard deviation of the noise, too."""
MIN_CELLS, MIN_SHARE = 6, 1 / 4000
"""So many cells, and so large a share of the body, are no chance."""
PARTNERS = 20
"""A darker cell speaks for motion, against so many brighter ones."""
PLAIN_SHARE = 0.06
"""Share of the body that, brighter in a few slices, needs no look at all of them; motion makes up to 0.043, and 30 % of
the enhancement up to 0.056 of both breasts."""
SAMPLED_SLICES = 8
SKIN_MM = 7.0
"""What lies as near to air does not count: motion changes most there."""
EDGE_MM = 3.5
"""Nor does what lies as near to the edge of the image: motion carries in what nothing was beside."""


@dataclass(frozen=True)
class Change:
    """How the body differs between two phases."""

    rise: float
    """Rise of the mean signal, as a share of it; a gain of the scanner counts."""
    brighter: int
    """Cells far brighter than before, the median's change apart."""
    darker: int
    """Cells far darker."""
    cells: int
    """All cells of the body that were compared."""

    @property
    def arrived(self) -> bool:
        """Whether contrast has arrived between the two."""
        return self.brighter >= self.chance + PARTNERS * self.darker

    @property
    def plain(self) -> bool:
        """Whether so much has enhanced that nothing else explains it."""
        return self.arrived and self.brighter >= PLAIN_SHARE * self.cells

    @property
    def fell(self) -> bool:
        """Whether the change is what contrast makes, backwards."""
        return self.darker >= self.chance + PARTNERS * self.brighter

    @property
    def chance(self) -> float:
        """Number of cells that chance explains."""
        return max(MIN_CELLS, MIN_SHARE * self.cells)


@dataclass(frozen=True)
class Run:
    """The phases of a dynamic, in temporal order."""

    volume: Callable[[int], Volume]
    """Index of a phase -> its volume; all on the grid of phase 0."""
    names: tuple[str, ...]
    """Of all phases, for messages."""


@dataclass(frozen=True)
class Arrival:
    """Where in a run of phases contrast arrived. Phases between the two are neither before nor after."""

    last_before: int
    """Index of the last phase that looks like the first all over."""
    first_after: int
    """Index of the first phase with contrast."""
    changes: tuple[Change, ...]
    """What changed from the one to the other, for each run."""


def find_arrival(runs: Sequence[Run]) -> Arrival:
    """Look for the first phase with contrast.

    Where little enhances, the next phase is opened too: if contrast still arrives there, it has just begun to, as in a
    lesion that enhances before all else, and the next phase is the first that shows it.

    Parameters
    ----------
    runs : of one injection, such as those of either breast, with as many phases each; where contrast is seen in one
        of them, it has arrived in all

    Raises
    ------
    StudyError
        If no phase enhances, or it is unclear whether one does.
    """
    count = len(runs[0].names)
    begun, unclear = count, []
    for index in range(1, count):
        changes = _changes(runs, index - 1, index)
        if any(change.arrived for change in changes):
            begun = min(begun, index)
            if any(change.plain for change in changes) or not _still_arrives(runs, index + 1):
                return _arrival(runs, begun, index, changes)
        unclear += [run.names[index] for run, one in zip(runs, changes, strict=True) if one.brighter >= one.chance]
    if unclear:
        raise StudyError(
            f"it is unclear whether contrast has arrived in {unclear[0]}: some places are brighter and others darker "
            "than in the phase before; choose the phases with --pre and --post",
            "contrast-unclear",
        )
    raise StudyError(
        f"nothing enhances: in no phase after {runs[0].names[0]} does some of the body become brighter than the rest, "
        "so that the phases before or after contrast are missing, or enhance too little to be told apart; give the "
        "whole study, or choose the phases with --pre and --post",
        "contrast-unclear",
    )


def change_between(before: Volume, after: Volume) -> Change:
    """Compare two phases on one grid: a few slices, and all if these do not show plainly that contrast has arrived."""
    change = sampled_change(before, after)
    if change.plain:
        return change
    first, second = whole_cells(before), whole_cells(after)
    return _change(first, second, before, axes=(0, 1, 2))


def sampled_change(before: Volume, after: Volume) -> Change:
    """Compare a few slices of two phases on one grid."""
    first, second = sampled_cells(before, SAMPLED_SLICES), sampled_cells(after, SAMPLED_SLICES)
    return _change(first, second, before, axes=(1, 2))


def _still_arrives(runs: Sequence[Run], index: int) -> bool:
    """Whether contrast arrives in a phase, too; not if there is none that can be compared, such as an aborted one."""
    try:
        return index < len(runs[0].names) and any(change.arrived for change in _changes(runs, index - 1, index))
    except StudyError:
        return False


def _arrival(runs: Sequence[Run], begun: int, first_after: int, changes: tuple[Change, ...]) -> Arrival:
    """Choose the last phase, before contrast began to arrive, that looks like the first; it has to enhance from it."""
    last = next(index for index in range(begun - 1, -1, -1) if _looks_like_the_first(runs, index))
    if last < first_after - 1:
        changes = _changes(runs, last, first_after)
    if any(change.arrived for change in changes):
        return Arrival(last, first_after, changes)
    raise StudyError(
        f"it is unclear whether contrast has arrived in {runs[0].names[first_after]}: against "
        f"{runs[0].names[last]}, nothing enhances; choose the phases with --pre and --post",
        "contrast-unclear",
    )


def _looks_like_the_first(runs: Sequence[Run], index: int) -> bool:
    return index == 0 or not any(differs_in_places(run.volume(0), run.volume(index)) for run in runs)


def _changes(runs: Sequence[Run], before: int, after: int) -> tuple[Change, ...]:
    """Compare two phases in every run; refuse where the signal falls."""
    changes = tuple(change_between(run.volume(before), run.volume(after)) for run in runs)
    for run, change in zip(runs, changes, strict=True):
        if change.fell:
            raise StudyError(
                f"it is unclear whether contrast has arrived in {run.names[after]}: some places are far darker than "
                f"in {run.names[before]}, as if their order were wrong; choose the phases with --pre and --post",
                "contrast-unclear",
            )
    return changes


def _change(first: FloatArray, second: FloatArray, volume: Volume, axes: Sequence[int]) -> Change:
    """Count the cells that exceed all cells beside them, along some axes, in the other phase.

    Parameters
    ----------
    volume : that the cells were averaged from, for their size
    """
    body = _inside(body_mask((first + second) / 2), volume, axes)
    level = float(np.median((first[body] + second[body]) / 2)) if body.any() else 0.0
    if level <= 0:
        return Change(0.0, 0, 0, 0)
    gain = float(np.median(second[body] / np.maximum(first[body], level / 20)))
    scaled = second / max(gain, 1e-3)
    limit = max(MIN_CHANGE, NOISE_FACTOR * _noise(_relative(first, scaled, level), body))
    return Change(
        rise=float(second[body].mean(dtype=np.float64) / max(first[body].mean(dtype=np.float64), level / 100)) - 1,
        brighter=_far_above(scaled, highest_beside(first, axes), level, limit, body),
        darker=_far_above(first, highest_beside(scaled, axes), level, limit, body),
        cells=int(body.sum()),
    )


def _inside(body: Mask, volume: Volume, axes: Sequence[int]) -> Mask:
    for axis in (1, 2):
        body = without_margin(body, axis, round(SKIN_MM / cell_mm(volume, axis)))
    for axis in axes:
        body = without_edge(body, axis, min(round(EDGE_MM / cell_mm(volume, axis)), body.shape[axis] // 8))
    return body


def _far_above(cells: FloatArray, others: FloatArray, level: float, limit: float, body: Mask) -> int:
    return int((_relative(others, cells, level)[body] > limit).sum())


def _relative(first: FloatArray, second: FloatArray, level: float) -> FloatArray:
    """Return the difference against the mean; where there is little signal, against half of the body's median."""
    relative: FloatArray = (second - first) / np.maximum((first + second) / 2, level / 2)
    return relative


def _noise(relative: FloatArray, body: Mask) -> float:
    """Standard deviation of the noise, from the median difference of neighbouring cells: few of them enhance."""
    difference = np.abs(relative[:, :, 1:] - relative[:, :, :-1])[body[:, :, 1:] & body[:, :, :-1]]
    return float(np.median(difference)) * 1.4826 / 2**0.5 if difference.size else 0.0
