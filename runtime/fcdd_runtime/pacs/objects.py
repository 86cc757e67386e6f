"""What all DICOM results of a study have in common: UIDs, time, equipment, and the patient and study they belong to."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import highdicom
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    Comprehensive3DSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    MRImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    generate_uid,
)

from fcdd_runtime.pacs.source_slice import IDENTITY_KEYWORDS, SourceSlice, unit
from fcdd_runtime.report.colormap import Look
from fcdd_runtime.report.write import inputs_sha256
from fcdd_runtime.result import CHOSEN_BY_HAND, BreastResult, StudyResult
from fcdd_runtime.software import INTENDED_USE, NAME, software_version

NOT_FOR_DIAGNOSIS = "Not for diagnostic use"
USE_STATEMENT = f"{NOT_FOR_DIAGNOSIS}. {INTENDED_USE}"
SIDE_CODES = {"L": codes.SCT.Left, "R": codes.SCT.Right}
SCHEME = "99FCDDEDGE"
"""Designator of our own codes."""
_CHARACTER_SET = "ISO_IR 192"
"""UTF-8 holds every name that another character set holds."""


Series = Mapping[str, Any]
"""What highdicom's constructors ask about series, instance, equipment and time; see `ResultObjects.series`."""


@dataclass(frozen=True)
class _KindSeries:
    """What the objects of one kind are called."""

    sop_class_uid: str
    number: int
    """Series Number; of left breasts one more."""
    description: str
    """Of the series, at most 20 characters; `series` adds side, state and purpose."""
    coloured: bool = False
    """Whether it states colours."""


KIND_SERIES = {
    "sr": _KindSeries(Comprehensive3DSRStorage, 9301, "breast report"),
    "overlay": _KindSeries(SecondaryCaptureImageStorage, 9311, "overlay", coloured=True),
    "map": _KindSeries(ParametricMapStorage, 9321, "heatmap"),
    "region": _KindSeries(SegmentationStorage, 9331, "response region"),
    "slices": _KindSeries(MultiFrameTrueColorSecondaryCaptureImageStorage, 9341, "key slices", coloured=True),
    "mark": _KindSeries(GrayscaleSoftcopyPresentationStateStorage, 9351, "peak"),
}
"""By kind of object, a key of `pacs.KINDS`."""


@dataclass(frozen=True)
class ResultObjects:
    """Makes what the DICOM objects of one result share."""

    result: StudyResult
    created: datetime
    """When the objects were made."""
    sources: Mapping[str, SourceSlice]
    """Of each breast, by laterality: patient, study, and the slices that objects point to."""
    look: Look
    """Colours of the pictures."""

    def uid(self, what: str, breast: BreastResult | None = None, also: Sequence[str] = ()) -> str:
        """Return a UID that follows from all that an object states, and from nothing else.

        So the same result has the same objects, whenever they are made and whatever else lies in the study's folder;
        another score, state, reason, model, release, patient or choice by hand gives others.

        Parameters
        ----------
        what : names the object, and which of its UIDs is asked for
        breast : the one that it is about; None where it is about all
        also : what else it states: colours, other objects
        """
        breasts = self.result.breasts if breast is None else (breast,)
        stated = [what, self._stated_by_all, [self._stated_of(each) for each in breasts], *also]
        return str(generate_uid(entropy_srcs=[json.dumps(stated)]))

    @cached_property
    def _stated_by_all(self) -> list[object]:
        result = self.result
        return [
            inputs_sha256(result),
            result.contract.sha256,
            [[finding.code, finding.sentence] for finding in result.review],
            result.phases.method == CHOSEN_BY_HAND,
            software_version(),
            # The library names itself in the object.
            highdicom.__version__,
        ]

    def _stated_of(self, breast: BreastResult) -> list[object]:
        """List what objects of a breast state: its result, and what they take over from the headers of its source."""
        peak, source = breast.peak, self.sources[breast.laterality]
        peak_slice = source.volume[source.index]
        return [
            breast.laterality,
            float(breast.score),
            None if breast.flagged is None else bool(breast.flagged),
            [peak.sop_instance_uid, peak.frame_number, [float(value) for value in peak.patient_mm]],
            breast.reference,
            hashlib.sha256(np.ascontiguousarray(breast.anomaly_map).tobytes()).hexdigest(),
            [source.identity.to_json(), source.loss.to_json()],
            [source.sop_class_uid, source.series_instance_uid, source.frame_of_reference_uid],
            [source.position_reference, source.thickness_mm, peak_slice.slope, peak_slice.intercept],
            [str(each.plane) for each in source.volume],
        ]

    @property
    def model_name(self) -> str:
        """Name of the model, as a DICOM string holds it."""
        return plain_text(self.result.contract.name)[:64] or "unnamed"

    @cached_property
    def device_uid(self) -> str:
        """UID of the algorithm as a device: the artefact in this release."""
        contract = self.result.contract
        return str(generate_uid(entropy_srcs=[NAME, software_version(), contract.artefact_sha256]))

    @cached_property
    def _equipment(self) -> highdicom.ContributingEquipment:
        equipment = highdicom.ContributingEquipment(
            manufacturer=NAME,
            purpose_of_reference=codes.DCM.ProcessingEquipment,
            manufacturer_model_name=self.model_name,
            software_versions=software_version(),
            device_serial_number=self.result.contract.artefact_sha256[:16],
            contribution_description=f"Anomaly scores and heatmaps. {USE_STATEMENT}",
        )
        equipment.DeviceUID = self.device_uid
        return equipment

    def series(self, kind: str, breast: BreastResult | None = None, also: Sequence[str] = ()) -> Series:
        """Return what highdicom's constructors ask about series, instance, equipment and time.

        Parameters
        ----------
        kind : a key of `KIND_SERIES`; an object is the only one in its series
        breast : the one that it is about; None where it is about all
        also : UIDs of other objects that it refers to
        """
        named, side = KIND_SERIES[kind], "" if breast is None else f" {breast.laterality}"
        number = named.number + (side == " L")
        review = ", REVIEW" if self.result.review else ""
        stated = [self.look.colormap, self.look.scale] if named.coloured else also
        model_name = self.model_name
        serial_number = self.result.contract.artefact_sha256[:16]
        return {
            "series_instance_uid": self.uid(f"series {kind}", breast, stated),
            "series_number": number,
            "series_description": f"FCDD{side} {named.description}{review} ({NOT_FOR_DIAGNOSIS.lower()})",
            "sop_instance_uid": self.uid(f"instance {kind}", breast, stated),
            "instance_number": 1,
            "manufacturer": NAME,
            "manufacturer_model_name": model_name,
            "software_versions": software_version(),
            "device_serial_number": serial_number,
            "content_date": self.created.date(),
            "content_time": self.created.time(),
            "specific_character_set": _CHARACTER_SET,
            "contributing_equipment": [self._equipment],
        }

    def finish(self, dataset: Dataset, source: SourceSlice) -> None:
        """Put in patient and study as the source has them, and the time at which the object was made.

        Identity is set last, past highdicom, which repeats names that it finds odd in warnings.
        """
        dataset.update(source.identity)
        dataset.InstanceCreationDate = self.created.strftime("%Y%m%d")
        dataset.InstanceCreationTime = self.created.strftime("%H%M%S")
        for equipment in dataset.ContributingEquipmentSequence:
            equipment.ContributionDateTime = self.created.strftime("%Y%m%d%H%M%S")


def plain_text(text: str) -> str:
    """Return a text without what has a meaning of its own in DICOM strings: backslash and control characters."""
    return "".join(letter if letter.isprintable() and letter != "\\" else "_" for letter in text)


def stand_in(source: SourceSlice) -> Dataset:
    """Return what highdicom is given in place of the source: its UIDs, and an empty identity."""
    dataset = Dataset()
    for keyword in IDENTITY_KEYWORDS:
        setattr(dataset, keyword, None if keyword.endswith(("Date", "Time")) else "")
    dataset.StudyInstanceUID = source.identity.StudyInstanceUID
    dataset.SeriesInstanceUID = source.series_instance_uid
    dataset.SOPClassUID = source.sop_class_uid
    dataset.SOPInstanceUID = source.source.sop_instance_uid
    return dataset


def single_frames(source: SourceSlice, shape: tuple[int, ...], indices: Sequence[int]) -> list[Dataset]:
    """Describe slices as single-frame images, which is all that highdicom needs to know of frames too.

    Their UIDs are `2.25.` and their places in `source.volume`; `set_source` replaces them.

    Parameters
    ----------
    shape : rows and columns
    """
    first = source.volume[0].plane
    assert first is not None  # as `read_source_slice` has checked
    common = stand_in(source)
    # What differs must not be there yet: pydicom would change the value that all share.
    del common.SOPInstanceUID
    common.SOPClassUID, common.Modality = MRImageStorage, "MR"
    common.Rows, common.Columns = shape
    common.FrameOfReferenceUID = source.frame_of_reference_uid
    common.PositionReferenceIndicator = source.position_reference
    common.PixelSpacing = list(source.pixel_mm)
    common.ImageOrientationPatient = [*unit(first.column_step_mm), *unit(first.row_step_mm)]
    common.SliceThickness = source.thickness_mm
    images = []
    for index in indices:
        plane, image = source.volume[index].plane, Dataset()
        assert plane is not None
        image.update(common)
        image.SOPInstanceUID = f"2.25.{index}"
        image.ImagePositionPatient = list(plane.origin_mm)
        images.append(image)
    return images


def reference(kind: str, series: Series, source: SourceSlice) -> Dataset:
    """Return what highdicom is given in place of another object of the same result.

    Parameters
    ----------
    series : its `ResultObjects.series`
    """
    dataset = stand_in(source)
    dataset.SOPClassUID = KIND_SERIES[kind].sop_class_uid
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = series["sop_instance_uid"], series["series_instance_uid"]
    return dataset


def set_source(dataset: Dataset, source: SourceSlice, indices: Sequence[int] = ()) -> None:
    """Refer to slices, by default the one that holds the peak, as source images and in the list of series.

    Parameters
    ----------
    indices : places in `source.volume`
    """
    named = list(indices) or [source.index]
    items = source.images(named)
    for item in items:
        item.PurposeOfReferenceCodeSequence = [
            highdicom.sr.CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
        ]
    dataset.SourceImageSequence = items
    series = Dataset()
    series.SeriesInstanceUID = source.series_instance_uid
    series.ReferencedInstanceSequence = source.instances(named)
    dataset.ReferencedSeriesSequence = [series]
