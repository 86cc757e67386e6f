"""A study on disk for timing: realistic in its sizes and headers, without anatomy."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

SYNTAXES = {
    "native": ExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg-lossless": JPEGLosslessSV1,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
}
PRIVATE_BYTES = 17_000
"""Scanners put their protocol into private elements; headers of 18 kB are usual."""


FIELD_OF_VIEW_MM = 358.4


@dataclass(frozen=True)
class StudyShape:
    """What a drawn study consists of: one series a phase, files of 16-bit pixels."""

    slices: int
    """A phase."""
    size: int
    """Rows and columns."""
    phases: int
    transfer_syntax: str
    """A key of `SYNTAXES`."""


def write_study(folder: Path, shape: StudyShape, seed: int = 0) -> None:
    """Write a study with file names that tell nothing.

    Another seed makes another study: UIDs, texture, glands and noise differ.
    """
    folder.mkdir(parents=True)
    slices, size, phases = shape.slices, shape.size, shape.phases
    rng = np.random.default_rng(seed)
    base, uptake = _body(rng, size), _uptake(rng, size)
    for phase in range(phases):
        for index in range(slices):
            noise = rng.integers(0, 60, (size, size), dtype=np.uint16)
            pixels = base + noise + np.uint16(phase) * uptake
            number = (phase * slices + index) * 7919 % (phases * slices)
            header = _header(seed, phase, index, size)
            _save(header, pixels, SYNTAXES[shape.transfer_syntax], folder / f"IM{number:06d}")


def _body(rng: np.random.Generator, size: int) -> npt.NDArray[np.uint16]:
    """Return two breasts in front of a chest with slow texture, so that compression has something to do."""
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    chest = ((rows - 0.7) / 0.6) ** 2 + (columns / 0.9) ** 2 < 1
    breasts = ((rows + 0.05) / 0.6) ** 2 + ((np.abs(columns) - 0.42) / 0.34) ** 2 < 1
    texture = sum(np.sin(rng.uniform(2, 9) * rows + rng.uniform(2, 9) * columns) for _ in range(6))
    return np.asarray(np.where(chest | breasts, 500 + 40 * texture, 20), dtype=np.uint16)


def _uptake(rng: np.random.Generator, size: int) -> npt.NDArray[np.uint16]:
    """Return what contrast adds from one phase to the next: much in two round glands, a little everywhere."""
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    glands = (rows + 0.2) ** 2 + (np.abs(columns) - 0.42) ** 2 < rng.uniform(0.03, 0.06)
    return np.where(glands, 300, 40).astype(np.uint16)


def _header(study: int, phase: int, index: int, size: int) -> Dataset:
    names, pixel_mm = ("bench", str(study)), FIELD_OF_VIEW_MM / size
    edge_mm = (pixel_mm - FIELD_OF_VIEW_MM) / 2
    header = Dataset()
    header.SOPClassUID = MRImageStorage
    header.SOPInstanceUID = generate_uid(entropy_srcs=[*names, str(phase), str(index)])
    header.StudyInstanceUID = generate_uid(entropy_srcs=[*names, "study"])
    header.SeriesInstanceUID = generate_uid(entropy_srcs=[*names, "series", str(phase)])
    header.FrameOfReferenceUID = generate_uid(entropy_srcs=[*names, "frame of reference"])
    header.Modality, header.BodyPartExamined, header.SeriesDescription = "MR", "BREAST", "AX T1 FS DYN"
    header.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    header.ScanningSequence, header.SequenceVariant, header.ScanOptions = "GR", "SP", "FS"
    header.EchoTime, header.RepetitionTime, header.FlipAngle = "1.8", "4.5", "10"
    header.SeriesNumber, header.InstanceNumber, header.AcquisitionNumber = phase + 3, index + 1, 1
    header.AcquisitionDate, header.AcquisitionTime = "20260101", f"{10 + phase}0000.00"
    header.ImagePositionPatient = [round(edge_mm, 6), round(edge_mm, 6), round(-140 + 1.8 * index, 3)]
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.PixelSpacing, header.SliceThickness = [round(pixel_mm, 6)] * 2, 1.8
    header.Rows = header.Columns = size
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
    block = header.private_block(0x0029, "FCDD BENCH", create=True)
    block.add_new(0x10, "OB", bytes(PRIVATE_BYTES))
    return header


def _save(header: Dataset, pixels: npt.NDArray[np.uint16], syntax: UID, path: Path) -> None:
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.PixelData = pixels.tobytes()
    header["PixelData"].VR = "OW"
    if syntax in {RLELossless, JPEGLSLossless, JPEG2000Lossless}:
        header.compress(syntax, generate_instance_uid=False)
    elif syntax != ExplicitVRLittleEndian:
        from imagecodecs import ljpeg_encode  # noqa: PLC0415 (a benchmark's own need)

        header.PixelData = encapsulate([bytes(ljpeg_encode(pixels, bitspersample=16))])
        header["PixelData"].is_undefined_length = True
        header.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    header.save_as(path, enforce_file_format=True)
