"""Breast image with its heatmap -> colour Secondary Capture, for viewers that show nothing else."""

import numpy as np
from highdicom.sc import SCImage

from fcdd_runtime.pacs.objects import USE_STATEMENT, ResultObjects, set_source
from fcdd_runtime.pacs.source_slice import SourceSlice
from fcdd_runtime.report.colormap import Look
from fcdd_runtime.report.overlay import overlay_image
from fcdd_runtime.result import BreastResult

_SERIES_NUMBERS = {"R": 9311, "L": 9312}


def secondary_capture(breast: BreastResult, source: SourceSlice, objects: ResultObjects, look: Look) -> SCImage:
    """Return the overlay picture as DICOM: RGB, anterior up, the patient's right at the left, caption below.

    Pixel Spacing is that of the projection, so distances within it can be measured; Source Image Sequence names the
    slice that holds the peak.
    """
    picture = overlay_image(breast, objects.result, look)
    side_mm = breast.image.shape[1] * breast.pixel_mm[1] / picture.width
    captured = SCImage(
        pixel_array=np.asarray(picture),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        laterality=breast.laterality,
        pixel_spacing=(side_mm, side_mm),
        study_instance_uid=source.identity.StudyInstanceUID,
        **objects.series(f"overlay {breast.laterality}", _SERIES_NUMBERS[breast.laterality], "FCDD overlay"),
    )
    captured.BodyPartExamined = "BREAST"
    captured.BurnedInAnnotation = "NO"
    captured.ImageComments = USE_STATEMENT
    captured.DerivationDescription = (
        "Axial maximum intensity projection of post-contrast minus pre-contrast, with an anomaly map laid over it"
    )
    captured.DateOfSecondaryCapture, captured.TimeOfSecondaryCapture = captured.ContentDate, captured.ContentTime
    set_source(captured, source)
    captured.update(source.loss)
    objects.finish(captured, source)
    return captured
