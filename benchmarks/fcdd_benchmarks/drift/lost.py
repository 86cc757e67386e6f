"""Anomalous images that a model flagged in one accuracy report and no longer flags in another of the same images.

A bootstrap over few anomalies cannot tell the loss of some from chance: its interval holds 0. Each lost image may be a
cancer, so they are counted, not estimated.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.accuracy.drift import same_images
from fcdd_benchmarks.accuracy.operating_point import between_scores

EDGE = 0.01
"""Share of its former score by which rounding in another precision may move an image: one that falls below the
threshold by a smaller change lay at the edge, and is listed but not counted as lost."""


@dataclass(frozen=True)
class ImageScores:
    """One anomalous image that fell below the threshold."""

    place: int
    """Among the anomalous images in the order of their sorted names, from 1. Reports hold no names."""
    before: float
    now: float


@dataclass(frozen=True)
class LostImages:
    """What became of the anomalous images that the base report's model flagged."""

    model: str
    threshold: float
    """Proposed by the base report's scores of this model, for the sensitivity that the report names."""
    flagged: int
    """Anomalous images at or above the threshold in the base report."""
    lost: tuple[ImageScores, ...]
    """Below it in the new report."""
    at_the_edge: tuple[ImageScores, ...]
    """Below it too, by a change of less than `EDGE`; not in `lost`."""
    gained: int
    """Anomalous images that only the new report's model flags; they make up for no lost one."""

    @property
    def words(self) -> str:
        """Say how many were lost."""
        verb = "is" if len(self.lost) == 1 else "are"
        return f"{self.model}: {len(self.lost)} of {self.flagged} flagged anomalous images {verb} no longer flagged"


def lost_images(base: dict[str, Any], new: dict[str, Any]) -> tuple[LostImages, ...]:
    """Count for every model that both accuracy documents have; nothing if the images differ."""
    if not same_images(base, new):
        return ()
    labels = np.array(base["images"]["labels"], np.bool_)
    wanted = base["operating_point"]["wanted_sensitivity"]
    before, now = _scores(base), _scores(new)
    return tuple(_lost(name, before[name], now[name], labels, wanted) for name in before if name in now)


def _scores(document: dict[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
    return {model["name"]: np.array(model["scores"], np.float64) for model in document["models"]}


def _lost(
    name: str,
    before: npt.NDArray[np.float64],
    now: npt.NDArray[np.float64],
    labels: npt.NDArray[np.bool_],
    wanted: float,
) -> LostImages:
    threshold = between_scores(before, labels, wanted)
    old, new = before[labels], now[labels]
    flagged = old >= threshold
    # A score that is no number is not at or above anything, and no small change either: it counts as lost.
    still = new >= threshold
    edge = np.abs(new - old) < EDGE * np.abs(old)
    return LostImages(
        name,
        threshold,
        int(flagged.sum()),
        _named(flagged & ~still & ~edge, old, new),
        _named(flagged & ~still & edge, old, new),
        int((still & ~flagged).sum()),
    )


def _named(
    which: npt.NDArray[np.bool_], old: npt.NDArray[np.float64], new: npt.NDArray[np.float64]
) -> tuple[ImageScores, ...]:
    return tuple(ImageScores(int(index) + 1, float(old[index]), float(new[index])) for index in np.flatnonzero(which))
