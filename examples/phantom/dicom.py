"""A drawn study -> classic single-frame MR Image Storage files, one a slice and phase, in one series."""

import uuid
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from phantom.draw import STEP_MM, Phantom

_START = datetime(2000, 1, 1, 9, 0, 0)
_NAMESPACE = uuid.UUID("8f3a5c1e-6d0b-5b57-9a44-2d7a1d1c0b6e")


def write_phantom(phantom: Phantom, folder: Path) -> list[Path]:
    """Write all phases as classic MR files and return their paths, slice by slice within each phase.

    The truth about the lesions is not written. The folder is made if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shared = _shared_entries(phantom)
    return [
        _write_slice(shared, phantom, phase, index, folder)
        for phase in range(len(phantom.volumes))
        for index in range(phantom.grid.shape[0])
    ]


def phantom_uid(seed: int, *what: str | int) -> UID:
    """Return a UID that follows from the seed and a name: a UUID under the root 2.25, as DICOM PS3.5 B.2 allows."""
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(map(str, (seed, *what)))).int}")


def _shared_entries(phantom: Phantom) -> Dataset:
    """Return what all files of the study have in common."""
    dataset = Dataset()
    _set_patient_and_study(dataset, phantom)
    _set_series(dataset, phantom)
    _set_equipment(dataset)
    _set_acquisition(dataset, phantom)
    _set_pixel_format(dataset, phantom)
    return dataset


def _set_patient_and_study(dataset: Dataset, phantom: Phantom) -> None:
    dataset.PatientName = f"Phantom^{phantom.seed:04d}"
    dataset.PatientID = f"PHANTOM-{phantom.seed:04d}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "F"
    dataset.PatientComments = "Drawn phantom, not a patient"
    dataset.StudyInstanceUID = phantom_uid(phantom.seed, "study")
    dataset.StudyDate = _START.strftime("%Y%m%d")
    dataset.StudyTime = _START.strftime("%H%M%S")
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = f"{phantom.seed % 10**16}"
    dataset.AccessionNumber = ""
    dataset.StudyDescription = "Drawn phantom breast DCE"


def _set_series(dataset: Dataset, phantom: Phantom) -> None:
    dataset.Modality = "MR"
    dataset.SeriesInstanceUID = phantom_uid(phantom.seed, "series")
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = "AX T1 FS DCE phantom"
    dataset.SeriesDate = dataset.StudyDate
    dataset.SeriesTime = dataset.StudyTime
    dataset.BodyPartExamined = "BREAST"
    dataset.ImageLaterality = "B"
    dataset.PatientPosition = "HFP"
    dataset.FrameOfReferenceUID = phantom_uid(phantom.seed, "frame of reference")
    dataset.PositionReferenceIndicator = ""


def _set_equipment(dataset: Dataset) -> None:
    dataset.Manufacturer = "fcdd-edge phantom"
    dataset.ManufacturerModelName = "drawn, no scanner"
    dataset.MagneticFieldStrength = 1.5


def _set_acquisition(dataset: Dataset, phantom: Phantom) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.ScanningSequence = "GR"
    dataset.SequenceVariant = "SP"
    dataset.ScanOptions = "FS"
    dataset.MRAcquisitionType = "3D"
    dataset.RepetitionTime = 5
    dataset.EchoTime = 2
    dataset.FlipAngle = 12
    dataset.EchoTrainLength = 1
    dataset.NumberOfTemporalPositions = len(phantom.volumes)
    dataset.ImagesInAcquisition = len(phantom.volumes) * phantom.grid.shape[0]
    dataset.SliceThickness = STEP_MM[0]
    dataset.SpacingBetweenSlices = STEP_MM[0]
    dataset.PixelSpacing = [STEP_MM[1], STEP_MM[2]]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImageComments = "Drawn phantom, no patient data, research use only"


def _set_pixel_format(dataset: Dataset, phantom: Phantom) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = phantom.grid.shape[1:]
    dataset.BitsAllocated = 16
    dataset.BitsStored = 12 if phantom.bare else 16
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 0
    brightest = max(int(volume.max()) for volume in phantom.volumes)
    dataset.WindowCenter, dataset.WindowWidth = max(brightest // 4, 1), max(brightest // 2, 1)


def _write_slice(shared: Dataset, phantom: Phantom, phase: int, index: int, folder: Path) -> Path:
    dataset = Dataset()
    dataset.update(shared)
    _set_time(dataset, phantom, phase)
    _set_place(dataset, phantom, phase, index)
    dataset.PixelData = _little_endian(phantom.volumes[phase][index])
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / f"phase{phase + 1}_slice{index + 1:03d}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def _set_time(dataset: Dataset, phantom: Phantom, phase: int) -> None:
    dataset.AcquisitionNumber = phase + 1
    if not phantom.bare:
        moment = _START + timedelta(seconds=phantom.times_s[phase])
        dataset.AcquisitionDate = dataset.ContentDate = moment.strftime("%Y%m%d")
        dataset.AcquisitionTime = dataset.ContentTime = moment.strftime("%H%M%S.%f")
        dataset.TemporalPositionIdentifier = phase + 1
    if phase:
        dataset.ContrastBolusAgent = "drawn contrast agent"


def _set_place(dataset: Dataset, phantom: Phantom, phase: int, index: int) -> None:
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = phantom_uid(phantom.seed, "image", phase, index)
    dataset.InstanceNumber = phase * phantom.grid.shape[0] + index + 1
    position = phantom.grid.patient_mm((index, 0, 0))
    dataset.ImagePositionPatient = [round(coordinate, 3) for coordinate in position]
    dataset.SliceLocation = round(position[2], 3)


def _little_endian(pixels: npt.NDArray[np.uint16]) -> bytes:
    return pixels.astype("<u2").tobytes()
