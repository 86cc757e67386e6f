"""MockStudy: DICOM files of a dynamic study whose voxels are known, in the manners of different scanners."""

import hashlib
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, RLELossless, generate_uid

from fcdd_runtime.study.read import Study, read_studies

Voxels = npt.NDArray[np.int32]

_BODY, _AIR = 200, 4


@dataclass(frozen=True)
class Phantom:
    """A torso with two breasts and one bright voxel, in patient axes."""

    voxels: Voxels
    """(phases, z foot to head, y front to back, x right to left)."""
    spacing_mm: tuple[float, float, float]
    """Of z, y and x."""
    first_voxel_mm: tuple[float, float, float]
    """Patient x, y, z of voxel (0, 0, 0)."""
    bright: tuple[int, int, int]
    """z, y, x index of the voxel that enhances most, in the left breast."""
    sternum_x_mm: float
    """Patient x of the midline."""
    sternum_y_mm: float
    """Patient y of the skin over the sternum."""

    @property
    def bright_mm(self) -> tuple[float, float, float]:
        """Patient x, y, z of the bright voxel."""
        (z, y, x), (dz, dy, dx) = self.bright, self.spacing_mm
        return self.first_voxel_mm[0] + x * dx, self.first_voxel_mm[1] + y * dy, self.first_voxel_mm[2] + z * dz


def breast_phantom(phases: int = 3, seed: int = 0) -> Phantom:
    """Draw two breasts of 60 mm height whose sternum lies 6 mm to the left of the image's centre."""
    shape, spacing = (10, 64, 96), (4.0, 2.5, 2.5)
    y, x = np.arange(shape[1]) * spacing[1], np.arange(shape[2]) * spacing[2]
    centre, skin = (shape[2] - 1) / 2 * spacing[2] + 6, 90.0
    front = skin - 60 * sum(np.sqrt(np.clip(1 - ((x - centre - side) / 45) ** 2, 0, None)) for side in (-55, 55))
    body = np.broadcast_to(y[:, None] >= front, shape)
    random = np.random.default_rng(seed)
    pre = np.where(body, _BODY, _AIR) + random.integers(0, 4, shape)
    # Heart and great vessels fill the back of the chest, brighter than fat and muscle before it.
    heart = np.where(y[:, None] >= 140, 90, 0)
    enhancement = np.where(body, random.integers(0, 12, shape) + heart, 0)
    bright = (6, 22, 70)
    enhancement[bright] = 400
    voxels = np.stack([pre + enhancement * (phase > 0) * (10 + phase) // 10 for phase in range(phases)]).astype(
        np.int32
    )
    first = (-100.0, -80.0, -30.0)
    return Phantom(voxels.astype(np.int32), spacing, first, bright, first[0] + centre, first[1] + skin)


def cropped(phantom: Phantom, first: int, end: int) -> Phantom:
    """Keep the columns (x) from `first` up to, without, `end`: a field of view of one side."""
    x, y, z = phantom.first_voxel_mm
    return replace(
        phantom,
        voxels=phantom.voxels[..., first:end],
        first_voxel_mm=(x + first * phantom.spacing_mm[2], y, z),
        bright=(*phantom.bright[:2], phantom.bright[2] - first),
    )


@dataclass(frozen=True)
class MockStudy:
    """One series, or a series a phase, of a study. Other series of the same study are written by other instances."""

    phantom: Phantom
    axes: str = "zyx"
    """Patient axes of the slices, rows and columns: `zyx` is axial, `xzy` sagittal, `yzx` coronal."""
    backwards: str = ""
    """Patient axes that the files run along against the patient direction, such as `z` for head to foot."""
    turned_degrees: float = 0.0
    """Turn of the whole patient grid about the patient's z axis: an oblique acquisition."""
    phase_attribute: str = "TemporalPositionIdentifier"
    """Which attribute differs between phases; InstanceNumber means that there is no other."""
    series_per_phase: bool = False
    enhanced: bool = False
    """One Enhanced MR object a series, frames interleaved over the phases."""
    random_instance_numbers: bool = False
    rescale: bool = False
    """Another slope and intercept in every slice; the rescaled values are the phantom's."""
    signed: bool = False
    repeats: int = 1
    """How often each slice and phase occurs; every further one is brighter by 1000."""
    study: str = "study"
    """Studies with the same name have the same Study Instance UID."""
    series_number: int = 5
    description: str = "dyn t1 fs"
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "M", "ND")
    transfer_syntax: UID = ExplicitVRLittleEndian
    attributes: dict[str, Any] = field(default_factory=dict)
    """Further header values, of every file."""

    @property
    def study_instance_uid(self) -> str:
        """The Study Instance UID that all files get."""
        return generate_uid(entropy_srcs=[self.study])

    def series_instance_uid(self, number: int) -> str:
        """The Series Instance UID of the series with that number."""
        return generate_uid(entropy_srcs=[self.study, str(number)])

    def write(self, folder: Path) -> list[Path]:
        """Write the files, in the order phase, repeat, slice, under names that tell nothing; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        planes = [plane for phase in range(len(self.phantom.voxels)) for plane in self._planes(phase)]
        if not self.enhanced:
            return [self._save(self._single_frame(plane, planes), folder) for plane in planes]
        groups = [[one for one in planes if one.series == number] for number in sorted({one.series for one in planes})]
        return [self._save(self._multi_frame(group), folder) for group in groups]

    def _planes(self, phase: int) -> list["_Plane"]:
        order = ["zyx".index(axis) for axis in self.axes]
        flips = tuple(slice(None, None, -1 if axis in self.backwards else 1) for axis in self.axes)
        voxels = self.phantom.voxels[phase].transpose(order)[flips]
        series = self.series_number + (phase if self.series_per_phase else 0)
        return [
            _Plane(voxels[index] + 1000 * repeat, index, phase, repeat, series, self._position(voxels.shape, index))
            for repeat in range(self.repeats)
            for index in range(len(voxels))
        ]

    def _position(self, shape: tuple[int, ...], index: int) -> list[float]:
        zyx = np.zeros(3)
        for axis, size, along in zip(self.axes, shape, (index, 0, 0), strict=True):
            zyx["zyx".index(axis)] = size - 1 - along if axis in self.backwards else along
        patient = np.array(self.phantom.first_voxel_mm) + (zyx * self.phantom.spacing_mm)[::-1]
        return [round(float(value), 8) for value in self._turn() @ patient]

    def _turn(self) -> npt.NDArray[np.float64]:
        cos, sin = np.cos(np.deg2rad(self.turned_degrees)), np.sin(np.deg2rad(self.turned_degrees))
        return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])

    def _orientation(self) -> list[float]:
        """Direction in which columns follow each other, then rows."""
        cosines = []
        for axis in (self.axes[2], self.axes[1]):
            unit = np.zeros(3)
            unit["xyz".index(axis)] = -1.0 if axis in self.backwards else 1.0
            cosines += [round(float(value), 8) for value in self._turn() @ unit]
        return cosines

    def _pixel_spacing(self) -> list[float]:
        return [self.phantom.spacing_mm["zyx".index(axis)] for axis in self.axes[1:]]

    def _header(self, plane: "_Plane") -> Dataset:
        header = Dataset()
        header.SOPClassUID = EnhancedMRImageStorage if self.enhanced else MRImageStorage
        header.Modality = "MR"
        header.ImageType = list(self.image_type)
        header.StudyInstanceUID = self.study_instance_uid
        header.SeriesInstanceUID = self.series_instance_uid(plane.series)
        header.FrameOfReferenceUID = generate_uid(entropy_srcs=[self.study, "frame of reference"])
        header.PatientName, header.PatientID, header.StudyID, header.AccessionNumber = "Mock^Study", "1", "1", ""
        header.PatientBirthDate, header.PatientSex, header.Manufacturer = "", "F", "Mock"
        header.StudyDate, header.StudyTime, header.ReferringPhysicianName = "20240102", "100000", ""
        header.SeriesNumber, header.SeriesDescription = plane.series, self.description
        header.BodyPartExamined = "BREAST"
        header.ScanningSequence, header.SequenceVariant, header.ScanOptions = "GR", "SP", "FS"
        header.RepetitionTime, header.EchoTime, header.FlipAngle = 4.5, 1.7, 10
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.Rows, header.Columns = plane.voxels.shape
        header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
        header.PixelRepresentation = int(self.signed)
        return header

    def _single_frame(self, plane: "_Plane", planes: list["_Plane"]) -> Dataset:
        header = self._header(plane)
        identity = [self.study, str(plane.series), str(plane.phase), str(plane.repeat), str(plane.index)]
        header.SOPInstanceUID = generate_uid(entropy_srcs=identity)
        header.InstanceNumber = self._instance_number(plane, planes)
        header.ImagePositionPatient, header.ImageOrientationPatient = plane.position_mm, self._orientation()
        header.PixelSpacing = self._pixel_spacing()
        if self.rescale:
            header.RescaleSlope, header.RescaleIntercept = plane.slope, plane.intercept
        if self.phase_attribute != "InstanceNumber":
            setattr(header, self.phase_attribute, _phase_value(self.phase_attribute, plane.phase))
        header.PixelData = self._stored(plane)
        return header

    def _instance_number(self, plane: "_Plane", planes: list["_Plane"]) -> int:
        number = planes.index(plane)
        if not self.random_instance_numbers:
            return number + 1
        return int(np.random.default_rng(plane.series).permutation(len(planes))[number]) + 1

    def _multi_frame(self, planes: list["_Plane"]) -> Dataset:
        interleaved = sorted(planes, key=lambda one: (one.repeat, one.index, one.phase))
        header = self._header(planes[0])
        header.SOPInstanceUID = generate_uid(entropy_srcs=[self.study, str(planes[0].series), "enhanced"])
        header.InstanceNumber = 1
        header.NumberOfFrames = len(planes)
        header.SharedFunctionalGroupsSequence = [self._shared_groups()]
        header.PerFrameFunctionalGroupsSequence = [self._frame_groups(plane) for plane in interleaved]
        header.PixelData = b"".join(self._stored(plane) for plane in interleaved)
        return header

    def _shared_groups(self) -> Dataset:
        measures, orientation, timing = Dataset(), Dataset(), Dataset()
        measures.PixelSpacing = self._pixel_spacing()
        orientation.ImageOrientationPatient = self._orientation()
        timing.RepetitionTime, timing.FlipAngle = 4.5, 10
        shared = Dataset()
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
        shared.MRTimingAndRelatedParametersSequence = [timing]
        return shared

    def _frame_groups(self, plane: "_Plane") -> Dataset:
        content, position, transformation = Dataset(), Dataset(), Dataset()
        if self.phase_attribute == "TemporalPositionIdentifier":
            content.TemporalPositionIndex = plane.phase + 1
        else:
            content.FrameAcquisitionDateTime = f"20240102{_phase_value('AcquisitionTime', plane.phase)}"
        position.ImagePositionPatient = plane.position_mm
        transformation.RescaleSlope, transformation.RescaleIntercept = 1, 0
        if self.rescale:
            transformation.RescaleSlope, transformation.RescaleIntercept = plane.slope, plane.intercept
        frame = Dataset()
        frame.FrameContentSequence, frame.PlanePositionSequence = [content], [position]
        frame.PixelValueTransformationSequence = [transformation]
        return frame

    def _stored(self, plane: "_Plane") -> bytes:
        stored = (plane.voxels - plane.intercept) / plane.slope if self.rescale else plane.voxels
        order = "<" if self.transfer_syntax.is_little_endian else ">"
        return np.asarray(stored).astype(f"{order}{'i' if self.signed else 'u'}2").tobytes()

    def _save(self, header: Dataset, folder: Path) -> Path:
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = self.transfer_syntax
        for keyword, value in self.attributes.items():
            setattr(header, keyword, value)
        if self.transfer_syntax == RLELossless:
            header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            header.compress(RLELossless, generate_instance_uid=False)
        path = folder / hashlib.sha256(header.SOPInstanceUID.encode()).hexdigest()[:12]
        header.save_as(path, enforce_file_format=True)
        return path


@dataclass(frozen=True, eq=False)
class _Plane:
    voxels: Voxels
    index: int
    """Slice, in the order of the file's grid."""
    phase: int
    repeat: int
    series: int
    position_mm: list[float]

    @property
    def slope(self) -> float:
        return 2.0 ** -(1 + (self.index + self.phase) % 3)

    @property
    def intercept(self) -> float:
        return -8.0 * ((self.index + 2 * self.phase) % 5)


def _phase_value(attribute: str, phase: int) -> object:
    if attribute == "TriggerTime":
        return 70_000.0 * phase
    if attribute in ("AcquisitionTime", "ContentTime"):
        return f"10{10 + phase:02d}20.25"
    return phase + 1


OBLONG = replace(breast_phantom(), spacing_mm=(4.0, 2.0, 2.5))
"""The same with pixels that are not square."""
ORIENTATIONS = [
    MockStudy(OBLONG),
    MockStudy(OBLONG, backwards="zx"),
    MockStudy(OBLONG, backwards="y"),
    MockStudy(OBLONG, axes="xzy"),
    MockStudy(OBLONG, axes="yzx", backwards="y"),
    MockStudy(OBLONG, turned_degrees=12),
]


def read_study(folder: Path) -> Study:
    """Read a folder that holds one study."""
    with tempfile.TemporaryDirectory() as scratch:
        [study], _ = read_studies(folder, Path(scratch))
    return study
