"""How good an exported model is on drawn breasts that it has never seen, measured through the runtime itself."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from fcdd_export.gate.roc import (
    auc_with_interval,
    sensitivity_at,
    specificity_at,
    threshold_for_sensitivity,
)
from fcdd_runtime.backends.base import Backend
from fcdd_runtime.contract import ModelContract
from fcdd_runtime.images.network_input import infer_images
from fcdd_runtime.images.regions import find_regions
from fcdd_runtime.result import BreastResult
from fcdd_runtime.score_study import breast_results
from phantom.dataset import SPLITS, Example, Split, labels_of

WANTED_SENSITIVITY = 0.9
TOLERANCE_MM = 5.0
SMALL_MM = 5.0


@dataclass(frozen=True)
class Finding:
    """What the model says of one breast, against the truth."""

    example: Example
    score: float
    peak_mm: tuple[float, float, float]
    """Position of the heatmap's peak, LPS, mm."""
    region_mm: tuple[float, float, float] | None
    """Centre of the region with the highest response, LPS, mm; None if there is no region."""

    @property
    def small(self) -> bool:
        """Whether its lesions are small."""
        return bool(self.example.lesions) and self.example.lesions[0].radius_mm < SMALL_MM

    @property
    def localised(self) -> bool:
        """Whether the peak lies within the radius plus 5 mm of a lesion's centre."""
        return self._in_lesion(self.peak_mm)

    @property
    def region_localised(self) -> bool:
        """Whether the region's centre does."""
        return self.region_mm is not None and self._in_lesion(self.region_mm)

    def _in_lesion(self, place_mm: tuple[float, float, float]) -> bool:
        return any(
            np.linalg.norm(np.subtract(place_mm, lesion.centre_mm)) <= lesion.radius_mm + TOLERANCE_MM
            for lesion in self.example.lesions
        )


def findings_of(examples: Iterable[Example], backend: Backend) -> list[Finding]:
    """Score breasts and trace each heatmap's peak, by the same steps as `fcdd_runtime.score_study`."""
    contract, examples = backend.contract, list(examples)
    scores, maps = infer_images([example.image.pixels for example in examples], backend)
    results = breast_results([example.image for example in examples], scores, maps, contract)
    return [
        Finding(example, result.score, result.peak.patient_mm, _region_mm(example, result, contract))
        for example, result in zip(examples, results, strict=True)
    ]


def _region_mm(example: Example, result: BreastResult, contract: ModelContract) -> tuple[float, float, float] | None:
    regions = find_regions(result, contract)
    if not regions:
        return None
    slices, rows, columns = (float(place) for place in regions[0].voxels.mean(axis=0))
    return example.image.projection.grid.patient_mm((slices, rows, columns))


def operating_point(scores: npt.NDArray[np.float32], labels: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return the contents of operating_point.json, from the scores of the validation split."""
    split = SPLITS["validation"]
    source = (
        f"{labels.size} drawn phantom breasts, {int(labels.sum())} with a lesion "
        f"(validation seeds {split.first_seed} to {split.first_seed + split.studies - 1})"
    )
    threshold = threshold_for_sensitivity(scores, labels, WANTED_SENSITIVITY)
    return {"threshold": threshold, "sensitivity": WANTED_SENSITIVITY, "source": source}


def evaluation(findings: Sequence[Finding], contract: ModelContract) -> dict[str, Any]:
    """Return the contents of evaluation.json: detection, localisation, and what they were measured with."""
    scores, labels = np.array([finding.score for finding in findings]), labels_of([f.example for f in findings])
    report: dict[str, Any] = {
        "model": {"name": contract.name, "precision": contract.precision, "snapshot_sha256": contract.snapshot_sha256},
        "seeds": {name: _seeds(split) for name, split in SPLITS.items()},
        "normalization": {"mean": contract.mean[0], "std": contract.std[0]},
        "versions": {name: metadata.version(name) for name in ("numpy", "pillow", "torch", "onnxruntime")},
    }
    if contract.operating_point is not None:
        threshold = contract.operating_point.threshold
        report["operating_point"] = asdict(contract.operating_point) | {
            "test_sensitivity": sensitivity_at(scores, labels, threshold),
            "test_specificity": specificity_at(scores, labels, threshold),
        }
    return report | figures(findings, contract)


def figures(findings: Sequence[Finding], contract: ModelContract) -> dict[str, Any]:
    """Return detection, of all lesions and of small ones, and localisation where there is an operating point."""
    scores, labels = np.array([finding.score for finding in findings]), labels_of([f.example for f in findings])
    small = np.array([not finding.example.lesions or finding.small for finding in findings])
    report: dict[str, Any] = {"auc": asdict(auc_with_interval(scores, labels))}
    if labels[small].any():
        report["auc_of_small_lesions"] = asdict(auc_with_interval(scores[small], labels[small]))
    if contract.operating_point is not None:
        report["localisation"] = _localisation(findings, contract.operating_point.threshold)
    return report


def _localisation(findings: Sequence[Finding], threshold: float) -> dict[str, Any]:
    """Count the lesion breasts that are flagged, and those of them whose peak lies in the lesion, by lesion size."""
    lesions = [finding for finding in findings if finding.example.lesions]
    small = [finding for finding in lesions if finding.small]
    return {
        "tolerance_mm": TOLERANCE_MM,
        "all": _counts(lesions, threshold),
        f"radius_below_{SMALL_MM:g}_mm": _counts(small, threshold),
    }


def _counts(lesions: Sequence[Finding], threshold: float) -> dict[str, Any]:
    flagged = [finding for finding in lesions if finding.score >= threshold]
    localised = sum(finding.localised for finding in flagged)
    return {
        "breasts": len(lesions),
        "flagged": len(flagged),
        "peak_in_lesion": localised,
        "share": localised / len(flagged) if flagged else None,
        "region_in_lesion": sum(finding.region_localised for finding in flagged),
    }


def _seeds(split: Split) -> list[int]:
    return [split.first_seed, split.first_seed + split.studies - 1]
