"""FLOW 2: a DICOM study becomes a score and a heatmap for each breast."""

from fcdd_runtime.backends.base import Backend
from fcdd_runtime.batch import infer_images
from fcdd_runtime.breasts import BreastImage, separate_breasts, split_breasts
from fcdd_runtime.contract import MipRecipe, ModelContract
from fcdd_runtime.heatmap import Heatmaps, upsample
from fcdd_runtime.manual_phases import ManualPhases
from fcdd_runtime.mip import project
from fcdd_runtime.peak import find_peak
from fcdd_runtime.phases import Phases, split_phases
from fcdd_runtime.result import BreastResult, SplitChoice, StudyResult
from fcdd_runtime.study import Study


def score_study(study: Study, backend: Backend, manual: ManualPhases | None = None) -> StudyResult:
    """Score one study with one model. Nothing is written.

    Parameters
    ----------
    manual : the two phases to subtract, where a person has chosen them

    Raises
    ------
    StudyError
        If no pre/post pair, or no breast image, can be made of the study.
    BackendError
        If the model cannot be run.
    """
    contract = backend.contract
    phases = split_phases(study, contract.recipe, manual)
    breasts, split = breast_images(phases, contract.recipe)
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
        warnings=phases.warnings + split.warnings,
    )


def breast_images(phases: Phases, recipe: MipRecipe) -> tuple[tuple[BreastImage, ...], SplitChoice]:
    """Subtract and project, and return the breasts' images and how they were found.

    Raises
    ------
    StudyError
        If a slice cannot be read, nothing enhances, or it is unclear which breasts are shown.
    """
    projection = project(phases.pre, phases.post)
    if phases.left is None:
        return split_breasts(projection, recipe, phases.laterality)
    left = project(phases.left.pre, phases.left.post)
    return separate_breasts(projection, left, recipe, (phases.laterality, phases.left.laterality))


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
