"""FLOW 2: a DICOM study becomes a score and a heatmap for each breast."""

from collections.abc import Sequence
from dataclasses import replace

from fcdd_runtime.backends.base import Backend
from fcdd_runtime.breasts.cut import BreastImage, separate_breasts, split_breasts
from fcdd_runtime.breasts.projection import project
from fcdd_runtime.contract import MipRecipe, ModelContract
from fcdd_runtime.errors import StudyError
from fcdd_runtime.images.heatmap import Heatmaps, upsample
from fcdd_runtime.images.network_input import infer_images
from fcdd_runtime.images.peak import find_peak
from fcdd_runtime.images.references import OTHER_BREAST, Reference
from fcdd_runtime.phases.choose import Phases, split_phases
from fcdd_runtime.phases.manual import ManualPhases
from fcdd_runtime.result import BreastResult, SplitChoice, StudyResult
from fcdd_runtime.study.read import Study


def score_study(
    study: Study, backend: Backend, manual: ManualPhases | None = None, reference: Reference | None = None
) -> StudyResult:
    """Score one study with one model. Nothing is written.

    A network that compares two images gets the study's other breast as the reference of each, both as the recipe
    orients them, or for every breast the reference given here.

    Parameters
    ----------
    manual : the two phases to subtract, where a person has chosen them
    reference : a recorded image, for two-input networks only

    Raises
    ------
    StudyError
        If no pre/post pair, or no breast image, can be made of the study, or a breast has nothing to be compared with.
    ImageError
        If a reference is given and the network takes none.
    BackendError
        If the model cannot be run.
    """
    contract = backend.contract
    phases = split_phases(study, contract.recipe, manual)
    breasts, split = breast_images(phases, contract.recipe)
    references = _references(breasts, contract, reference)
    scores, maps = infer_images(
        [breast.pixels for breast in breasts], backend, [other.pixels for other in references] or None
    )
    heatmaps = upsample(maps, contract.upsampling, contract.resize.size)
    results = tuple(
        _breast_result(breast, float(score), anomaly_map, heatmap, contract)
        for breast, score, anomaly_map, heatmap in zip(breasts, scores, maps, heatmaps, strict=True)
    )
    return StudyResult(
        study_instance_uid=study.study_instance_uid,
        breasts=_with_references(results, references),
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


def _references(breasts: Sequence[BreastImage], contract: ModelContract, recorded: Reference | None) -> list[Reference]:
    """Say what each breast is compared with; nothing if the network takes one image."""
    if recorded is not None:
        return [recorded] * len(breasts)
    if "reference" not in contract.inputs:
        return []
    if len(breasts) != 2:
        raise StudyError(
            f"{contract.network} compares a breast with the other one and this study shows one only; give a recorded "
            "image with --reference"
        )
    return [Reference(OTHER_BREAST, breast.pixels) for breast in reversed(breasts)]


def _with_references(results: tuple[BreastResult, ...], references: list[Reference]) -> tuple[BreastResult, ...]:
    pairs = zip(results, references, strict=True) if references else ()
    return tuple(replace(result, reference=reference.name) for result, reference in pairs) or results


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
