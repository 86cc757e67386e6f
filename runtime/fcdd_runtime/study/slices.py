"""A DICOM file's header -> the slices in it: geometry, what tells phases apart, and where the pixels are."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from fcdd_runtime.errors import StudyError
from fcdd_runtime.redaction import quoted
from fcdd_runtime.study import bounds, phase_attributes
from fcdd_runtime.study.header_values import PrivateTag, SliceHeader, number, numbers, value_in, words
from fcdd_runtime.study.lossy import Loss, loss_in
from fcdd_runtime.study.phase_attributes import PhaseAttribute, phase_values
from fcdd_runtime.study.pixels import StoredPixels, read_frame, stored_pixels
from fcdd_runtime.study.protocol import Protocol
from fcdd_runtime.volumes.volume import Pixels, SliceSource

PatientVector = tuple[float, float, float]
"""x, y and z: LPS, mm."""

_KEYWORDS = [
    *("TransferSyntaxUID", "MediaStorageSOPClassUID"),  # of the file meta information
    *("SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "Modality", "SeriesDescription"),
    *("BodyPartExamined", "ScanningSequence", "ScanOptions", "RepetitionTime", "EchoTime", "FlipAngle"),
    *("EchoPulseSequence", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber"),
    *("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "DiffusionBValue", "Laterality"),
    *("ImageLaterality", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns"),
    *("PixelSpacing", "BitsAllocated", "BitsStored", "PixelRepresentation", "RescaleIntercept", "RescaleSlope"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "NumberOfTemporalPositions", "ImagesInAcquisition"),
    *("ComplexImageComponent", "PixelPaddingValue", "PixelPaddingRangeLimit", "HighBit", "PatientPosition"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientName"),  # compared, and shown nowhere
]
"""All that is read of a header, apart from the phase attributes."""
_GE_COMPONENT = PrivateTag(0x0043, 0x2F, "GEMS_PARM_01")
"""GE's own number of what an image shows; its ImageType does not say it."""
_GE_COMPONENTS = {1.0: "PHASE", 2.0: "REAL", 3.0: "IMAGINARY"}
"""0 is magnitude."""


@dataclass(frozen=True)
class Plane:
    """Where a slice lies in patient space: LPS, mm."""

    origin_mm: PatientVector
    """Centre of pixel (0, 0)."""
    row_step_mm: PatientVector
    """From one row to the next."""
    column_step_mm: PatientVector
    """From one column to the next."""

    @cached_property
    def normal(self) -> PatientVector:
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
    """ImageType, or FrameType of a frame, and ComplexImageComponent where it is no magnitude."""
    loss: Loss
    """Whether its pixels lost something by compression."""
    protocol: Protocol
    frame_of_reference_uid: str
    """Empty if absent."""
    laterality: str
    """`L`, `R` or `B` from FrameLaterality, ImageLaterality or Laterality; empty if absent or unpaired."""
    phase_values: Mapping[str, float]
    """What tells phases apart, by `PhaseAttribute.name`: numbers, or times in s; without what is absent or invalid."""
    instance_number: float | None
    patient_position: str = ""
    """PatientPosition, such as `HFP`; empty if absent."""
    promised_phases: int | None = None
    """NumberOfTemporalPositions."""
    promised_images: int | None = None
    """ImagesInAcquisition."""
    copies: "tuple[Slice, ...]" = ()
    """The same slice in other files, of which one is read where this one turns out to be damaged."""

    @property
    def name(self) -> str:
        """Its file, for messages."""
        return f"file {quoted(self.path.name)}"

    def phase_value(self, attribute: PhaseAttribute) -> float | None:
        """Its value of an attribute that tells phases apart."""
        return self.phase_values.get(attribute.name)

    def name_of(self, attribute: PhaseAttribute) -> str:
        """What messages call an attribute, in the kind of file that the slice is from."""
        return attribute.name if self.source.frame_number is None else attribute.frame_name

    def read(self) -> Pixels:
        """Read the pixels: (rows, columns) in rescaled scanner units.

        Raises
        ------
        StudyError
            If they are damaged, or cannot be decoded.
        """
        if self.damage or self.pixels is None:
            raise StudyError(f"{self.name} {self.damage}; export the study again", "damaged")
        try:
            return read_frame(self.pixels, (self.source.frame_number or 1) - 1, self.slope, self.intercept)
        except StudyError:
            for copy in self.copies:
                with contextlib.suppress(StudyError):
                    return copy.read()
            raise


def header_elements() -> Mapping[int, str | int]:
    """Return all that is read of a header: tag -> keyword, or the tag itself where it is private.

    A private element lies in any of 240 blocks; those that say whose they are (gggg,0010) to (gggg,00FF) are read too.
    """
    return _header_elements(phase_attributes.TABLE)


@lru_cache(maxsize=4)
def _header_elements(table: tuple[PhaseAttribute, ...]) -> Mapping[int, str | int]:
    names = [*_KEYWORDS, _GE_COMPONENT, *(name for attribute in table for name in attribute.header_names)]
    elements: dict[int, str | int] = {}
    for name in names:
        if isinstance(name, str):
            elements[tag_for_keyword(name) or 0] = name
            continue
        for block in range(0x10, 0x100):
            creator, tag = name.group << 16 | block, name.group << 16 | block << 8 | name.element
            elements |= {creator: creator, tag: tag}
    return elements


def slices_in_file(path: Path, file: BinaryIO, header: Dataset) -> Iterator[Slice]:
    """Yield the slices of an MR file whose header has just been read, in frame order.

    Parameters
    ----------
    file : the file, positioned where reading the header stopped
    """
    pixels, damage = stored_pixels(path, file, header)
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if frames is None:
        yield _slice(path, SliceHeader(header), pixels, damage)
        return
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    if pixels is not None and pixels.frames != len(frames) and not damage:
        damage = f"declares {pixels.frames} frames and describes {len(frames)}"
    # A megabyte describes a hundred thousand frames, each of which would be looked at for a fifth of a millisecond.
    declared = bounds.FRAMES.highest if pixels is None else min(max(1, pixels.frames), bounds.FRAMES.highest)
    for frame_number, frame in enumerate(frames[: int(declared)], start=1):
        yield _slice(path, SliceHeader(header, frame_number, (frame, shared)), pixels, damage)


def _slice(path: Path, header: SliceHeader, pixels: StoredPixels | None, damage: str) -> Slice:
    file = header.file
    plane, misplaced = _plane(header, (1, 1) if pixels is None else (pixels.rows, pixels.columns))
    slope, intercept, rescale_damage = _rescale(header.group("PixelValueTransformationSequence"))
    sides = (
        header.group("FrameAnatomySequence").get("FrameLaterality"),
        file.get("ImageLaterality"),
        file.get("Laterality"),
    )
    return Slice(
        path=path,
        source=SliceSource(str(file.get("SOPInstanceUID", "")), header.frame_number),
        plane=plane,
        pixels=pixels,
        damage=damage or misplaced or rescale_damage,
        slope=slope,
        intercept=intercept,
        image_type=_image_type(header),
        loss=loss_in(
            words(file.get("LossyImageCompression")),
            file.get("LossyImageCompressionRatio") not in (None, ""),
            None if pixels is None else pixels.transfer_syntax,
        ),
        protocol=_protocol(header),
        frame_of_reference_uid=str(file.get("FrameOfReferenceUID") or ""),
        laterality=next((side for side in sides if side in ("L", "R", "B")), ""),
        phase_values=phase_values(header),
        instance_number=number(file.get("InstanceNumber")),
        patient_position=str(file.get("PatientPosition") or ""),
        promised_phases=_count(file.get("NumberOfTemporalPositions")),
        promised_images=_count(file.get("ImagesInAcquisition")),
    )


def _image_type(header: SliceHeader) -> tuple[str, ...]:
    frame = header.group("MRImageFrameTypeSequence")
    component = words(frame.get("ComplexImageComponent") or header.file.get("ComplexImageComponent"))
    component += words(_GE_COMPONENTS.get(number(value_in(header.file, _GE_COMPONENT)) or 0.0))
    parts = tuple(word for word in component if word in ("PHASE", "REAL", "IMAGINARY"))
    return (words(frame.get("FrameType")) or words(header.file.get("ImageType"))) + parts


def _count(value: Any) -> int | None:
    counted = number(value)
    return None if counted is None else int(counted)


def _rescale(group: Dataset) -> tuple[float, float, str]:
    """Return slope and intercept, 1 and 0 where they are absent or invalid, and the damage if they are invalid."""
    slope, intercept = (
        number(value) if (value := group.get(keyword)) not in (None, "") else default
        for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if slope is None or intercept is None:
        return slope or 1.0, intercept or 0.0, "has an invalid rescale slope or intercept"
    return (
        slope or 1.0,
        intercept,
        bounds.RESCALE_SLOPE.problem(abs(slope)) or bounds.RESCALE_INTERCEPT.problem(intercept),
    )


def _plane(header: SliceHeader, matrix: tuple[int, int]) -> tuple[Plane | None, str]:
    """Return where a slice lies, None if that is not said, and what is wrong with numbers that no scanner makes."""
    origin = numbers(header.group("PlanePositionSequence").get("ImagePositionPatient"), 3)
    cosines = numbers(header.group("PlaneOrientationSequence").get("ImageOrientationPatient"), 6)
    spacing = numbers(header.group("PixelMeasuresSequence").get("PixelSpacing"), 2)
    if origin is None or cosines is None or spacing is None:
        return None, ""
    field_of_view = (length * count for length, count in zip(spacing, matrix, strict=True))
    if problem := (
        bounds.PIXEL_SPACING.problem(*spacing)
        or bounds.POSITION.problem(*origin)
        or bounds.FIELD_OF_VIEW.problem(*field_of_view)
    ):
        return None, problem
    # Plain numbers: this runs once a file, and arrays of three cost more than they help.
    (x, y, z), (a, b, c, d, e, f) = origin, cosines
    along_row, down_column = math.hypot(a, b, c), math.hypot(d, e, f)
    if abs(along_row - 1) > 0.01 or abs(down_column - 1) > 0.01 or abs(a * d + b * e + c * f) > 0.01:
        return None, ""
    row_mm, column_mm = spacing
    plane = Plane(
        origin_mm=(x, y, z),
        row_step_mm=(d / down_column * row_mm, e / down_column * row_mm, f / down_column * row_mm),
        column_step_mm=(a / along_row * column_mm, b / along_row * column_mm, c / along_row * column_mm),
    )
    return plane, ""


def _protocol(header: SliceHeader) -> Protocol:
    file = header.file
    timing, echo = header.group("MRTimingAndRelatedParametersSequence"), header.group("MREchoSequence")
    suppression = str(header.group("MRModifierSequence").get("SpectrallySelectedSuppression", ""))
    effective = number(echo.get("EffectiveEchoTime"))
    return Protocol(
        sequence=frozenset(words(file.get("ScanningSequence")) or words(file.get("EchoPulseSequence"))),
        fat_suppression=suppression or ("FS" if "FS" in words(file.get("ScanOptions")) else ""),
        echo_ms=number(echo.get("EchoTime")) if effective is None else effective,
        repetition_ms=number(timing.get("RepetitionTime")),
        flip_degrees=number(timing.get("FlipAngle")),
        b_value=number(header.group("MRDiffusionSequence").get("DiffusionBValue")),
    )
