"""When contrast arrived: where the body rises far more than what does not enhance, and than all that lies beside it.

Contrast makes heart, vessels and glands far brighter than fat and muscle. What all of the body shares, such as another
gain of the scanner, is no contrast and is taken off. It is seen in what rises least: where fat is suppressed, half of
the body enhances, so that its median is enhancement, too. Motion carries tissue to a place beside, so that a cell
counts as brighter only if it exceeds every cell beside it in the phase before; and motion that goes further makes as
much darker as brighter, where darker is what falls in fact, not what merely rises less than the rest.

What a real examination (spectrally suppressed fat, 6 phases; also cut into halves, sides and crops of one breast) and
drawn bodies show (10 of examples/phantom; both breasts, halves, left sides that end 20 mm beside the midline, crops of
126 x 175 mm), cells of 3.5 mm far brighter as a share of the body, and darker ones, all slices read:

===========================================================  ============  ===========  ============
change                                                       brighter, %   darker       said plainly
===========================================================  ============  ===========  ============
real: before to any phase after contrast                     20 .. 24      0            5 of 5
real: the same, halves, sides, and crops with chest wall     1.6 .. 32     0            13 of 14
real: one phase after contrast to a later one                0 .. 1.6      0 .. 20      0 of 31
drawn: before to after; noise 0 .. 8 %, 6 % gain, 5 % drift  6.6 .. 24.6   0            160 of 160
drawn: half the enhancement                                  2.3 .. 20     0            40 of 40
drawn: before to after, moved by two voxels                  6.1 .. 26     0 .. 149     239 of 240
drawn: before to before, after to after; noise, gain 0.8 to
1.3, drift, moved by a voxel at most                         0 .. 0.02     0            none
drawn: before to before, moved by two voxels                 0 .. 1.5      0 .. 250     none
drawn: after to before                                       0             1239 .. 9615 none
===========================================================  ============  ===========  ============

Too little shows in crops of the real one that end in front of the chest wall (0.5 to 0.9 %), and in 30 of 40 right
sides without the heart of drawn, fatty bodies: they follow the other side, or are put to review. Phases are compared
with the one before, not with the first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

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
UNCHANGED_SHARE = 0.1
"""Share of the body, at least, that does not enhance: fat that is not suppressed, muscle, implants."""
MIN_CELLS, MIN_SHARE = 6, 1 / 4000
"""So many cells, and so large a share of the body, are no chance."""
PARTNERS = 20
"""A darker cell speaks for motion, against so many brighter ones."""
PLAIN_SHARE = 0.02
"""Share of the body that has to become brighter before contrast is said to have arrived."""
SAMPLED_SHARE = 0.06
"""Share of the body that, brighter in a few slices, needs no look at all of them; motion makes up to 0.043 there."""
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
    """Cells far brighter than before, the gain apart."""
    darker: int
    """Cells far darker."""
    cells: int
    """All cells of the body that were compared."""
    fell: bool
    """Whether it is the change that contrast makes, backwards."""

    @property
    def share(self) -> float:
        """Share of the body that became brighter."""
        return self.brighter / max(self.cells, 1)

    @property
    def begun(self) -> bool:
        """Whether more became brighter than chance or motion explain."""
        return self.brighter >= max(MIN_CELLS, MIN_SHARE * self.cells) + PARTNERS * self.darker

    @property
    def arrived(self) -> bool:
        """Whether so much became brighter that nothing but contrast explains it."""
        return self.begun and self.share >= PLAIN_SHARE


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
    doubt: str = ""
    """Why that is uncertain, one sentence; empty if it is not."""


def find_arrival(runs: Sequence[Run]) -> Arrival:
    """Look for the first phase with contrast; where none shows it plainly, the likeliest is named, with a doubt.

    Parameters
    ----------
    runs : of one injection, such as those of either breast, with as many phases each; where contrast is seen in one
        of them, it has arrived in all

    Raises
    ------
    StudyError
        If phases cannot be read, or are not on one grid.
    """
    names, steps = runs[0].names, list[tuple[Change, ...]]()
    for index in range(1, len(names)):
        try:
            steps.append(_changes(runs, index - 1, index))
        except StudyError:
            # The first two are needed. A later phase that is cut off, say, ends the search.
            if index == 1:
                raise
            break
        if any(change.arrived for change in steps[-1]):
            break
    begun = next((index for index, step in enumerate(steps, 1) if any(change.begun for change in step)), 1)
    first_after = len(steps) if any(change.arrived for change in steps[-1]) else begun
    last_before = next(index for index in range(begun - 1, -1, -1) if _looks_like_the_first(runs, index))
    changes = steps[first_after - 1]
    if last_before < first_after - 1:
        changes = _changes(runs, last_before, first_after)
    fallen = [
        (run.names[index], run.names[index + 1])
        for index, step in enumerate(steps)
        for run, change in zip(runs, step, strict=True)
        if change.fell
    ]
    return Arrival(last_before, first_after, changes, _doubt(names[last_before], names[first_after], changes, fallen))


def change_between(before: Volume, after: Volume) -> Change:
    """Compare two phases on one grid: a few slices, and all if these do not show plainly that contrast has arrived."""
    change = sampled_change(before, after)
    if change.begun and change.share >= SAMPLED_SHARE:
        return change
    return _change(whole_cells(before), whole_cells(after), before, axes=(0, 1, 2))


def sampled_change(before: Volume, after: Volume) -> Change:
    """Compare a few slices of two phases on one grid."""
    first, second = sampled_cells(before, SAMPLED_SLICES), sampled_cells(after, SAMPLED_SLICES)
    return _change(first, second, before, axes=(1, 2))


def _changes(runs: Sequence[Run], before: int, after: int) -> tuple[Change, ...]:
    return tuple(change_between(run.volume(before), run.volume(after)) for run in runs)


def _looks_like_the_first(runs: Sequence[Run], index: int) -> bool:
    return index == 0 or not any(differs_in_places(run.volume(0), run.volume(index)) for run in runs)


def _doubt(pre: str, post: str, changes: Sequence[Change], fallen: Sequence[tuple[str, str]]) -> str:
    if fallen:
        before, after = fallen[0]
        return (
            f"It is unclear when contrast arrived: {after} is far darker than {before} in places, as if the order of "
            "the phases were wrong."
        )
    if any(change.arrived for change in changes):
        return ""
    share = max(change.share for change in changes)
    return (
        f"It is unclear whether contrast arrived between {pre} and {post}: {share:.1%} of the body become far brighter "
        f"than the rest, where contrast makes {PLAIN_SHARE:.0%} so at least."
    )


def _change(first: FloatArray, second: FloatArray, volume: Volume, axes: Sequence[int]) -> Change:
    """Count the cells that exceed all cells beside them, along some axes, in the other phase.

    Parameters
    ----------
    volume : that the cells were averaged from, for their size
    """
    body = _inside(body_mask((first + second) / 2), volume, axes)
    level = float(np.median((first[body] + second[body]) / 2)) if body.any() else 0.0
    if level <= 0:
        return Change(0.0, 0, 0, 0, fell=False)
    rise = float(second[body].mean(dtype=np.float64) / max(first[body].mean(dtype=np.float64), level / 100)) - 1
    change = Change(rise, *_count(first, second, body, level, axes), cells=int(body.sum()), fell=False)
    backwards = Change(-rise, *_count(second, first, body, level, axes), cells=change.cells, fell=False)
    return replace(change, fell=backwards.arrived)


def _inside(body: Mask, volume: Volume, axes: Sequence[int]) -> Mask:
    for axis in (1, 2):
        body = without_margin(body, axis, round(SKIN_MM / cell_mm(volume, axis)))
    for axis in axes:
        body = without_edge(body, axis, min(round(EDGE_MM / cell_mm(volume, axis)), body.shape[axis] // 8))
    return body


def _count(first: FloatArray, second: FloatArray, body: Mask, level: float, axes: Sequence[int]) -> tuple[int, int]:
    """Count the cells that are far brighter in the second phase, and those that are far darker.

    The gain lies between the ratio of what rises least and the median; in there, the value nearest to 1 is likeliest.
    """
    ratio = second[body] / np.maximum(first[body], level / 20)
    unchanged, median = (float(value) for value in np.quantile(ratio, (UNCHANGED_SHARE, 0.5)))
    gain = min(max(1.0, unchanged), median)
    evened = _relative(first, second / np.float32(max(median, 1e-3)), level)
    limit = max(MIN_CHANGE, NOISE_FACTOR * _noise(evened, body))
    scaled, fallen = (second / np.float32(max(value, 1e-3)) for value in (gain, min(gain, 1.0)))
    return (
        _far_above(scaled, highest_beside(first, axes), level, limit, body),
        _far_above(first, highest_beside(fallen, axes), level, limit, body),
    )


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
