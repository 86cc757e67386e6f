"""When contrast arrived: how much brighter the body is in a later phase than in the first.

Blood, muscle, skin and glands all take up contrast within a minute or two, so that the mean signal of the body rises by
far more than noise, motion or the scanner's drift change it, whether or not there is a lesion. Later, from one phase
after contrast to the next, it hardly changes any more. Hence a rise between the two thresholds is no clear answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fcdd_runtime.body import body_mask
from fcdd_runtime.errors import StudyError
from fcdd_runtime.volume import FloatArray, Volume

NO_CONTRAST = 0.02
"""Up to this rise of the body's mean signal, as a share of it, a phase lies before contrast (drift of the scanner)."""
ARRIVED = 0.05
"""From this rise on, contrast has arrived."""
SAMPLED_SLICES = 8
SAMPLED_LINES = 128
"""Slices, and rows and columns of each, that a rise is measured in; the mean over their body hardly varies."""


@dataclass(frozen=True)
class Arrival:
    """Where in a run of phases contrast arrived."""

    last_before: int
    """Index of the last phase before contrast."""
    rise: float
    """Mean signal of the body in the next phase against the first phase: its rise, as a share."""


def find_arrival(phase: Callable[[int], Volume], names: Sequence[str]) -> Arrival:
    """Look for the first phase with contrast, opening no phase after it.

    Parameters
    ----------
    phase : index -> volume, all on the grid of phase 0
    names : of all phases in temporal order, for messages

    Raises
    ------
    StudyError
        If the signal rises in no phase, falls, or rises so little that it is unclear whether contrast has arrived.
    """
    first = sample(phase(0))
    for index in range(1, len(names)):
        rise = mean_rise(first, sample(phase(index)))
        if rise >= ARRIVED:
            return Arrival(index - 1, rise)
        if abs(rise) > NO_CONTRAST:
            raise StudyError(
                f"it is unclear whether contrast has arrived in {names[index]}: the body's mean signal changes by "
                f"{rise:+.1%} from {names[0]}, where at least {ARRIVED:+.0%} is expected; choose the phases with --pre "
                "and --post if they are right"
            )
    raise StudyError(
        f"nothing enhances: in no phase after {names[0]} does the body's mean signal rise, so that the phases before "
        "or after contrast are missing; give the whole study, or choose the phases with --pre and --post"
    )


def sample(volume: Volume) -> FloatArray:
    """Read a few slices, and of each some rows and columns, evenly spread: float32 (slices, rows, columns)."""
    count, *plane = volume.grid.shape
    places = np.linspace(0, count - 1, min(count, SAMPLED_SLICES + 2))[1:-1]
    every_row, every_column = (max(1, size // SAMPLED_LINES) for size in plane)
    return np.stack([volume.read_slice(round(place))[::every_row, ::every_column] for place in places])


def mean_rise(before: FloatArray, after: FloatArray) -> float:
    """Return by what share the body's mean signal rises; 0 where there is no body.

    Parameters
    ----------
    before, after : the same voxels in two phases
    """
    body = body_mask(before)
    level = float(before[body].mean(dtype=np.float64)) if body.any() else 0.0
    if level <= 0:
        return 0.0
    return (float(after[body].mean(dtype=np.float64)) - level) / level
