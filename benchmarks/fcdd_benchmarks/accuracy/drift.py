"""Paired changes between two accuracy reports of the same images, from the scores that they hold."""

from typing import Any

import numpy as np

from fcdd_benchmarks.accuracy.statistics import Answers, Estimate, changes_of
from fcdd_export.gate.roc import bootstrap_picks


def paired_changes(base: dict[str, Any], new: dict[str, Any]) -> dict[str, Estimate]:
    """Return the changes of models that both documents have, by the names of their metrics.

    Nothing if the images, their groups or the prevalence differ: then there are no pairs.
    """
    groups, prevalence = base["images"]["groups"], base["options"]["prevalence"]
    same_units = groups == new["images"]["groups"] and prevalence == new["options"]["prevalence"]
    if not same_images(base, new) or not same_units:
        return {}
    labels = np.array(base["images"]["labels"], np.bool_)
    picks = bootstrap_picks(labels, None if groups is None else np.array(groups), new["options"]["resamples"])
    before, after = _answers(base), _answers(new)
    return {
        f"{name}: {change.name}": change
        for name in before.keys() & after.keys()
        for change in changes_of(after[name], before[name], prevalence, picks)
    }


def same_images(base: dict[str, Any], new: dict[str, Any]) -> bool:
    """Return whether two accuracy documents hold scores of the same images with the same labels."""
    return all(base["images"][key] == new["images"][key] for key in ("sha256", "labels"))


def _answers(document: dict[str, Any]) -> dict[str, Answers]:
    labels = np.array(document["images"]["labels"], np.bool_)
    return {
        model["name"]: Answers(np.array(model["scores"]), labels, np.array(model["pixel_aucs"], np.float64))
        for model in document["models"]
    }
