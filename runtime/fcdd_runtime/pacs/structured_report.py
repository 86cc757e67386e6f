"""Result -> Comprehensive 3D SR: a measurement report after TID 1500 (PS3.16), as IHE's AI Results profile has it."""

from collections.abc import Sequence

import numpy as np
from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from fcdd_runtime.contract import ModelContract
from fcdd_runtime.findings import KINDS
from fcdd_runtime.pacs.objects import SCHEME, SIDE_CODES, USE_STATEMENT, ResultObjects, Series, plain_text, stand_in
from fcdd_runtime.pacs.source_slice import SourceSlice
from fcdd_runtime.result import CHOSEN_BY_HAND, BreastResult, StudyResult
from fcdd_runtime.software import NAME, software_version

_SCORE = Code("score", SCHEME, "Anomaly score")
_THRESHOLD = Code("threshold", SCHEME, "Operating point: flagged at and above this anomaly score")
_SENSITIVITY = Code("sensitivity", SCHEME, "Sensitivity that the operating point was set for")
_FLAG = Code("flag", SCHEME, "Anomaly score against the operating point")
_FLAG_VALUES = {
    True: Code("flagged", SCHEME, "Flagged: at or above the operating point"),
    False: Code("not_flagged", SCHEME, "Not flagged: below the operating point"),
    None: Code("no_threshold", SCHEME, "The model has no operating point"),
}
"""No standard code says this without saying normal or abnormal, which a score does not."""
_REVIEW = Code("review", SCHEME, "Review: the score may not be the one that is wanted")
"""In place of all but `flagged`, where a person has to look at the study."""
_REASON = Code("review_reason", SCHEME, "Reason for review")


def structured_report(
    sources: Sequence[SourceSlice],
    siblings: Sequence[Dataset],
    predecessor: Dataset | None,
    objects: ResultObjects,
    series: Series,
) -> sr.Comprehensive3DSR:
    """Report scores, operating point, flags and peaks of all breasts of a study, unverified.

    A breast's peak is a 3D point in the patient (LPS, mm); its score refers to the slice that holds it.

    Parameters
    ----------
    sources : for each breast of the result the slice that holds its peak; all have a frame of reference
    siblings : the result's other objects, as `reference` gives them, named as evidence beside the slices
    predecessor : an earlier report on the same study, if there is one: its class and UIDs
    series : `ResultObjects.series` of this report
    """
    breasts = objects.result.breasts
    groups = [_breast_group(breast, source, objects) for breast, source in zip(breasts, sources, strict=True)]
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=objects.device_uid, name=NAME, manufacturer_name=NAME, model_name=objects.model_name
    )
    observer = sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device))
    report = sr.MeasurementReport(
        observation_context=observer,
        procedure_reported=codes.SCT.MRIOfBreast,
        imaging_measurements=[_exam_group(objects), *groups],
        title=codes.DCM.ImagingMeasurementReport,
    )
    doubts = [f"Review: {finding.sentence}" for finding in objects.result.review]
    by_hand = ["The phases were chosen by hand."] if objects.result.phases.method == CHOSEN_BY_HAND else []
    for comment in (USE_STATEMENT, *by_hand, *doubts):
        report[0].ContentSequence.append(
            sr.TextContentItem(codes.DCM.Comment, comment, sr.RelationshipTypeValues.CONTAINS)
        )
    document = sr.Comprehensive3DSR(
        evidence=[*map(stand_in, sources), *siblings],
        previous_versions=None if predecessor is None else [predecessor],
        content=report[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name=f"Private codes of {NAME}")],
        **series,
    )
    objects.finish(document, sources[0])
    return document


def _exam_group(objects: ResultObjects) -> sr.MeasurementsAndQualitativeEvaluations:
    result = objects.result
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(objects.uid("exam"), "exam: the larger of the breasts' scores"),
        algorithm_id=_algorithm(objects),
        finding_sites=[sr.FindingSite(codes.SCT.Breast)],
        measurements=[_number(_SCORE, result.exam_score), *_operating_point(result.contract)],
        qualitative_evaluations=[*_flags(result.flagged, result), *_reasons(result)],
    )


def _breast_group(
    breast: BreastResult, source: SourceSlice, objects: ResultObjects
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    contract = objects.result.contract
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(objects.uid("peak", breast), f"peak {breast.laterality}"),
        referenced_region=sr.ImageRegion3D("POINT", np.array([breast.peak.patient_mm]), source.frame_of_reference_uid),
        algorithm_id=_algorithm(objects),
        finding_sites=[sr.FindingSite(codes.SCT.Breast, laterality=SIDE_CODES[breast.laterality])],
        measurements=[_number(_SCORE, breast.score, source), *_operating_point(contract)],
        qualitative_evaluations=_flags(breast.flagged, objects.result),
    )


def _flags(flagged: bool | None, result: StudyResult) -> list[sr.QualitativeEvaluation]:
    values = [_FLAG_VALUES[flagged]] if flagged or not result.review else []
    if result.review:
        values.append(_REVIEW)
    return [sr.QualitativeEvaluation(_FLAG, value) for value in values]


def _reasons(result: StudyResult) -> list[sr.QualitativeEvaluation]:
    """Code each reason for review once; the comments say in sentences what was found."""
    reasons = dict.fromkeys(finding.code for finding in result.review)
    return [sr.QualitativeEvaluation(_REASON, Code(code, SCHEME, KINDS[code].meaning)) for code in reasons]


def _operating_point(contract: ModelContract) -> list[sr.Measurement]:
    point = contract.operating_point
    if point is None:
        return []
    sensitivity = [] if point.sensitivity is None else [_number(_SENSITIVITY, point.sensitivity)]
    return [_number(_THRESHOLD, point.threshold), *sensitivity]


def _number(name: Code, value: float, source: SourceSlice | None = None) -> sr.Measurement:
    images = None
    if source is not None:
        frame = source.source.frame_number
        images = [
            sr.SourceImageForMeasurement(
                source.sop_class_uid, source.source.sop_instance_uid, None if frame is None else [frame]
            )
        ]
    return sr.Measurement(name=name, value=float(value), unit=codes.UCUM.NoUnits, referenced_images=images)


def _algorithm(objects: ResultObjects) -> sr.AlgorithmIdentification:
    contract = objects.result.contract
    point = contract.operating_point
    return sr.AlgorithmIdentification(
        name=f"{NAME} {objects.model_name}",
        version=software_version(),
        manufacturer=NAME,
        parameters=[
            f"network {contract.network}, objective {contract.objective}",
            f"precision {contract.precision}, target {contract.target}",
            f"snapshot SHA-256 {contract.snapshot_sha256}",
            f"artefact SHA-256 {contract.artefact_sha256}",
            *([] if point is None else [f"operating point determined on: {plain_text(point.source)}"]),
            USE_STATEMENT,
        ],
    )
