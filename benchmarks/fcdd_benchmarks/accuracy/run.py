"""Accuracy on labelled images: every model given on the same images, with intervals and paired changes."""

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.accuracy.findings import AccuracyFindings, AccuracyOptions, ModelAccuracy
from fcdd_benchmarks.accuracy.labelled_images import LabelledImages, Mask, read_labelled_images
from fcdd_benchmarks.accuracy.operating_point import ProposedPoint, proposed_point
from fcdd_benchmarks.accuracy.plots import accuracy_plots
from fcdd_benchmarks.accuracy.report import accuracy_report, point_source
from fcdd_benchmarks.accuracy.rounded_half import open_rounded
from fcdd_benchmarks.accuracy.statistics import Answers, changes_of, estimates_of
from fcdd_benchmarks.report.write import write_report
from fcdd_export.gate.roc import Picks, bootstrap_picks, roc_auc
from fcdd_runtime.backends import open_folder, open_url
from fcdd_runtime.backends.base import Backend
from fcdd_runtime.contract import ModelContract
from fcdd_runtime.errors import ContractError
from fcdd_runtime.files import replaced_file
from fcdd_runtime.images.heatmap import upsample
from fcdd_runtime.images.network_input import GreyImage, infer_images, resize_image
from fcdd_runtime.images.references import folder_references

OPERATING_POINT_FILE = "operating_point.json"


def run_accuracy_benchmark(options: AccuracyOptions, command: str, out: Path) -> str:
    """Run all models on the images, write report.* and operating_point.json, and return the report as Markdown.

    Raises
    ------
    ImageError
        If the images, masks, groups or references cannot be used.
    ContractError, BackendError, MissingExtraError
        If a model cannot be run, or no plot drawn.
    """
    images = read_labelled_images(options.images, options.masks, options.groups)
    answered = _all_answers(images, options)
    picks = bootstrap_picks(images.labels, images.groups, options.resamples)
    models = _models(answered, options.prevalence, picks)
    first = models[0]
    point = proposed_point(first.answers.scores, images.labels, images.groups, options.sensitivity, picks)
    findings = AccuracyFindings(options, images, models, point, picks)
    plots = accuracy_plots({model.name: model.answers for model in models})
    markdown = write_report(accuracy_report(findings, command, plots), out)
    _write_point(point, point_source(images, first, point), out / OPERATING_POINT_FILE)
    return markdown


def _all_answers(images: LabelledImages, options: AccuracyOptions) -> list[tuple[ModelContract, Answers]]:
    opened = open_rounded if options.round_fp16 else open_folder
    openers: list[Callable[[], Backend]] = [functools.partial(opened, folder) for folder in options.models]
    openers += [functools.partial(open_url, url) for url in options.urls]
    answered = []
    for opener in openers:
        with opener() as backend:
            answered.append((backend.contract, answers_of(images, backend, options)))
    return answered


def answers_of(images: LabelledImages, backend: Backend, options: AccuracyOptions) -> Answers:
    """Score all images with one model, and judge its heatmaps where there are masks."""
    contract = backend.contract
    references = _references(images.names, contract, options)
    scores, maps = infer_images(images.images, backend, references)
    pixel_aucs = np.full(len(images.names), np.nan)
    for index, mask in enumerate(images.masks):
        if mask is not None:
            heatmap = upsample(maps[index], contract.upsampling, contract.resize.size)
            pixel_aucs[index] = pixel_auc(heatmap, mask, contract)
    return Answers(scores, images.labels, pixel_aucs)


def pixel_auc(heatmap: npt.NDArray[np.float32], mask: Mask, contract: ModelContract) -> float:
    """Return the ROC AUC of a heatmap's pixels, (size, size), against a mask at the size of the image.

    The mask is resized as the image is; a pixel of which at least half is lesion counts as lesion. NaN if the crop or
    the resizing leaves no lesion, or nothing else.
    """
    lesion = resize_image(np.where(mask, np.uint8(255), np.uint8(0)), contract.resize) >= 128
    return float("nan") if lesion.all() or not lesion.any() else roc_auc(heatmap.ravel(), lesion.ravel())


def _references(names: Iterable[str], contract: ModelContract, options: AccuracyOptions) -> list[GreyImage] | None:
    if "reference" not in contract.inputs:
        return None
    if options.reference is None:
        raise ContractError(f"{contract.network} compares every image with a reference; give --reference")
    reference_of = folder_references(options.reference, options.images)
    return [reference_of(name).pixels for name in names]


def _models(
    answered: Sequence[tuple[ModelContract, Answers]], prevalence: float, picks: Sequence[Picks]
) -> list[ModelAccuracy]:
    names: list[str] = []
    models: list[ModelAccuracy] = []
    for contract, answers in answered:
        same = sum(other.split(" (")[0] == contract.name for other in names)
        names.append(f"{contract.name} ({same + 1})" if same else contract.name)
        estimates = estimates_of(answers, prevalence, picks)
        changes = changes_of(answers, answered[0][1], prevalence, picks) if models else ()
        models.append(ModelAccuracy(names[-1], contract, answers, estimates, changes))
    return models


def _write_point(point: ProposedPoint, source: str, path: Path) -> None:
    document = {"threshold": point.threshold.value, "sensitivity": point.wanted_sensitivity, "source": source}
    with replaced_file(path) as fresh:
        fresh.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
