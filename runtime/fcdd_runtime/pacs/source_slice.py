"""What a DICOM result takes over from the study that it was made of: identity, and the slice that holds a peak."""

from dataclasses import dataclass

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from fcdd_runtime.errors import StudyError
from fcdd_runtime.result import Peak
from fcdd_runtime.study.read import Study
from fcdd_runtime.study.slices import Plane
from fcdd_runtime.volumes.volume import SliceSource

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
    """SliceThickness, or where the source has none the smaller pixel side."""
    frame_of_reference_uid: str
    """Empty if absent."""
    position_reference: str
    """PositionReferenceIndicator; empty if absent."""
    loss: Dataset
    """What the source says of lossy compression, for images made of it; empty where there was none."""

    def instance_reference(self) -> Dataset:
        """Return a new item that refers to the slice's object: SOP Class and SOP Instance."""
        item = Dataset()
        item.ReferencedSOPClassUID = self.sop_class_uid
        item.ReferencedSOPInstanceUID = self.source.sop_instance_uid
        return item

    def image_reference(self) -> Dataset:
        """Return a new item that refers to the slice: its object and, if that is multi-frame, its frame."""
        item = self.instance_reference()
        if self.source.frame_number is not None:
            item.ReferencedFrameNumber = self.source.frame_number
        return item


def read_source_slice(peak: Peak, study: Study) -> SourceSlice:
    """Read the header of a peak's slice again, since scoring keeps no patient identity.

    Raises
    ------
    StudyError
        If the slice is not in the study, has no position, or its file can no longer be read.
    """
    source = SliceSource(peak.sop_instance_uid, peak.frame_number)
    holders = [
        (series, image_slice)
        for series in study.series
        for image_slice in series.slices
        if image_slice.source == source
    ]
    if not holders:
        raise StudyError(
            "the slice that holds the peak is not in the study; score the study that is written", "no-source"
        )
    series, image_slice = holders[0]
    plane = image_slice.plane
    if plane is None:
        raise StudyError("the slice that holds the peak has no position; export the study again", "no-source")
    keywords = [*IDENTITY_KEYWORDS, *_WHERE_PRESENT, *_LOSS, *_REFERENCE]
    try:
        header = dcmread(image_slice.path, stop_before_pixels=True, specific_tags=keywords)
    except OSError as error:
        raise StudyError(
            f"{image_slice.name} can no longer be read ({error.strerror}); score the study again", "no-source"
        ) from error
    try:
        thickness_mm = float(header.SliceThickness)
    except (AttributeError, TypeError, ValueError):
        thickness_mm = 0.0
    pixel_mm = float(min(map(np.linalg.norm, (plane.row_step_mm, plane.column_step_mm))))
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
        thickness_mm=thickness_mm if thickness_mm > 0 else pixel_mm,
        frame_of_reference_uid=image_slice.frame_of_reference_uid,
        position_reference=position_reference if len(position_reference) <= _MAX_LONG_STRING else "",
        loss=loss,
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
