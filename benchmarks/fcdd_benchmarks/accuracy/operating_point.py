"""The operating point that labelled images propose for a wanted sensitivity, and what it does to images held out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.accuracy.statistics import Answers
from fcdd_benchmarks.report.estimate import Estimate, NamedEstimate
from fcdd_export.gate.roc import (
    Groups,
    Labels,
    Picks,
    Scores,
    sensitivity_at,
    specificity_at,
    threshold_for_sensitivity,
)

FOLDS = 5


@dataclass(frozen=True)
class ProposedPoint:
    """A threshold for a wanted sensitivity."""

    wanted_sensitivity: float
    threshold: NamedEstimate
    """Determined on all images, as `between_scores` does."""
    held_out: tuple[float, float] | None
    """Sensitivity and specificity over all images, each judged by a threshold set without its fold; None where a class
    has a single group."""
    folds: int
    """In how many parts the groups, or the images without groups, were divided for that."""


def proposed_point(
    scores: Scores, labels: Labels, groups: Groups | None, sensitivity: float, picks: Sequence[Picks]
) -> ProposedPoint:
    """Propose a threshold, with the interval of a bootstrap over `picks`."""
    drawn = [between_scores(scores[pick], labels[pick], sensitivity) for pick in picks]
    threshold = Estimate.of_draws(between_scores(scores, labels, sensitivity), drawn).named("threshold")
    folds = _folds(labels, np.arange(labels.size) if groups is None else groups)
    if folds is None:
        return ProposedPoint(sensitivity, threshold, None, 0)
    flagged, count = np.zeros(labels.size, np.bool_), int(folds.max()) + 1
    for fold in range(count):
        others = folds != fold
        flagged[~others] = scores[~others] >= between_scores(scores[others], labels[others], sensitivity)
    held_out = float(flagged[labels].mean()), float((~flagged[~labels]).mean())
    return ProposedPoint(sensitivity, threshold, held_out, count)


def between_scores(scores: Scores, labels: Labels, sensitivity: float) -> float:
    """Return a threshold that no image's score lies on.

    It flags the same images as `threshold_for_sensitivity`, whose value is a score, and lies halfway from there to the
    next lower score: the same network in another precision then flags the same images if rounding is all that differs.
    """
    highest = threshold_for_sensitivity(scores, labels, sensitivity)
    lower = scores[scores < highest]
    return (highest + float(lower.max())) / 2 if lower.size else highest


def rates_at(answers: Answers, threshold: float, picks: Sequence[Picks]) -> tuple[Estimate, Estimate]:
    """Return sensitivity and specificity at a threshold that is held fixed, with their intervals."""
    scores, labels = answers.scores, answers.labels
    found = []
    for rate in (sensitivity_at, specificity_at):
        drawn = [rate(scores[pick], labels[pick], threshold) for pick in picks]
        found.append(Estimate.of_draws(rate(scores, labels, threshold), drawn))
    return found[0], found[1]


def _folds(labels: Labels, groups: Groups) -> npt.NDArray[np.int64] | None:
    """Deal whole groups into folds, those with an anomaly apart from those without; None if a fold would be all."""
    diseased = np.unique(groups[labels])
    count = min(FOLDS, diseased.size)
    rng = np.random.default_rng(0)
    folds = np.zeros(labels.size, np.int64)
    for kind in (diseased, np.setdiff1d(groups, diseased)):
        for place, group in enumerate(rng.permutation(kind)):
            folds[groups == group] = place % count
    enough = all(set(labels[folds != fold]) == {True, False} for fold in range(count))
    return folds if enough else None
