"""Files -> studies: which DICOM MR slices there are and which series and study they belong to. No pixels are read."""

import mimetypes
import os
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, cast

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, EnhancedMRImageStorage, MRImageStorage

from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import Finding
from fcdd_runtime.redaction import quoted
from fcdd_runtime.study import phase_attributes
from fcdd_runtime.study.archive import unpack
from fcdd_runtime.study.body_part import body_part_for_messages
from fcdd_runtime.study.bounds import MAX_FILES
from fcdd_runtime.study.dicom_bytes import begins_like_dicom, has_dicom_mark, is_dicom, looks_damaged
from fcdd_runtime.study.patient import Patient, patient_in
from fcdd_runtime.study.plain_header import HEADER_BYTES, plain_header
from fcdd_runtime.study.slices import Slice, header_elements, slices_in_file

_LEGACY_CONVERTED_ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.4"
_MR_IMAGE_CLASSES = (MRImageStorage, EnhancedMRImageStorage, _LEGACY_CONVERTED_ENHANCED_MR)


_PICTURES = {".jpg", ".jpeg", ".jp2", ".bmp", ".gif", ".webp"}
"""What somebody may take for a folder of MIP images."""


_KINDS_OF_FILES = mimetypes.MimeTypes()
"""Python's own table: that of the machine takes `.1` to `.8`, with which UIDs end, for pages of a manual."""
_MAYBE_DICOM = (".bin", ".dcm")


@dataclass(frozen=True)
class Series:
    """One DICOM series."""

    series_instance_uid: str
    number: int | None
    description: str
    body_part: str
    """BodyPartExamined, upper case, in quotes if DICOM does not define it; empty if absent."""
    frame_of_reference_uid: str
    """Empty if absent."""
    slices: tuple[Slice, ...]
    """In the order of their SOP Instance UIDs and frames, which says nothing about space or time."""
    patients: frozenset[Patient] = frozenset()
    """What its files say about the patient."""

    @property
    def label(self) -> str:
        """Number and description, for messages."""
        number = "without number" if self.number is None else str(self.number)
        return f"series {number} {quoted(self.description)}" if self.description else f"series {number}"


@dataclass(frozen=True)
class Study:
    """All MR series of one study."""

    study_instance_uid: str
    series: tuple[Series, ...]
    """In the order of their numbers."""
    findings: tuple[Finding, ...]
    unread: tuple[str, ...] = ()
    """What could not be read beside it, one sentence each: any slice that it lacks may be there."""

    @property
    def patients(self) -> frozenset[Patient]:
        """What its files say about the patient: one, if all is well."""
        return frozenset(patient for series in self.series for patient in series.patients)


@dataclass
class _Unread:
    """What could not be read of an input."""

    notes: list[str] = field(default_factory=list)
    """One sentence for each file or folder."""
    unmarked: list[Path] = field(default_factory=list)
    """Files that only lack the DICOM mark."""
    remains: list[Path] = field(default_factory=list)
    """Files of which hardly anything is left."""


def read_studies(path: Path, scratch: Path) -> tuple[list[Study], list[str]]:
    """Find the MR studies in a folder, a DICOM file or a zip.

    Parameters
    ----------
    path : a folder (any depth, any file names, other files among them), one DICOM file, or a zip of a folder
    scratch : an existing empty folder that a zip is unpacked into; it must stay until the pixels have been read

    Returns
    -------
    studies : in the order of their Study Instance UIDs
    notes : one sentence for each file that could not be assigned to a study

    Raises
    ------
    StudyError
        If there is nothing usable.
    """
    unread = _Unread()
    files = _find_files(path, scratch, unread.notes)
    missing_folders = tuple(unread.notes)
    # Odd values in headers make pydicom warn, value included; what matters is checked where it is used.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = [part for file in files if (part := _read_file(file, unread)) is not None]
    notes = [*_counted(unread, bool(parts)), *unread.notes]
    if not parts:
        raise StudyError(_why_nothing(path, files, notes), "nothing-to-read")
    return [replace(study, unread=missing_folders) for study in _studies(parts)], notes


def _counted(unread: _Unread, among_dicom: bool) -> Iterator[str]:
    """Say in a sentence each how many files share a fault; what hardly anything is left of is one among DICOM only."""
    if unread.unmarked:
        found, verb = (
            ("1 file has", "was") if len(unread.unmarked) == 1 else (f"{len(unread.unmarked)} files have", "were")
        )
        yield f"{found} no DICOM mark (Part 10 preamble) and {verb} not read; export the study as DICOM files."
    if unread.remains and among_dicom:
        found = "1 file is" if len(unread.remains) == 1 else f"{len(unread.remains)} files are"
        yield (
            f"{found} empty, cut short or without content, as what was lost on its way (file "
            f"{quoted(unread.remains[0].name)} is one); export the study again."
        )


def _find_files(path: Path, scratch: Path, notes: list[str]) -> list[Path]:
    if path.is_file():
        if not zipfile.is_zipfile(path) and path.suffix.lower() != ".zip":
            return [path]
        unpack(path, scratch)
        path = scratch
    if not path.is_dir():
        raise StudyError(
            f"the input {quoted(path)} does not exist; give a folder of DICOM files, a DICOM file or a zip",
            "nothing-to-read",
        )

    def note(error: OSError) -> None:
        notes.append(f"The folder {quoted(Path(error.filename).name)} could not be read ({error.strerror}).")

    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for folder, inner, names in os.walk(path, onerror=note, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()  # a link leads back, or here a second time
            continue
        seen.add((status.st_dev, status.st_ino))
        found += [Path(folder, name) for name in names]
        if len(found) > MAX_FILES:
            raise StudyError(
                f"the input {quoted(path.name)} holds more than {MAX_FILES:,} files; give an archive study by study",
                "nothing-to-read",
            )
    return sorted(file for file in found if file.is_file())


def _read_file(path: Path, unread: _Unread) -> tuple[str, Series] | None:
    """Read one file's header: its Study Instance UID and its series with this file's slices.

    None for what is no MR image; what may be one is noted in `unread`.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
            if has_dicom_mark(head):
                return _read_dicom(path, file, head, unread.notes)
            if begins_like_dicom(head):
                unread.unmarked.append(path)
            elif looks_damaged(head) and not _has_another_purpose(path):
                unread.remains.append(path)
    except OSError as error:
        unread.notes.append(f"file {quoted(path.name)} could not be read ({error.strerror}).")
    return None


def _has_another_purpose(path: Path) -> bool:
    """Whether a name says that a file was never DICOM: hidden, or of a kind that has a name of its own."""
    kind, _ = _KINDS_OF_FILES.guess_type(path.name)
    return path.name.startswith(".") or (kind is not None and path.suffix.lower() not in _MAYBE_DICOM)


def _read_dicom(path: Path, file: BinaryIO, head: bytes, notes: list[str]) -> tuple[str, Series] | None:
    try:
        header = _read_header(path, file, head, notes)
        if header is None or _sop_class(header) not in _MR_IMAGE_CLASSES:
            return None
        if not header.StudyInstanceUID:
            notes.append(f"file {quoted(path.name)} has no Study Instance UID and was not read; export it again.")
            return None
        try:
            number = int(header.SeriesNumber)
        except (AttributeError, TypeError, ValueError):
            number = None
        series = Series(
            series_instance_uid=str(header.get("SeriesInstanceUID") or ""),
            number=number,
            description=str(header.get("SeriesDescription") or ""),
            body_part=body_part_for_messages(str(header.get("BodyPartExamined") or "")),
            frame_of_reference_uid=str(header.get("FrameOfReferenceUID") or ""),
            slices=tuple(slices_in_file(path, file, header)),
            patients=frozenset((patient_in(header),)),
        )
        return str(header.StudyInstanceUID), series
    except Exception:  # a damaged header makes pydicom raise almost anything, RecursionError included
        notes.append(f"file {quoted(path.name)} has a damaged or truncated header and was not read; export it again.")
        return None


def _read_header(path: Path, file: BinaryIO, head: bytes, notes: list[str]) -> Dataset | None:
    """Read a header and leave the file at its pixel data element; None with a note if it must not be read."""
    if plain := plain_header(head):
        file.seek(plain[1])
        return cast(Dataset, plain[0])
    # Deflated files are refused before their header is read: it can inflate without limit.
    if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        notes.append(f"file {quoted(path.name)} is deflated and was not read; convert it to explicit VR little endian.")
        return None
    file.seek(0)
    header = dcmread(file, stop_before_pixels=True, specific_tags=list(header_elements()))
    if not _sop_class(header):
        raise EOFError  # every object says what it is, so that these are only bytes after the mark
    if _sop_class(header) in _MR_IMAGE_CLASSES and max(header.keys()) <= Tag("SeriesInstanceUID"):
        raise EOFError  # a header that ends with its UIDs: the last may be cut short and name another series or study
    return header


def _sop_class(header: Dataset) -> str:
    return str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or "")


def _why_nothing(path: Path, files: list[Path], notes: list[str]) -> str:
    if not files:
        return f"the input {quoted(path)} is empty; give a folder of DICOM files, a DICOM file or a zip"
    if notes:
        return f"nothing usable was found in the input {quoted(path)}: {notes[0].rstrip('.')}"
    if pictures := [file for file in files if file.suffix.lower() in _PICTURES]:
        kind = pictures[0].suffix.lower().removeprefix(".").upper()
        return f"the input {quoted(path)} holds {kind} images, not DICOM; give MIP images as 8-bit grey PNG or TIFF"
    if not any(map(is_dicom, files)):
        return f"the input {quoted(path)} holds no DICOM file; give a folder of DICOM files, a DICOM file or a zip"
    return f"the input {quoted(path)} holds no MR image, only other DICOM objects; give a breast MRI study"


def _studies(parts: list[tuple[str, Series]]) -> list[Study]:
    by_study: dict[str, dict[str, list[Series]]] = {}
    for study_uid, part in parts:
        by_study.setdefault(study_uid, {}).setdefault(part.series_instance_uid, []).append(part)
    studies = []
    for study_uid in sorted(by_study):
        joined = [_join_files(files) for files in by_study[study_uid].values()]
        series = sorted((each for each, _ in joined), key=lambda each: (each.number or 0, each.series_instance_uid))
        studies.append(
            Study(study_uid, tuple(series), tuple(finding for _, findings in joined for finding in findings))
        )
    return studies


def _join_files(parts: list[Series]) -> tuple[Series, list[Finding]]:
    """Join the files of a series; a file that is there twice, copied, counts once."""
    numbering = [attribute for attribute in phase_attributes.TABLE if attribute.numbers_phases]
    slices: dict[tuple[object, ...], Slice] = {}
    for image_slice in (image_slice for part in parts for image_slice in part.slices):
        phase = tuple(map(image_slice.phase_value, numbering))
        key = (image_slice.source, image_slice.plane, phase, image_slice.instance_number)
        if key not in slices or slices[key].damage:
            slices[key] = image_slice
        elif not image_slice.damage:
            slices[key] = replace(slices[key], copies=(*slices[key].copies, image_slice))
    ordered = sorted(slices.values(), key=lambda each: (each.source.sop_instance_uid, each.source.frame_number or 0))
    series = replace(
        parts[0], slices=tuple(ordered), patients=frozenset(patient for part in parts for patient in part.patients)
    )
    copies = sum(len(part.slices) for part in parts) - len(slices)
    findings = []
    if copies:
        findings.append(Finding("copied-slices", f"{series.label} holds {copies} copied slices, which were left out."))
    if len({part.frame_of_reference_uid for part in parts}) > 1:
        sentence = f"{series.label} holds several frames of reference, so its positions may not be comparable."
        findings.append(Finding("repositioned", sentence))
    return series, findings
