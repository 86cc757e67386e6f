"""FLOW 2: a DICOM study becomes a score and a heatmap for each breast, in three steps: prepare, infer, finish."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fcdd_runtime.backends.base import Backend, Maps, Scores
from fcdd_runtime.breasts.projection import Projection, project
from fcdd_runtime.breasts.split import BreastImage, separate_breasts, split_breasts
from fcdd_runtime.contract import MipRecipe, ModelContract
from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import SIDES, Finding
from fcdd_runtime.images.grey_range import unlike_verified
from fcdd_runtime.images.heatmap import upsample
from fcdd_runtime.images.network_input import GreyImage, infer_images
from fcdd_runtime.images.peak import find_peak
from fcdd_runtime.images.references import OTHER_BREAST, Reference
from fcdd_runtime.phases.choose import Phases, split_phases
from fcdd_runtime.phases.manual import ManualPhases
from fcdd_runtime.result import BreastResult, PhaseChoice, SplitChoice, StudyResult, UnusedSeries
from fcdd_runtime.study.patient import check_one_patient
from fcdd_runtime.study.read import Study
from fcdd_runtime.volumes.volume import SliceSource, noting_blank_rows


@dataclass(frozen=True)
class Prepared:
    """A study's breast images, ready for a network, and how they were made. It holds no file and can be pickled."""

    study_instance_uid: str
    breasts: tuple[BreastImage, ...]
    """In the order R, L; one only in a unilateral study."""
    references: tuple[Reference, ...]
    """What each of them is compared with; empty for a network that takes one image."""
    phases: PhaseChoice
    split: SplitChoice
    findings: tuple[Finding, ...]
    not_used: tuple[UnusedSeries, ...]
    inputs: tuple[SliceSource, ...]
    """The slices that were subtracted, as in `StudyResult`."""

    @property
    def images(self) -> list[GreyImage]:
        """The breasts' images: uint8 (rows, columns), 0..255."""
        return [breast.pixels for breast in self.breasts]

    @property
    def reference_images(self) -> list[GreyImage] | None:
        """What each of them is compared with, of the same kind; None for a network that takes one image."""
        return [reference.pixels for reference in self.references] or None


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
    prepared = prepare(study, backend.contract, manual, reference)
    scores, maps = infer(prepared, backend)
    return finish(prepared, scores, maps, backend.contract)


def prepare(
    study: Study, contract: ModelContract, manual: ManualPhases | None = None, reference: Reference | None = None
) -> Prepared:
    """Read a study's pixels, and make its breast images after the contract's recipe.

    Parameters
    ----------
    manual, reference : as in `score_study`

    Raises
    ------
    StudyError
        If no pre/post pair, or no breast image, can be made of the study, or a breast has nothing to be compared with.
    """
    same_patient = check_one_patient(study.patients)
    phases = split_phases(study, contract.recipe, manual)
    breasts, split = breast_images(phases, contract.recipe)
    if reference is not None:
        references = [reference] * len(breasts)
    elif "reference" not in contract.inputs:
        references = []
    elif len(breasts) == 2:
        references = [Reference(OTHER_BREAST, breast.pixels) for breast in reversed(breasts)]
    else:
        raise StudyError(
            f"{contract.network} compares a breast with the other one and this study shows one only; give a recorded "
            "image with --reference",
            "no-reference",
        )
    return Prepared(
        study_instance_uid=study.study_instance_uid,
        breasts=breasts,
        references=tuple(references),
        phases=phases.choice,
        split=split,
        findings=same_patient + phases.findings + split.findings + check_grey(breasts, contract),
        not_used=phases.not_used,
        inputs=tuple(source for volume in phases.volumes for source in volume.sources),
    )


def breast_images(phases: Phases, recipe: MipRecipe) -> tuple[tuple[BreastImage, ...], SplitChoice]:
    """Subtract and project, and return the breasts' images and how they were found.

    Raises
    ------
    StudyError
        If a slice cannot be read, nothing enhances, or it is unclear which breasts are shown.
    """
    projection, findings = _project_pair(phases, "")
    if phases.left is None:
        breasts, split = split_breasts(projection, recipe, phases.laterality)
        return breasts, replace(split, findings=split.findings + findings)
    left, findings_left = _project_pair(phases.left, " of the left breast")
    sides = (phases.laterality, phases.left.laterality)
    breasts, split = separate_breasts(projection, left, recipe, sides)
    return breasts, replace(split, findings=split.findings + findings + findings_left)


def _project_pair(phases: Phases, side: str) -> tuple[Projection, tuple[Finding, ...]]:
    (pre, blank_pre), (post, blank_post) = (noting_blank_rows(volume) for volume in (phases.pre, phases.post))
    projection = project(pre, post)
    return projection, tuple(
        Finding(
            "blank-slices",
            f"{blank.suspects} of {blank.slices} slices {when} contrast{side} hold one value in many rows or in all.",
        )
        for when, blank in (("before", blank_pre), ("after", blank_post))
        if blank.suspects
    )


def check_grey(breasts: Sequence[BreastImage], contract: ModelContract) -> tuple[Finding, ...]:
    """Doubt images whose grey values are unlike those of the images that the model was verified on."""
    if contract.grey is None:
        return ()
    unlike = {breast.laterality: unlike_verified(breast.pixels, contract.grey) for breast in breasts}
    return tuple(
        Finding(
            "unlike-verified",
            f"The image of the {SIDES[laterality]} breast is unlike those that the model was verified on: {words}.",
        )
        for laterality, words in unlike.items()
        if words
    )


def infer(prepared: Prepared, backend: Backend) -> tuple[Scores, Maps]:
    """Run the model on a study's breast images.

    Returns
    -------
    scores and anomaly maps, in the order of the breasts, as `infer_images` gives them

    Raises
    ------
    ImageError
        If a reference is given and the network takes none.
    BackendError
        If the model cannot be run.
    """
    return infer_images(prepared.images, backend, prepared.reference_images)


def breast_results(
    breasts: Sequence[BreastImage], scores: Scores, maps: Maps, contract: ModelContract
) -> list[BreastResult]:
    """Make each breast's result of what the model answered: its heatmap, and the voxel where that is highest.

    Parameters
    ----------
    scores, maps : in the order of the breasts, as `infer_images` returns them
    """
    heatmaps = upsample(maps, contract.upsampling, contract.resize.size)
    return [
        BreastResult(
            laterality=breast.laterality,
            score=float(score),
            flagged=contract.flags(float(score)),
            peak=find_peak(heatmap, breast, contract),
            image=breast.pixels,
            pixel_mm=breast.pixel_mm,
            axes=breast.projection.axes,
            anomaly_map=anomaly_map,
            heatmap=heatmap,
            body=~breast.air,
            voxels=breast.voxels(),
            volume_shape=breast.projection.grid.shape,
            slices=breast.projection.sources,
        )
        for breast, score, anomaly_map, heatmap in zip(breasts, scores, maps, heatmaps, strict=True)
    ]


def finish(prepared: Prepared, scores: Scores, maps: Maps, contract: ModelContract) -> StudyResult:
    """Make the result of what the model answered: heatmaps, and the voxel where each is highest.

    Parameters
    ----------
    scores, maps : as `infer` returns them
    """
    names: Sequence[str | None] = [reference.name for reference in prepared.references] or [None] * len(scores)
    results = breast_results(prepared.breasts, scores, maps, contract)
    results = [replace(result, reference=name) for result, name in zip(results, names, strict=True)]
    return StudyResult(
        study_instance_uid=prepared.study_instance_uid,
        breasts=tuple(results),
        phases=prepared.phases,
        split=prepared.split,
        contract=contract,
        findings=prepared.findings,
        not_used=prepared.not_used,
        inputs=prepared.inputs,
    )
