"""A DICOM file's header -> the slices in it: geometry, what tells phases apart, and where the pixels are."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset

from fcdd_runtime.errors import StudyError
from fcdd_runtime.redaction import quoted
from fcdd_runtime.study.lossy import Loss, loss_in
from fcdd_runtime.study.pixels import StoredPixels, read_frame, stored_pixels
from fcdd_runtime.study.protocol import Protocol
from fcdd_runtime.volumes.volume import Pixels, SliceSource

Vector = tuple[float, float, float]

HEADER_KEYWORDS = [
    *("SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "Modality", "SeriesDescription"),
    *("AcquisitionDate", "ContentDate", "AcquisitionDateTime", "AcquisitionTime", "ContentTime", "TriggerTime"),
    *("BodyPartExamined", "ScanningSequence", "ScanOptions", "RepetitionTime", "EchoTime", "FlipAngle"),
    *("EchoPulseSequence", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber"),
    *("InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"),
    *("TemporalPositionIdentifier", "DiffusionBValue", "Laterality", "ImageLaterality", "SamplesPerPixel"),
    *("PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "BitsAllocated"),
    *("BitsStored", "PixelRepresentation", "RescaleIntercept", "RescaleSlope"),
    *("LossyImageCompression", "LossyImageCompressionRatio"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
"""All that is kept of a header; no patient identity."""
MAX_RESCALE = 1e12
"""Slopes and intercepts are at most this large, and slopes at least its inverse; float32 holds the results."""


@dataclass(frozen=True)
class Plane:
    """Where a slice lies in patient space: LPS, mm."""

    origin_mm: Vector
    """Centre of pixel (0, 0)."""
    row_step_mm: Vector
    """From one row to the next."""
    column_step_mm: Vector
    """From one column to the next."""

    @cached_property
    def normal(self) -> Vector:
        """Unit vector across the slice."""
        (a, b, c), (d, e, f) = self.column_step_mm, self.row_step_mm
        x, y, z = b * f - c * e, c * d - a * f, a * e - b * d
        length = math.sqrt(x * x + y * y + z * z)
        return x / length, y / length, z / length


@dataclass(frozen=True)
class Slice:
    """One image plane: a single-frame file, or one frame of a multi-frame file. Values that are absent are None."""

    path: Path
    source: SliceSource
    plane: Plane | None
    pixels: StoredPixels | None
    damage: str
    """Why the pixels cannot be read, as the rest of a sentence that begins with the file's name; empty if they can."""
    slope: float
    intercept: float
    image_type: tuple[str, ...]
    """ImageType, or FrameType of a frame."""
    loss: Loss
    """Whether its pixels lost something by compression."""
    protocol: Protocol
    frame_of_reference_uid: str
    """Empty if absent."""
    laterality: str
    """`L`, `R` or `B` from FrameLaterality, ImageLaterality or Laterality; empty if absent or unpaired."""
    temporal_position: float | None
    """TemporalPositionIdentifier, or TemporalPositionIndex of a frame."""
    trigger_time: float | None
    """TriggerTime, s."""
    acquisition_time: float | None
    """AcquisitionTime, or FrameAcquisitionDateTime of a frame, s since the calendar's first day."""
    content_time: float | None
    """ContentTime in the same unit."""
    acquisition_number: float | None
    instance_number: float | None

    @property
    def name(self) -> str:
        """Its file, for messages."""
        return f"file {quoted(self.path.name)}"

    def read(self) -> Pixels:
        """Read the pixels: (rows, columns) in rescaled scanner units.

        Raises
        ------
        StudyError
            If they are damaged, or cannot be decoded.
        """
        if self.damage or self.pixels is None:
            raise StudyError(f"{self.name} {self.damage}; export the study again")
        return read_frame(self.pixels, (self.source.frame_number or 1) - 1, self.slope, self.intercept)


def slices_in_file(path: Path, file: BinaryIO, header: Dataset) -> Iterator[Slice]:
    """Yield the slices of an MR file whose header has just been read, in frame order.

    Parameters
    ----------
    file : the file, positioned where reading the header stopped
    """
    pixels, damage = stored_pixels(path, file, header)
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if frames is None:
        yield _slice(path, header, lambda _: header, None, (pixels, damage))
        return
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    if pixels is not None and pixels.frames != len(frames) and not damage:
        damage = f"declares {pixels.frames} frames and describes {len(frames)}"
    for number, frame in enumerate(frames, start=1):
        yield _slice(path, header, _functional_groups(frame, shared), number, (pixels, damage))


Groups = Callable[[str], Dataset]
"""Name of a functional group -> its values; in a single-frame file the header itself, whatever the name."""


def _functional_groups(frame: Dataset, shared: Dataset) -> Groups:
    def group(name: str) -> Dataset:
        items = frame.get(name) or shared.get(name)
        return items[0] if items else Dataset()

    return group


def _slice(
    path: Path, header: Dataset, group: Groups, frame: int | None, pixels: tuple[StoredPixels | None, str]
) -> Slice:
    content = group("FrameContentSequence")
    rescale = group("PixelValueTransformationSequence")
    slope, intercept = _rescale(rescale, "RescaleSlope", 1.0), _rescale(rescale, "RescaleIntercept", 0.0)
    trigger_ms = _number(header, "TriggerTime")
    return Slice(
        path=path,
        source=SliceSource(str(header.get("SOPInstanceUID", "")), frame),
        plane=_plane(group),
        pixels=pixels[0],
        damage=pixels[1] or ("" if _plausible(slope, intercept) else "has an invalid rescale slope or intercept"),
        slope=slope or 1.0,
        intercept=intercept or 0.0,
        image_type=_words(group("MRImageFrameTypeSequence"), "FrameType") or _words(header, "ImageType"),
        loss=_loss(header, pixels[0]),
        protocol=_protocol(header, group),
        frame_of_reference_uid=str(header.get("FrameOfReferenceUID") or ""),
        laterality=_laterality(header, group("FrameAnatomySequence")),
        temporal_position=_first(content, "TemporalPositionIndex", "TemporalPositionIdentifier"),
        trigger_time=None if trigger_ms is None else trigger_ms / 1000,
        acquisition_time=_acquisition_time(header, content),
        content_time=_time(header, "ContentDate", "ContentTime"),
        acquisition_number=_first(content, "FrameAcquisitionNumber", "AcquisitionNumber"),
        instance_number=_number(header, "InstanceNumber"),
    )


def _plane(group: Groups) -> Plane | None:
    origin = _numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3)
    cosines = _numbers(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    spacing = _numbers(group("PixelMeasuresSequence"), "PixelSpacing", 2)
    if origin is None or cosines is None or spacing is None or min(spacing) <= 0:
        return None
    # Plain numbers: this runs once a file, and arrays of three cost more than they help.
    along_row, down_column = cosines[:3], cosines[3:]
    lengths = math.hypot(*along_row), math.hypot(*down_column)
    skew = sum(one * other for one, other in zip(along_row, down_column, strict=True))
    if abs(lengths[0] - 1) > 0.01 or abs(lengths[1] - 1) > 0.01 or abs(skew) > 0.01:
        return None
    return Plane(
        _vector(origin),
        row_step_mm=_vector([value / lengths[1] * spacing[0] for value in down_column]),
        column_step_mm=_vector([value / lengths[0] * spacing[1] for value in along_row]),
    )


def _vector(values: Sequence[float]) -> Vector:
    x, y, z = values
    return x, y, z


def _rescale(group: Dataset, keyword: str, default: float) -> float | None:
    """Return the value, the default where it is absent, and None where it is there but invalid."""
    return _number(group, keyword) if group.get(keyword) not in (None, "") else default


def _plausible(slope: float | None, intercept: float | None) -> bool:
    if slope is None or intercept is None:
        return False
    return 1 / MAX_RESCALE <= abs(slope) <= MAX_RESCALE and abs(intercept) <= MAX_RESCALE


def _protocol(header: Dataset, group: Groups) -> Protocol:
    timing, echo = group("MRTimingAndRelatedParametersSequence"), group("MREchoSequence")
    suppression = str(group("MRModifierSequence").get("SpectrallySelectedSuppression", ""))
    return Protocol(
        sequence=frozenset(_words(header, "ScanningSequence") or _words(header, "EchoPulseSequence")),
        fat_suppression=suppression or ("FS" if "FS" in _words(header, "ScanOptions") else ""),
        echo_ms=_first(echo, "EffectiveEchoTime", "EchoTime"),
        repetition_ms=_number(timing, "RepetitionTime"),
        flip_degrees=_number(timing, "FlipAngle"),
        b_value=_number(group("MRDiffusionSequence"), "DiffusionBValue"),
    )


def _loss(header: Dataset, pixels: StoredPixels | None) -> Loss:
    has_ratio = header.get("LossyImageCompressionRatio") not in (None, "")
    transfer_syntax = None if pixels is None else pixels.transfer_syntax
    return loss_in(_words(header, "LossyImageCompression"), has_ratio, transfer_syntax)


def _laterality(header: Dataset, anatomy: Dataset) -> str:
    values = (anatomy.get("FrameLaterality"), header.get("ImageLaterality"), header.get("Laterality"))
    return next((value for value in values if value in ("L", "R", "B")), "")


def _acquisition_time(header: Dataset, content: Dataset) -> float | None:
    for group, keyword in ((content, "FrameAcquisitionDateTime"), (header, "AcquisitionDateTime")):
        if text := str(group.get(keyword) or ""):
            return _seconds(text[:8], text[8:])
    return _time(header, "AcquisitionDate", "AcquisitionTime")


def _time(header: Dataset, date_keyword: str, time_keyword: str) -> float | None:
    return _seconds(str(header.get(date_keyword) or ""), str(header.get(time_keyword) or ""))


def _seconds(day: str, time: str) -> float | None:
    """Turn DICOM `YYYYMMDD` (may be empty) and `HHMMSS.F` into seconds; None if there is no valid time."""
    digits = time.replace(":", "").split("+")[0].split("-")[0].strip()
    try:
        days = date(int(day[:4]), int(day[4:6]), int(day[6:8])).toordinal() if day else 0
        seconds = int(digits[:2]) * 3600 + int(digits[2:4] or 0) * 60 + float(digits[4:] or 0)
    except ValueError:
        return None
    return days * 86400 + seconds


def _first(group: Dataset, *keywords: str) -> float | None:
    return next((value for keyword in keywords if (value := _number(group, keyword)) is not None), None)


def _number(group: Dataset, keyword: str) -> float | None:
    try:
        value = float(group.get(keyword))
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _numbers(group: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    try:
        values = tuple(float(value) for value in group.get(keyword))
    except (TypeError, ValueError, OverflowError):
        return None
    return values if len(values) == count and all(map(math.isfinite, values)) else None


def _words(group: Dataset, keyword: str) -> tuple[str, ...]:
    value = group.get(keyword) or ()
    return (value.upper(),) if isinstance(value, str) else tuple(str(word).upper() for word in value)
