"""Two accuracy reports of the same images: paired changes from the scores, and anomalous images no longer flagged.

A bootstrap over few anomalies cannot tell the loss of some from chance: its interval holds 0. Each lost image may be a
cancer, so they are counted, not estimated.
"""

import numpy as np

from fcdd_benchmarks.accuracy.operating_point import between_scores
from fcdd_benchmarks.accuracy.report import AccuracyReport
from fcdd_benchmarks.accuracy.statistics import changes_of
from fcdd_benchmarks.drift.report import FallenImage, LostImages
from fcdd_benchmarks.report.estimate import NamedEstimate
from fcdd_export.gate.roc import bootstrap_picks

EDGE = 0.01
"""Share of its former score by which rounding in another precision may move an image: one that falls below the
threshold by a smaller change lay at the edge, and is listed but not counted as lost."""


def same_images(base: AccuracyReport, new: AccuracyReport) -> bool:
    """Return whether both hold scores of the same images with the same labels."""
    return (base.images.sha256, base.images.labels) == (new.images.sha256, new.images.labels)


def paired_changes(base: AccuracyReport, new: AccuracyReport) -> dict[str, NamedEstimate]:
    """Return the changes of models that both reports have, by the names of their metrics.

    Nothing if the images, their groups or the prevalence differ: then there are no pairs.
    """
    prevalence = base.options.prevalence
    if base.images != new.images or prevalence != new.options.prevalence:
        return {}
    images = base.images
    picks = bootstrap_picks(images.truth(), images.group_numbers(), new.options.resamples)
    former = {model.name: model.answers(images) for model in base.models}
    return {
        f"{model.name}: {change.name}": change
        for model in new.models
        if model.name in former
        for change in changes_of(model.answers(images), former[model.name], prevalence, picks)
    }


def lost_images(base: AccuracyReport, new: AccuracyReport) -> tuple[LostImages, ...]:
    """Count for every model that both reports have; nothing if the images differ."""
    if not same_images(base, new):
        return ()
    labels, found = base.images.truth(), []
    scores_now = {model.name: np.array(model.scores) for model in new.models}
    for model in base.models:
        if model.name not in scores_now:
            continue
        scores = np.array(model.scores)
        threshold = between_scores(scores, labels, base.operating_point.wanted_sensitivity)
        before, now = scores[labels], scores_now[model.name][labels]
        # A score that is no number is not at or above anything, and no small change either: it counts as lost.
        flagged, still = before >= threshold, now >= threshold
        edge = np.abs(now - before) < EDGE * np.abs(before)
        lost, at_the_edge = (
            tuple(
                FallenImage(int(place) + 1, float(before[place]), float(now[place]))
                for place in np.flatnonzero(flagged & ~still & chosen)
            )
            for chosen in (~edge, edge)
        )
        gained = int((still & ~flagged).sum())
        found.append(LostImages(model.name, threshold, int(flagged.sum()), lost, at_the_edge, gained))
    return tuple(found)
