"""Peak -> Grayscale Softcopy Presentation State: a circle and the score on the slice, for viewers without SEG."""

import numpy as np
from highdicom.content import ModalityLUTTransformation
from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    SoftcopyVOILUTTransformation,
    TextObject,
)
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from fcdd_runtime.pacs.objects import NOT_FOR_DIAGNOSIS, ResultObjects, Series, stand_in
from fcdd_runtime.pacs.secondary_capture import MARK_MM
from fcdd_runtime.pacs.source_slice import SourceSlice
from fcdd_runtime.report.overlay import caption
from fcdd_runtime.result import BreastResult


def presentation_state(
    breast: BreastResult, source: SourceSlice, objects: ResultObjects, series: Series
) -> GrayscaleSoftcopyPresentationState:
    """Return a state of the peak's slice: a circle of `MARK_MM` around the peak, and what captions say beside it."""
    row, column = source.peak_pixel(breast)
    radius = MARK_MM / source.pixel_mm[1]
    layer = GraphicLayer("FCDD", order=1, description=f"Peak of network response. {NOT_FOR_DIAGNOSIS}")
    image = _referenced(breast, source)
    columns = breast.volume_shape[2]
    # The point that says how large the circle is, and the text beside it, lie on the side with more room.
    beside = min(max(column + radius if column < columns / 2 else column - radius, 0.0), float(columns))
    annotation = GraphicAnnotation(
        referenced_images=[image],
        graphic_layer=layer,
        referenced_frame_number=source.source.frame_number,
        graphic_objects=[GraphicObject("CIRCLE", np.array([[column, row], [beside, row]]), "PIXEL")],
        text_objects=[
            TextObject(
                # Lines of a text end with CR LF (PS3.5 6.1.3).
                caption(breast, objects.result).replace("\n", "\r\n"),
                "PIXEL",
                anchor_point=(beside, row),
                anchor_point_visible=False,
            )
        ],
    )
    black, white = source.window
    slice_ = source.volume[source.index]
    state = GrayscaleSoftcopyPresentationState(
        referenced_images=[image],
        content_label="FCDD_PEAK",
        content_description=f"FCDD peak. {NOT_FOR_DIAGNOSIS}",
        graphic_annotations=[annotation],
        graphic_layers=[layer],
        modality_lut_transformation=ModalityLUTTransformation(slice_.intercept, slice_.slope, "US"),
        # LINEAR takes no width below 1, and is off by half a unit, which matters where values are small.
        voi_lut_transformations=[
            SoftcopyVOILUTTransformation((black + white) / 2, white - black, voi_lut_function="LINEAR_EXACT")
        ],
        # It has its own names for when it was made.
        **{name: value for name, value in series.items() if not name.startswith("content_")},
    )
    state.BodyPartExamined, state.Laterality = "BREAST", breast.laterality
    state.PresentationCreationDate, state.PresentationCreationTime = series["content_date"], series["content_time"]
    [area] = state.DisplayedAreaSelectionSequence
    area.pop("PresentationPixelAspectRatio", None)
    area.PresentationPixelSpacing = [DSfloat(side, auto_format=True) for side in source.pixel_mm]
    # highdicom means all frames of a multi-frame object where the state is of one.
    [named] = source.images([source.index])
    area.ReferencedImageSequence = [named]
    state.ReferencedSeriesSequence[0].ReferencedImageSequence = [named]
    state.SoftcopyVOILUTSequence[0].ReferencedImageSequence = [named]
    objects.finish(state, source)
    return state


def _referenced(breast: BreastResult, source: SourceSlice) -> Dataset:
    image = stand_in(source)
    image.Rows, image.Columns = breast.volume_shape[1:]
    image.PixelSpacing = list(source.pixel_mm)
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    pixels = source.volume[source.index].pixels
    if source.source.frame_number is not None and pixels is not None:
        image.NumberOfFrames = pixels.frames
    return image
