"""What a DICOM result takes over from the study that it was made of: identity, and the slices that it points to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import MRImageStorage

from fcdd_runtime.errors import StudyError
from fcdd_runtime.result import BreastResult
from fcdd_runtime.study.read import Study
from fcdd_runtime.study.slices import Plane, Slice
from fcdd_runtime.volumes.volume import SliceSource

Vector = npt.NDArray[np.float64]

IDENTITY_KEYWORDS = [
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime"),
    *("ReferringPhysicianName", "StudyID", "AccessionNumber"),
]
"""Patient and General Study attributes of Type 1 and 2 (PS3.3 C.7.1.1, C.7.2.1): empty where the source lacks them."""
_WHERE_PRESENT = [
    *("IssuerOfPatientID", "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    *("StudyDescription", "IssuerOfAccessionNumberSequence"),
]
_METHODS = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")
_UNSTATED_METHOD = "not stated by the source images"
"""PS3.3 C.7.1.1 requires one of the methods where PatientIdentityRemoved is YES. Leaving out that attribute, which is
optional, would be valid too, but hide that the identity is not the patient's."""
_SHOWN_QUANTILES = 0.005, 0.998
"""Of a slice's values: what is darker is black, what is brighter white."""
_MAX_LONG_STRING = 64
"""Characters of a value of VR LO (PS3.5 6.2)."""
_LOSS = ["LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"]
"""What stays true of everything computed from pixels that were once compressed with loss (PS3.3 C.7.6.1.1.5)."""
_REFERENCE = ["SpecificCharacterSet", "SOPClassUID", "PositionReferenceIndicator", "SliceThickness"]


@dataclass(frozen=True)
class SourceSlice:
    """The post-contrast slice that holds a peak, and whose study and patient it belongs to."""

    identity: Dataset
    """Patient and study attributes; those that every object must have are there, empty where the source has none."""
    sop_class_uid: str
    series_instance_uid: str
    source: SliceSource
    plane: Plane
    thickness_mm: float
    """SliceThickness, or where the source has none the distance of its slices."""
    frame_of_reference_uid: str
    """Empty if absent."""
    position_reference: str
    """PositionReferenceIndicator; empty if absent."""
    loss: Dataset
    """What the source says of lossy compression, for images made of it; empty where there was none."""
    index: int
    """Its place among `volume`, from 0."""
    volume: tuple[Slice, ...]
    """The slices of the post-contrast volume, in its order; all have a plane and are of one series."""
    ambiguous: bool
    """Whether several slices of the study share a SOP Instance UID with one of these, so that it names none of them."""

    @cached_property
    def pixel_mm(self) -> tuple[float, float]:
        """Distance of neighbouring rows and of neighbouring columns of a slice, mm."""
        rows, columns = (float(np.linalg.norm(step)) for step in (self.plane.row_step_mm, self.plane.column_step_mm))
        return rows, columns

    @property
    def orientation(self) -> tuple[str, str]:
        """Where columns and rows run to, nearest: such as `L` and `P` (Patient Orientation)."""
        letters = []
        for step in (self.plane.column_step_mm, self.plane.row_step_mm):
            axis = int(np.argmax(np.abs(step)))
            letters.append(("LR", "PA", "HF")[axis][step[axis] < 0])
        return letters[0], letters[1]

    @cached_property
    def window(self) -> tuple[float, float]:
        """Values that are shown black and white, of the peak's slice, rescaled scanner units.

        The source's own window is not taken: it is often made for another phase, or for nothing.

        Raises
        ------
        StudyError
            If the slice can no longer be read.
        """
        black, white = np.quantile(self.volume[self.index].read(), _SHOWN_QUANTILES)
        return float(black), float(white if white > black else black + 1)

    def grey(self, index: int) -> npt.NDArray[np.uint8]:
        """Return a slice of the volume in the window of the peak's: uint8 (rows, columns), 0 black to 255 white.

        Raises
        ------
        StudyError
            If the slice can no longer be read.
        """
        black, white = self.window
        scaled = (np.asarray(self.volume[index].read(), dtype=np.float32) - black) * (255 / (white - black))
        return np.clip(scaled + 0.5, 0, 255).astype(np.uint8)

    def peak_pixel(self, breast: BreastResult) -> tuple[float, float]:
        """Return where the peak's voxel lies on its slice: row and column of its centre, the first one's being 0.5."""
        _, row, column = breast.voxels[breast.peak.image_pixel]
        return float(row) + 0.5, float(column) + 0.5

    def images(self, indices: Sequence[int]) -> list[Dataset]:
        """Return new items that refer to slices of the volume: their objects and, if multi-frame, their frames."""
        items = []
        for index in indices:
            source, item = self.volume[index].source, Dataset()
            # By tag, which is three times faster than by name.
            item.add_new(0x00081150, "UI", self.sop_class_uid)  # ReferencedSOPClassUID
            item.add_new(0x00081155, "UI", source.sop_instance_uid)  # ReferencedSOPInstanceUID
            if source.frame_number is not None:
                item.add_new(0x00081160, "IS", source.frame_number)  # ReferencedFrameNumber
            items.append(item)
        return items

    def instances(self, indices: Sequence[int]) -> list[Dataset]:
        """Return new items that refer to the objects that hold these slices, each once."""
        first = {self.volume[index].source.sop_instance_uid: index for index in reversed(indices)}
        items = self.images(sorted(first.values()))
        for item in items:
            item.pop("ReferencedFrameNumber", None)
        return items


def unit(vector: tuple[float, float, float]) -> Vector:
    """Return a vector of length 1 with the same direction."""
    array = np.array(vector)
    return np.asarray(array / np.linalg.norm(array))


def read_source_slice(breast: BreastResult, study: Study) -> SourceSlice:
    """Find a breast's slices in the study, and read the header of its peak's again: scoring keeps no identity.

    Raises
    ------
    StudyError
        If a slice is not in the study, has no position, or its file can no longer be read.
    """
    source = SliceSource(breast.peak.sop_instance_uid, breast.peak.frame_number)
    wanted = set(breast.slices)
    held = [
        (image_slice.source, (series, image_slice))
        for series in reversed(study.series)
        for image_slice in reversed(series.slices)
        if image_slice.source in wanted
    ]
    found = dict(held)
    if source not in found or len(found) < len(wanted):
        raise StudyError(
            "a slice that the result refers to is not in the study; score the study that is written", "no-source"
        )
    series, image_slice = found[source]
    volume = tuple(found[each][1] for each in breast.slices)
    plane = image_slice.plane
    if plane is None or any(each.plane is None for each in volume):
        raise StudyError("a slice that the result refers to has no position; export the study again", "no-source")
    keywords = [*IDENTITY_KEYWORDS, *_WHERE_PRESENT, *_LOSS, *_REFERENCE]
    try:
        header = dcmread(image_slice.path, stop_before_pixels=True, specific_tags=keywords)
    except (OSError, InvalidDicomError, EOFError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no DICOM file any more"
        raise StudyError(
            f"{image_slice.name} can no longer be read ({why}); score the study again", "no-source"
        ) from error
    try:
        thickness_mm = float(header.SliceThickness)
    except (AttributeError, TypeError, ValueError):
        thickness_mm = 0.0
    if not 0 < thickness_mm < math.inf:
        # Where it is absent, as on top of multi-frame objects, the slices' distance stands for it.
        planes = [each.plane.origin_mm for each in volume[:2] if each.plane is not None]
        apart = abs(float(np.dot(np.subtract(planes[0], planes[-1]), plane.normal)))
        thickness_mm = apart or float(min(map(np.linalg.norm, (plane.row_step_mm, plane.column_step_mm))))
    position_reference = str(header.get("PositionReferenceIndicator") or "")
    loss = Dataset()
    if image_slice.loss == "known":
        # Said also where only the transfer syntax tells of it; `00` is not repeated.
        loss = _present(header, _LOSS)
        loss.LossyImageCompression = "01"
    return SourceSlice(
        identity=_identity(header),
        sop_class_uid=str(header.get("SOPClassUID") or MRImageStorage),
        series_instance_uid=series.series_instance_uid,
        source=source,
        plane=plane,
        thickness_mm=thickness_mm,
        frame_of_reference_uid=image_slice.frame_of_reference_uid,
        position_reference=position_reference if len(position_reference) <= _MAX_LONG_STRING else "",
        loss=loss,
        index=breast.slices.index(source),
        volume=volume,
        ambiguous=len(held) > len(found) or len(wanted) < len(volume),
    )


def _identity(header: Dataset) -> Dataset:
    """Copy values as they are; names and texts are decoded, since they are written in another character set."""
    header.decode()
    identity = _present(header, [*IDENTITY_KEYWORDS, *_WHERE_PRESENT])
    for keyword in _WHERE_PRESENT:
        if keyword in identity and identity[keyword].VR == "LO":
            element = identity[keyword]
            texts = element.value if element.VM > 1 else [element.value]
            # A longer one would make the whole object invalid.
            if any(len(str(text)) > _MAX_LONG_STRING for text in texts):
                del identity[keyword]
    if identity.get("PatientIdentityRemoved") == "YES" and not any(method in identity for method in _METHODS):
        identity.DeidentificationMethod = _UNSTATED_METHOD
    for keyword in IDENTITY_KEYWORDS:
        if keyword not in identity:
            setattr(identity, keyword, "")
    return identity


def _present(header: Dataset, keywords: list[str]) -> Dataset:
    copy = Dataset()
    for keyword in keywords:
        if header.get(keyword) not in (None, "", []):
            copy.add(header[keyword])
    return copy
