"""What all DICOM results of a study have in common: UIDs, time, equipment, and the patient and study they belong to."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import highdicom
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from fcdd_runtime.pacs.source_slice import IDENTITY_KEYWORDS, SourceSlice
from fcdd_runtime.report.write import result_json
from fcdd_runtime.result import StudyResult
from fcdd_runtime.software import INTENDED_USE, NAME, software_version

NOT_FOR_DIAGNOSIS = "Not for diagnostic use"
USE_STATEMENT = f"{NOT_FOR_DIAGNOSIS}. {INTENDED_USE}"
_CHARACTER_SET = "ISO_IR 192"
"""UTF-8 holds every name that another character set holds."""


@dataclass(frozen=True)
class ResultObjects:
    """Makes what the DICOM objects of one result share."""

    result: StudyResult
    created: datetime
    """When the objects were made."""

    def uid(self, *what: str) -> str:
        """Return a UID that follows from the study, everything in its result.json, and what it names.

        The same result gives the same objects; another score, model or release gives others.
        """
        return str(generate_uid(entropy_srcs=[self._fingerprint, *what]))

    @cached_property
    def device_uid(self) -> str:
        """UID of the algorithm as a device: the artefact in this release."""
        contract = self.result.contract
        return str(generate_uid(entropy_srcs=[NAME, software_version(), contract.artefact_sha256]))

    def series(self, kind: str, number: int, description: str) -> dict[str, Any]:
        """Return what highdicom's constructors ask about series, instance, equipment and time.

        Parameters
        ----------
        kind : what tells this object from the others of the result; each is the only one in its series
        number : Series Number
        description : what the object is, at most 38 characters
        """
        model_name = self.result.contract.name[:64]
        serial_number = self.result.contract.artefact_sha256[:16]
        equipment = highdicom.ContributingEquipment(
            manufacturer=NAME,
            purpose_of_reference=codes.DCM.ProcessingEquipment,
            manufacturer_model_name=model_name,
            software_versions=software_version(),
            device_serial_number=serial_number,
            contribution_description=f"Anomaly scores and heatmaps. {USE_STATEMENT}",
        )
        equipment.DeviceUID = self.device_uid
        return {
            "series_instance_uid": self.uid("series", kind),
            "series_number": number,
            "series_description": f"{description} ({NOT_FOR_DIAGNOSIS.lower()})",
            "sop_instance_uid": self.uid("instance", kind),
            "instance_number": 1,
            "manufacturer": NAME,
            "manufacturer_model_name": model_name,
            "software_versions": software_version(),
            "device_serial_number": serial_number,
            "content_date": self.created.date(),
            "content_time": self.created.time(),
            "specific_character_set": _CHARACTER_SET,
            "contributing_equipment": [equipment],
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

    @cached_property
    def _fingerprint(self) -> str:
        return hashlib.sha256(result_json(self.result).encode()).hexdigest()


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


def set_source(dataset: Dataset, source: SourceSlice) -> None:
    """Refer to the slice that holds the peak, as source image and in the list of referenced series."""
    item = source.image_reference()
    item.PurposeOfReferenceCodeSequence = [
        highdicom.sr.CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
    ]
    series = Dataset()
    series.SeriesInstanceUID = source.series_instance_uid
    series.ReferencedInstanceSequence = [source.instance_reference()]
    dataset.SourceImageSequence = [item]
    dataset.ReferencedSeriesSequence = [series]
