"""Statistics of anomaly scores with their bootstrap intervals, and their paired change from one model to another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.report.estimate import Estimate, NamedEstimate
from fcdd_export.gate.roc import (
    Labels,
    Picks,
    Scores,
    average_precision,
    predictive_value,
    roc_auc,
    sensitivity_at,
    specificity_at,
    threshold_for_sensitivity,
)

SENSITIVITIES = (0.90, 0.95, 0.97)


@dataclass(frozen=True)
class Answers:
    """What one model says of labelled images."""

    scores: Scores
    labels: Labels
    pixel_aucs: npt.NDArray[np.float64]
    """ROC AUC of each image's heatmap against its mask, float64 (N,); NaN where there is no mask."""

    def resampled(self, pick: Picks) -> "Answers":
        """Return the answers of the images of a resample."""
        return Answers(self.scores[pick], self.labels[pick], self.pixel_aucs[pick])


def statistics_of(answers: Answers, prevalence: float) -> dict[str, float]:
    """Return all statistics by name. ROC AUC and specificity are the same at every prevalence."""
    scores, labels = answers.scores, answers.labels
    share = f"{prevalence * 100:g} % prevalence"
    found = {
        "ROC AUC": roc_auc(scores, labels),
        "PR AUC": average_precision(scores, labels),
        f"PR AUC at {share}": average_precision(scores, labels, prevalence),
    }
    for wanted in SENSITIVITIES:
        threshold = threshold_for_sensitivity(scores, labels, wanted)
        sensitivity, specificity = sensitivity_at(scores, labels, threshold), specificity_at(scores, labels, threshold)
        where = f"{wanted * 100:g} % sensitivity"
        found[f"specificity at {where}"] = specificity
        found[f"predictive value at {where}, {share}"] = predictive_value(sensitivity, specificity, prevalence)
    known = answers.pixel_aucs[~np.isnan(answers.pixel_aucs)]
    return found | ({"pixelwise AUC": float(known.mean())} if known.size else {})


def estimates_of(answers: Answers, prevalence: float, picks: Sequence[Picks]) -> tuple[NamedEstimate, ...]:
    """Return all statistics with their intervals."""
    drawn = [statistics_of(answers.resampled(pick), prevalence) for pick in picks]
    return _with_intervals(statistics_of(answers, prevalence), drawn)


def changes_of(
    answers: Answers, reference: Answers, prevalence: float, picks: Sequence[Picks]
) -> tuple[NamedEstimate, ...]:
    """Return by how much all statistics change from `reference` to `answers`, which are of the same images.

    Both are resampled by the same images, so that what they have in common cancels.
    """

    def differences(answers: Answers, reference: Answers) -> dict[str, float]:
        before, now = statistics_of(reference, prevalence), statistics_of(answers, prevalence)
        return {name: value - before[name] for name, value in now.items() if name in before}

    drawn = [differences(answers.resampled(pick), reference.resampled(pick)) for pick in picks]
    return _with_intervals(differences(answers, reference), drawn)


def _with_intervals(values: dict[str, float], drawn: Sequence[dict[str, float]]) -> tuple[NamedEstimate, ...]:
    return tuple(
        Estimate.of_draws(value, [draw[name] for draw in drawn if name in draw]).named(name)
        for name, value in values.items()
    )
