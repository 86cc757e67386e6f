"""When contrast arrived: what part of the body is far brighter, against the rest of it, than in the phase before.

Contrast makes heart, vessels and glands brighter than fat and muscle, whose change is the median's: what all of the
body shares, such as another gain of the scanner, is no contrast and is taken off. Motion makes one side of an edge
brighter and the other darker, which contrast does not. From one phase after contrast to the next, some tissues still
rise a little while blood falls. Hence `Change.uptake`: what rises above the median, less what falls, more than once.

What drawn studies show (30 bodies of examples/phantom, of both breasts with and without the chest, and of one breast
cut at the midline), uptake in percent:

=================================================  =============  =============
change                                             both breasts   one breast
=================================================  =============  =============
before to after contrast                            1.85 .. 4.23   0.48 .. 6.33
the same, gain drifting by 5 % across the field     1.73 .. 4.48   0.37 .. 6.53
the same, half the enhancement                      0.35 .. 2.21   0.05 .. 3.41
the same, fat twice as bright                       0.48 .. 2.77   0.11 .. 4.13
before to before, or after to later after          -0.07 .. 0.02  -0.19 .. 0.03
the same with 6 % more gain, 5 % offset or drift   -0.15 .. 0.07  -0.19 .. 0.08
the same, moved by a voxel or two (2 to 4 mm)      -2.65 .. 0.13  -2.48 .. 0.13
after to before contrast, in the wrong order            <= -3.71       <= -1.01
=================================================  =============  =============

A crop of one breast's side, without chest and most vessels, may change as little as before contrast: it is refused.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcdd_runtime.body import body_mask
from fcdd_runtime.errors import StudyError
from fcdd_runtime.volume import FloatArray, Volume, reading_threads

ARRIVED = 0.002
"""From this uptake on, contrast has arrived: more than anything else makes, half of what it makes at least."""
NO_CONTRAST = 0.0005
"""Up to this difference between what rises and what falls, nothing has enhanced."""
DARKER_WEIGHT = 2
"""How often what falls is taken off what rises: motion of one edge does not make twice as much brighter as darker."""
MIN_CHANGE, MAX_CHANGE = 0.15, 0.45
"""Relative changes against the body's median that count: smaller are noise and drift, larger count as the largest, so
that a few voxels that move across an edge weigh little."""
SAMPLED_SLICES = 8
SEARCHED_SLICES = 32
"""Slices that contrast is looked for in, and those that a lesion is looked for in that enhances before all else."""
CELLS = 96
"""A slice is averaged to about so many rows and columns, 3 to 4 mm wide, so that noise and fine motion cancel."""
STEEP = 0.4
"""A cell that changes by more than this relative to the median may lie in a lesion."""

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Arrival:
    """Where in a run of phases contrast arrived."""

    last_before: int
    """Index of the last phase before contrast."""
    change: "Change"
    """What changed from that phase to the next."""


@dataclass(frozen=True)
class Change:
    """How the body differs between two phases. The shares are means over it, of relative changes."""

    rise: float
    """Rise of the mean signal, as a share of it; a gain of the scanner counts."""
    brighter: float
    """Of what became brighter than its median: the part of the change that counts, 0..0.3."""
    darker: float
    """The same of what became darker."""
    steep: int
    """How many more cells became far brighter than far darker, beyond chance."""

    @property
    def uptake(self) -> float:
        """What became brighter beyond what motion explains."""
        return self.brighter - DARKER_WEIGHT * self.darker

    @property
    def is_none(self) -> bool:
        """Whether nothing has enhanced."""
        return abs(self.brighter - self.darker) <= NO_CONTRAST


def find_arrival(phase: Callable[[int], Volume], names: Sequence[str]) -> Arrival:
    """Look for the first phase with contrast, opening no phase after it.

    Parameters
    ----------
    phase : index -> volume, all on the grid of phase 0
    names : of all phases in temporal order, for messages

    Raises
    ------
    StudyError
        If no phase enhances, or it is unclear whether one does.
    """
    before = phase(0)
    for index in range(1, len(names)):
        after = phase(index)
        change = change_between(before, after)
        if change.uptake >= ARRIVED:
            _check_no_early_lesion(phase, names, index - 1)
            return Arrival(index - 1, change)
        if not change.is_none:
            raise StudyError(
                f"it is unclear whether contrast has arrived in {names[index]}: against {names[index - 1]}, "
                f"the body's signal rises by {change.brighter:.2%} in some places and falls by {change.darker:.2%} in "
                "others; choose the phases with --pre and --post if they are right"
            )
        before = after
    raise StudyError(
        f"nothing enhances: in no phase after {names[0]} does some of the body become brighter than the rest, so that "
        "the phases before or after contrast are missing, or enhance too little to be told apart; give the whole "
        "study, or choose the phases with --pre and --post"
    )


def change_between(before: Volume, after: Volume, slices: int = SAMPLED_SLICES) -> Change:
    """Compare a few slices of two phases on one grid; no change where there is no body."""
    first, second = _sample(before, slices), _sample(after, slices)
    both = (first + second) / 2
    body = _inside(body_mask(both))
    level = float(np.median(both[body])) if body.any() else 0.0
    if level <= 0:
        return Change(0.0, 0.0, 0.0, 0)
    relative = (second[body] - first[body]) / np.maximum(both[body], level / 2)
    relative -= np.median(relative)
    brighter, darker = int((relative > STEEP).sum()), int((relative < -STEEP).sum())
    return Change(
        rise=float(second[body].mean(dtype=np.float64) / max(first[body].mean(dtype=np.float64), level / 100)) - 1,
        brighter=_excess(relative),
        darker=_excess(-relative),
        steep=brighter - darker - round(3 * (brighter + darker) ** 0.5),
    )


def _check_no_early_lesion(phase: Callable[[int], Volume], names: Sequence[str], last_before: int) -> None:
    """Refuse a second phase before contrast in which some place is brighter: a lesion would be taken from itself."""
    if last_before == 0:
        return
    change = change_between(phase(0), phase(last_before), SEARCHED_SLICES)
    if change.steep > 0 or not change.is_none:
        raise StudyError(
            f"it is unclear whether {names[last_before]} lies before contrast: most of the body does not enhance, but "
            f"some places are brighter than in {names[0]}; choose the phases with --pre and --post"
        )


def _sample(volume: Volume, slices: int) -> FloatArray:
    """Read some slices, evenly spread, and average each to cells: float32 (slices, rows, columns)."""
    count = volume.grid.shape[0]
    places = np.linspace(0, count - 1, min(count, slices + 2))[1:-1]
    with ThreadPoolExecutor(reading_threads()) as pool:
        return np.stack(list(pool.map(lambda place: _cells(volume.read_slice(round(place))), places)))


def _cells(plane: FloatArray) -> FloatArray:
    """Average two by two pixels of every cell; all of them would cost more time than reading the slice."""
    row_step, column_step = (max(1, size // CELLS) for size in plane.shape)
    rows, columns = (size // step for size, step in zip(plane.shape, (row_step, column_step), strict=True))
    corners = [
        plane[top::row_step, left::column_step][:rows, :columns]
        for top in {0, row_step // 2}
        for left in {0, column_step // 2}
    ]
    total = np.zeros((rows, columns), dtype=np.float32)
    for corner in corners:
        total += corner
    total /= len(corners)
    return total


def _inside(body: _Mask) -> _Mask:
    """Leave out two cells that have air beside them in their slice: the skin, where motion changes most."""
    for _ in range(2):
        inside = body.copy()
        inside[:, 1:] &= body[:, :-1]
        inside[:, :-1] &= body[:, 1:]
        inside[:, :, 1:] &= body[:, :, :-1]
        inside[:, :, :-1] &= body[:, :, 1:]
        body = inside
    return body


def _excess(relative: FloatArray) -> float:
    return float((np.clip(relative, MIN_CHANGE, MAX_CHANGE) - MIN_CHANGE).mean(dtype=np.float64))
