"""FLOW 2: a DICOM study becomes a score and a heatmap for each breast."""

from fcdd_runtime.backends.base import Backend
from fcdd_runtime.batch import infer_images
from fcdd_runtime.breasts import BreastImage, split_breasts
from fcdd_runtime.contract import ModelContract
from fcdd_runtime.heatmap import Heatmaps, upsample
from fcdd_runtime.mip import project
from fcdd_runtime.peak import find_peak
from fcdd_runtime.phases import split_phases
from fcdd_runtime.result import BreastResult, StudyResult
from fcdd_runtime.study import Study


def score_study(study: Study, backend: Backend) -> StudyResult:
    """Score one study with one model. Nothing is written.

    Raises
    ------
    StudyError
        If no pre/post pair, or no breast image, can be made of the study.
    BackendError
        If the model cannot be run.
    """
    contract = backend.contract
    phases = split_phases(study, contract.recipe)
    projection = project(phases.pre, phases.post)
    breasts, split = split_breasts(projection, contract.recipe)
    scores, maps = infer_images([breast.pixels for breast in breasts], backend)
    heatmaps = upsample(maps, contract.upsampling, contract.resize.size)
    return StudyResult(
        study_instance_uid=study.study_instance_uid,
        breasts=tuple(
            _breast_result(breast, float(score), anomaly_map, heatmap, contract)
            for breast, score, anomaly_map, heatmap in zip(breasts, scores, maps, heatmaps, strict=True)
        ),
        phases=phases.choice,
        split=split,
        contract=contract,
        warnings=phases.warnings,
    )


def _breast_result(
    breast: BreastImage, score: float, anomaly_map: Heatmaps, heatmap: Heatmaps, contract: ModelContract
) -> BreastResult:
    return BreastResult(
        laterality=breast.laterality,
        score=score,
        flagged=contract.flags(score),
        peak=find_peak(heatmap, breast, contract),
        image=breast.pixels,
        pixel_mm=breast.pixel_mm,
        anomaly_map=anomaly_map,
        heatmap=heatmap,
    )
