"""A study on disk for timing: realistic in its sizes and headers, without anatomy."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
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


def write_study(folder: Path, slices: int, size: int, phases: int, syntax: str) -> None:
    """Write `phases` series of `slices` files of `size` x `size` 16-bit pixels with file names that tell nothing."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    base, uptake = _smooth(rng, size), _uptake(size)
    for phase in range(phases):
        for index in range(slices):
            noise = rng.integers(0, 60, (size, size), dtype=np.uint16)
            pixels = base + noise + np.uint16(phase) * uptake
            number = (phase * slices + index) * 7919 % (phases * slices)
            _save(_header(phase, index, size), pixels, SYNTAXES[syntax], folder / f"IM{number:06d}")


def _smooth(rng: np.random.Generator, size: int) -> npt.NDArray[np.uint16]:
    """Return a bright ellipse with slow texture, so that compression has something to do."""
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    inside = rows**2 + (columns / 0.8) ** 2 < 1
    texture = sum(np.sin(rng.uniform(2, 9) * rows + rng.uniform(2, 9) * columns) for _ in range(6))
    return np.asarray(np.where(inside, 500 + 40 * texture, 20), dtype=np.uint16)


def _uptake(size: int) -> npt.NDArray[np.uint16]:
    """Return what contrast adds from one phase to the next: much in two round glands, a little everywhere."""
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    glands = (rows + 0.3) ** 2 + (np.abs(columns) - 0.35) ** 2 < 0.05
    return np.where(glands, 300, 40).astype(np.uint16)


def _header(phase: int, index: int, size: int) -> Dataset:
    header = Dataset()
    header.SOPClassUID = MRImageStorage
    header.SOPInstanceUID = generate_uid(entropy_srcs=["bench", str(phase), str(index)])
    header.StudyInstanceUID = generate_uid(entropy_srcs=["bench study"])
    header.SeriesInstanceUID = generate_uid(entropy_srcs=["bench series", str(phase)])
    header.FrameOfReferenceUID = generate_uid(entropy_srcs=["bench frame of reference"])
    header.Modality, header.BodyPartExamined, header.SeriesDescription = "MR", "BREAST", "AX T1 FS DYN"
    header.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    header.ScanningSequence, header.SequenceVariant, header.ScanOptions = "GR", "SP", "FS"
    header.EchoTime, header.RepetitionTime, header.FlipAngle = "1.8", "4.5", "10"
    header.SeriesNumber, header.InstanceNumber, header.AcquisitionNumber = phase + 3, index + 1, 1
    header.AcquisitionDate, header.AcquisitionTime = "20260101", f"{10 + phase}0000.00"
    header.ImagePositionPatient = [-180, -180, round(-140 + 1.8 * index, 3)]
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.PixelSpacing, header.SliceThickness = [0.8, 0.8], 1.8
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
        _compress_lossless_jpeg(header, pixels)
    header.save_as(path, enforce_file_format=True)


def _compress_lossless_jpeg(header: Dataset, pixels: npt.NDArray[np.uint16]) -> None:
    from imagecodecs import ljpeg_encode  # noqa: PLC0415 (a benchmark's own need)
    from pydicom.encaps import encapsulate  # noqa: PLC0415

    header.PixelData = encapsulate([bytes(ljpeg_encode(pixels, bitspersample=16))])
    header["PixelData"].is_undefined_length = True
    header.file_meta.TransferSyntaxUID = JPEGLosslessSV1
