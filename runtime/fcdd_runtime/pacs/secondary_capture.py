"""Pictures -> colour Secondary Captures, for viewers that show nothing else: the breast image, and slices to scroll."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from highdicom.sc import SCImage
from PIL import Image, ImageDraw, ImageFont
from pydicom.tag import Tag
from pydicom.uid import UID

from fcdd_runtime.images.heatmap import scaled_for_display
from fcdd_runtime.images.regions import Region, heat_at_pixels, layers_of
from fcdd_runtime.pacs.objects import KIND_SERIES, USE_STATEMENT, ResultObjects, Series, set_source
from fcdd_runtime.pacs.source_slice import SourceSlice
from fcdd_runtime.report.overlay import OPACITY, caption, coloured, overlay_image
from fcdd_runtime.result import BreastResult

AROUND = 2
"""How many slices are shown on either side of the peak's."""
MARK_MM = 10.0
"""Radius of the circle around the peak."""
_MINIMUM_SIDE = 448
"""A slice is enlarged by a whole number until its longer side has this many pixels."""
_MARK_COLOUR = (94, 234, 212)

Picture = npt.NDArray[np.uint8]


def overlay_capture(breast: BreastResult, source: SourceSlice, objects: ResultObjects, series: Series) -> SCImage:
    """Return the overlay picture as DICOM: RGB, anterior up, the patient's right at the left, caption below.

    Pixel Spacing is that of the projection, so distances within it can be measured; Source Image Sequence names the
    slice that holds the peak.
    """
    picture = overlay_image(breast, objects.result, objects.look)
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
        **series,
    )
    captured.DerivationDescription = (
        "Axial maximum intensity projection of post-contrast minus pre-contrast, with an anomaly map laid over it"
    )
    _complete(captured, source, objects, [source.index])
    return captured


def key_slices(
    breast: BreastResult, regions: Sequence[Region], source: SourceSlice, objects: ResultObjects, series: Series
) -> SCImage:
    """Return the peak's slice and `AROUND` on either side of it as RGB frames, in the order of the volume.

    Rows and columns run as in the source, so that a frame looks like the slice that it shows. Colour lies on the cores
    of the regions, so that it comes and goes as one scrolls; what is scattered over the slices would hide them.
    """
    last = len(source.volume) - 1
    shown = list(range(max(source.index - AROUND, 0), min(source.index + AROUND, last) + 1))
    heat = _heat_on_slices(breast, regions, objects, shown)
    frames = _slices_with_heat(breast, source, objects, heat, shown)
    row_mm, column_mm = source.pixel_mm
    enlarged = _enlargement(breast)
    captured = SCImage(
        pixel_array=frames[0],
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=source.orientation,
        laterality=breast.laterality,
        pixel_spacing=(row_mm / enlarged, column_mm / enlarged),
        study_instance_uid=source.identity.StudyInstanceUID,
        **series,
    )
    # highdicom has no multi-frame captures; they differ by what follows (PS3.3 A.8.5).
    captured.SOPClassUID = UID(KIND_SERIES["slices"].sop_class_uid)
    captured.file_meta.MediaStorageSOPClassUID = captured.SOPClassUID
    captured.NumberOfFrames = len(frames)
    captured.FrameIncrementPointer = Tag("PageNumberVector")
    captured.PageNumberVector = list(range(1, len(frames) + 1))
    captured.PixelData = frames.tobytes()
    captured.DerivationDescription = (
        "Slices around the peak of an anomaly map, laid over them where it hangs together in depth; frame "
        f"{shown.index(source.index) + 1} holds the peak"
    )
    _complete(captured, source, objects, shown)
    return captured


def _complete(captured: SCImage, source: SourceSlice, objects: ResultObjects, indices: Sequence[int]) -> None:
    captured.BodyPartExamined = "BREAST"
    captured.BurnedInAnnotation = "NO"
    captured.ImageComments = USE_STATEMENT
    captured.DateOfSecondaryCapture, captured.TimeOfSecondaryCapture = captured.ContentDate, captured.ContentTime
    set_source(captured, source, indices)
    captured.update(source.loss)
    objects.finish(captured, source)


def _slices_with_heat(
    breast: BreastResult,
    source: SourceSlice,
    objects: ResultObjects,
    heat: npt.NDArray[np.float32],
    shown: Sequence[int],
) -> Picture:
    """Draw slices with the heat of their voxels, a circle at the peak, and a caption: uint8 (N, rows, columns, 3)."""
    enlargement = _enlargement(breast)
    size = breast.volume_shape[2] * enlargement, breast.volume_shape[1] * enlargement
    # A tall, narrow slice has room for the caption beside it.
    width = max(size[0], _MINIMUM_SIDE)
    caption_height = round(width / 8)
    frames = []
    for index, here in zip(shown, heat, strict=True):
        grey = Image.fromarray(source.grey(index)).resize(size, Image.Resampling.BICUBIC)
        colour = coloured(here, objects.look).convert("RGBA").resize(size, Image.Resampling.NEAREST)
        colour.putalpha(colour.getchannel("A").point([round(level * OPACITY) for level in range(256)]))
        page = Image.new("RGB", (width, size[1] + caption_height))
        page.paste(Image.alpha_composite(grey.convert("RGBA"), colour).convert("RGB"))
        drawing = ImageDraw.Draw(page)
        if index == source.index:
            row, column = (place * enlargement for place in source.peak_pixel(breast))
            radii = [MARK_MM / side * enlargement for side in source.pixel_mm]
            box = (column - radii[1], row - radii[0], column + radii[1], row + radii[0])
            drawing.ellipse(box, outline=_MARK_COLOUR, width=max(1, width // 300))
        where = "slice of the peak" if index == source.index else f"{index - source.index:+d} from the peak"
        drawing.multiline_text(
            (width / 40, size[1] + caption_height / 2),
            caption(breast, objects.result, where),
            (214, 222, 232),
            ImageFont.load_default(width / 38),
            anchor="lm",
        )
        frames.append(np.asarray(page))
    return np.stack(frames)


def _enlargement(breast: BreastResult) -> int:
    return -(-_MINIMUM_SIDE // max(breast.volume_shape[1:]))


def _heat_on_slices(
    breast: BreastResult, regions: Sequence[Region], objects: ResultObjects, shown: Sequence[int]
) -> npt.NDArray[np.float32]:
    """Return the heat of each voxel of some slices: float32 (N, rows, columns), 0..1; 0 where it is of no core."""
    contract = objects.result.contract
    scaled = scaled_for_display(breast.heatmap, contract.display, objects.look.scale)
    heat = heat_at_pixels(scaled, breast.image.shape, contract.resize)
    warm = np.zeros(heat.shape, dtype=np.bool_)
    for region in regions:
        warm |= region.core
    place = np.full(breast.volume_shape[0], -1)
    place[list(shown)] = np.arange(len(shown))
    on_slices = np.zeros((len(shown), *breast.volume_shape[1:]), dtype=np.float32)
    for inside, voxels in layers_of(breast, warm):
        number = place[voxels[:, 0]]
        here = number >= 0
        at = number[here], voxels[here, 1], voxels[here, 2]
        on_slices[at] = np.maximum(on_slices[at], heat[warm][inside][here])
    return on_slices
