"""What the accuracy benchmark found, as a report: tables, metrics for drift, and the scores themselves."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from fcdd_benchmarks.accuracy.findings import AccuracyFindings, ModelAccuracy
from fcdd_benchmarks.accuracy.labelled_images import LabelledImages
from fcdd_benchmarks.accuracy.operating_point import ProposedPoint, rates_at
from fcdd_benchmarks.accuracy.statistics import Estimate
from fcdd_benchmarks.report.write import Metric, Plot, Report, Section
from fcdd_benchmarks.timing.machine import machine_facts

PACKAGES = ("fcdd-edge", "numpy", "pillow", "onnxruntime")


def accuracy_report(findings: AccuracyFindings, command: str, plots: tuple[Plot, ...]) -> Report:
    """Put everything into a report."""
    models = findings.models
    return Report(
        benchmark="accuracy",
        title=f"Accuracy of {', '.join(model.name for model in models)}",
        lead=_lead(findings.images, findings.options.resamples),
        command=command,
        machine=machine_facts(PACKAGES),
        sections=(*_refused(models), _accuracy_table(models), *_change_table(models), _point_table(findings)),
        plots=plots,
        metrics=tuple(_metric(model.name, estimate) for model in models for estimate in model.estimates),
        document=_document(findings),
    )


def point_source(images: LabelledImages, first: ModelAccuracy, point: ProposedPoint) -> str:
    """Say in words what a proposed operating point was determined on."""
    return (
        f"{_counts(images)}, {first.name} ({first.contract.precision}); 95 % interval of the threshold "
        f"{point.threshold.low:.6g} to {point.threshold.high:.6g}; images {images.sha256[:12]}"
    )


def _counts(images: LabelledImages) -> str:
    anomalous = int(images.labels.sum())
    counts = f"{images.labels.size - anomalous} normal and {anomalous} anomalous images"
    return counts if images.groups is None else f"{counts} of {len(set(images.groups.tolist()))} groups"


def _lead(images: LabelledImages, resamples: int) -> str:
    masks = sum(mask is not None for mask in images.masks)
    unit = (
        "images, normals and anomalies apart, as if no two were of one patient"
        if images.groups is None
        else "whole groups, those with an anomaly apart from those without"
    )
    return (
        f"{_counts(images)}, {masks} with a mask. In brackets: 95 % percentile interval of a bootstrap with "
        f"{resamples} resamples of {unit}; it says what other images of the same kind could have given, and nothing of "
        "images of another kind."
    )


def _refused(models: Sequence[ModelAccuracy]) -> tuple[Section, ...]:
    """Say which models exist only because somebody accepted their drift."""
    refused = [f"{model.name}: {'; '.join(model.contract.notes)}." for model in models if model.contract.notes]
    text = (
        "The export's gate refuses these models. They were exported against its advice, and their figures are shown "
        "for information: an AUC that holds does not make thresholds and maps right."
    )
    return (Section("Refused by the gate", " ".join([text, *refused])),) if refused else ()


def _accuracy_table(models: Sequence[ModelAccuracy]) -> Section:
    text = (
        "ROC AUC and specificity are the same at every prevalence; precision is not, so it is given as the images are "
        "and weighted to the prevalence named. Pixelwise AUC is the mean over the images with a mask."
    )
    return Section("Accuracy", text, ("", *(model.name for model in models)), _rows([m.estimates for m in models]))


def _change_table(models: Sequence[ModelAccuracy]) -> tuple[Section, ...]:
    first, *others = models
    if not others:
        return ()
    text = (
        "Paired: both models are resampled by the same images. An interval without 0 is a change that is more than "
        "chance among these images."
    )
    rows = _rows([model.changes for model in others], "+.4f")
    return (Section(f"Change against {first.name}", text, ("", *(model.name for model in others)), rows),)


def _rows(columns: Sequence[Sequence[Estimate]], form: str = ".4f") -> tuple[tuple[str, ...], ...]:
    return tuple((row[0].name, *(_cell(estimate, form) for estimate in row)) for row in zip(*columns, strict=True))


def _cell(estimate: Estimate, form: str = ".4f") -> str:
    return f"{estimate.value:{form}} ({estimate.low:{form}} to {estimate.high:{form}})"


def _point_table(findings: AccuracyFindings) -> Section:
    models, point, picks = findings.models, findings.point, findings.picks
    rates = [rates_at(model.answers.scores, model.answers.labels, point.threshold.value, picks) for model in models]
    rows = tuple((model.name, *(_cell(rate) for rate in found)) for model, found in zip(models, rates, strict=True))
    text = (
        f"Threshold {point.threshold.value:.6g} (95 % interval {point.threshold.low:.6g} to "
        f"{point.threshold.high:.6g}): halfway between the score of {models[0].name} that reaches a sensitivity of "
        f"{point.wanted_sensitivity * 100:g} % on these images and the next lower one, so that rounding moves no image "
        "across it. The table judges it on the very images that it was "
        f"chosen on, which flatters it. {_held_out_words(point)}"
    )
    return Section("Proposed operating point", text, ("", "sensitivity", "specificity"), rows)


def _held_out_words(point: ProposedPoint) -> str:
    if point.held_out is None:
        return "There are too few groups with an anomaly to choose it on some and judge it on others."
    sensitivity, specificity = point.held_out
    return (
        f"Chosen on {point.folds - 1} of {point.folds} folds and judged on the one left out, in turn, with no group in "
        f"two folds: sensitivity {sensitivity:.4f}, specificity {specificity:.4f}."
    )


def _metric(model: str, estimate: Estimate) -> Metric:
    return Metric(f"{model}: {estimate.name}", estimate.value, estimate.low, estimate.high, "higher", "")


def _document(findings: AccuracyFindings) -> dict[str, Any]:
    """Names of images can be a patient's, so scores stand in the order of the sorted names, without them."""
    options, images = findings.options, findings.images
    return {
        "options": {
            "prevalence": options.prevalence,
            "sensitivity": options.sensitivity,
            "resamples": options.resamples,
            "round_fp16": options.round_fp16,
        },
        "images": {
            "sha256": images.sha256,
            "labels": [int(label) for label in images.labels],
            "groups": None if images.groups is None else images.groups.tolist(),
        },
        "models": [_model_document(model) for model in findings.models],
        "operating_point": dataclasses.asdict(findings.point),
    }


def _model_document(model: ModelAccuracy) -> dict[str, Any]:
    contract = model.contract
    return {
        "name": model.name,
        "network": contract.network,
        "precision": contract.precision,
        "snapshot_sha256": contract.snapshot_sha256,
        "artefact_sha256": contract.artefact_sha256,
        "notes": list(contract.notes),
        "estimates": [dataclasses.asdict(estimate) for estimate in model.estimates],
        "changes": [dataclasses.asdict(estimate) for estimate in model.changes],
        "scores": [float(score) for score in model.answers.scores],
        "pixel_aucs": [None if math.isnan(value) else value for value in model.answers.pixel_aucs.tolist()],
    }
