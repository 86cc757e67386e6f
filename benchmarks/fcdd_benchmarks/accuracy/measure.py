"""Accuracy on labelled images: every model given on the same images, with intervals and paired changes."""

import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.accuracy.labelled_images import LabelledImages, Mask, read_labelled_images
from fcdd_benchmarks.accuracy.operating_point import proposed_point
from fcdd_benchmarks.accuracy.report import AccuracyOptions, AccuracyReport, ImageSet, ModelAccuracy
from fcdd_benchmarks.accuracy.rounded_half import open_rounded
from fcdd_benchmarks.accuracy.statistics import Answers, changes_of, estimates_of
from fcdd_benchmarks.report.machine import this_machine
from fcdd_export.gate.roc import bootstrap_picks, roc_auc
from fcdd_runtime.backends import open_folder, open_url
from fcdd_runtime.backends.base import Backend
from fcdd_runtime.contract import ModelContract
from fcdd_runtime.errors import ContractError
from fcdd_runtime.files import replaced_file
from fcdd_runtime.images.heatmap import upsample
from fcdd_runtime.images.network_input import infer_images, resize_image
from fcdd_runtime.images.references import folder_references

PACKAGES = ("fcdd-edge", "numpy", "pillow", "onnxruntime")


@dataclass(frozen=True)
class AccuracyInputs:
    """What is measured on what."""

    images: Path
    """Folder with `normal` and `anomalous`."""
    models: tuple[Path, ...]
    """Exported model folders. The first of all models is the one that the others are compared with."""
    urls: tuple[str, ...]
    """Models on servers, after the folders."""
    masks: Path | None
    """As in `read_labelled_images`."""
    groups: Path | None
    """As in `read_labelled_images`."""
    reference: Path | None
    """What two-input networks compare the images with, as in `fcdd-score --reference`."""


def measure_accuracy(inputs: AccuracyInputs, options: AccuracyOptions, command: str) -> AccuracyReport:
    """Run all models on the images and propose an operating point.

    Raises
    ------
    ImageError
        If the images, masks, groups or references cannot be used.
    ContractError, BackendError, MissingExtraError
        If a model cannot be run.
    """
    images = read_labelled_images(inputs.images, inputs.masks, inputs.groups)
    opened = open_rounded if options.round_fp16 else open_folder
    openers: list[Callable[[], Backend]] = [functools.partial(opened, folder) for folder in inputs.models]
    openers += [functools.partial(open_url, url) for url in inputs.urls]
    answered: list[tuple[ModelContract, Answers]] = []
    for opener in openers:
        with opener() as backend:
            answered.append((backend.contract, answers_of(images, backend, inputs)))
    picks = bootstrap_picks(images.labels, images.groups, options.resamples)
    first = answered[0][1]
    models: list[ModelAccuracy] = []
    for contract, answers in answered:
        same = sum(other.name.split(" (")[0] == contract.name for other in models)
        models.append(
            ModelAccuracy(
                name=f"{contract.name} ({same + 1})" if same else contract.name,
                network=contract.network,
                precision=contract.precision,
                snapshot_sha256=contract.snapshot_sha256,
                artefact_sha256=contract.artefact_sha256,
                notes=contract.notes,
                estimates=estimates_of(answers, options.prevalence, picks),
                changes=changes_of(answers, first, options.prevalence, picks) if models else (),
                scores=tuple(answers.scores.tolist()),
                pixel_aucs=tuple(None if math.isnan(area) else area for area in answers.pixel_aucs.tolist()),
            )
        )
    groups = None if images.groups is None else tuple(images.groups.tolist())
    return AccuracyReport(
        title=f"Accuracy of {', '.join(model.name for model in models)}",
        command=command,
        machine=this_machine(PACKAGES),
        metrics=tuple(
            estimate.metric(f"{model.name}: {estimate.name}", "higher")
            for model in models
            for estimate in model.estimates
        ),
        options=options,
        images=ImageSet(images.sha256, tuple(int(label) for label in images.labels), groups),
        models=tuple(models),
        operating_point=proposed_point(first.scores, images.labels, images.groups, options.sensitivity, picks),
    )


def answers_of(images: LabelledImages, backend: Backend, inputs: AccuracyInputs) -> Answers:
    """Score all images with one model, and judge its heatmaps where there are masks."""
    contract, references = backend.contract, None
    if "reference" in contract.inputs:
        if inputs.reference is None:
            raise ContractError(f"{contract.network} compares every image with a reference; give --reference")
        reference_of = folder_references(inputs.reference, inputs.images)
        references = [reference_of(name).pixels for name in images.names]
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


def write_operating_point(report: AccuracyReport, path: Path) -> None:
    """Write the proposed point as `fcdd-export --operating-point` reads it."""
    point, first = report.operating_point, report.models[0]
    source = (
        f"{report.images.counts()}, {first.name} ({first.precision}); 95 % interval of the threshold "
        f"{point.threshold.low:.6g} to {point.threshold.high:.6g}; images {report.images.sha256[:12]}"
    )
    document = {"threshold": point.threshold.value, "sensitivity": point.wanted_sensitivity, "source": source}
    with replaced_file(path) as fresh:
        fresh.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
