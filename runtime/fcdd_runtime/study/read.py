"""Files -> studies: which DICOM MR slices there are and which series and study they belong to. No pixels are read."""

import os
import warnings
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, EnhancedMRImageStorage, MRImageStorage

from fcdd_runtime.errors import StudyError
from fcdd_runtime.redaction import quoted
from fcdd_runtime.study.archive import unpack
from fcdd_runtime.study.body_part import body_part_for_messages
from fcdd_runtime.study.mark import begins_like_dicom, has_dicom_mark, is_dicom
from fcdd_runtime.study.plain_header import HEADER_BYTES, plain_header
from fcdd_runtime.study.slices import HEADER_KEYWORDS, Slice, slices_in_file

_LEGACY_CONVERTED_ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.4"
_MR_IMAGE_CLASSES = (MRImageStorage, EnhancedMRImageStorage, _LEGACY_CONVERTED_ENHANCED_MR)


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
    warnings: tuple[str, ...]
    """One sentence each."""
    unread: tuple[str, ...] = ()
    """What could not be read beside it, one sentence each: any slice that it lacks may be there."""


def read_studies(path: Path, scratch: Path) -> tuple[list[Study], list[str]]:
    """Find the MR studies in a folder, a DICOM file or a zip.

    Parameters
    ----------
    path : a folder (any depth, any file names, other files among them), one DICOM file, or a zip of a folder
    scratch : an existing empty folder that a zip is unpacked into; it must stay until the pixels have been read

    Returns
    -------
    studies : in the order of their Study Instance UIDs
    warnings : one sentence for each file that could not be assigned to a study

    Raises
    ------
    StudyError
        If there is nothing usable.
    """
    notes: list[str] = []
    files = _files(path, scratch, notes)
    unread = tuple(notes)
    unmarked: list[Path] = []
    # Odd values in headers make pydicom warn, value included; what matters is checked where it is used.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = [part for file in files if (part := _mr_series(file, notes, unmarked)) is not None]
    notes[:0] = _without_mark(len(unmarked))
    if not parts:
        raise StudyError(_why_nothing(path, files, notes))
    return [replace(study, unread=unread) for study in _studies(parts)], notes


def _files(path: Path, scratch: Path, notes: list[str]) -> list[Path]:
    if path.is_file():
        if not zipfile.is_zipfile(path) and path.suffix.lower() != ".zip":
            return [path]
        unpack(path, scratch)
        path = scratch
    if not path.is_dir():
        raise StudyError(
            f"the input {quoted(path)} does not exist; give a folder of DICOM files, a DICOM file or a zip"
        )

    def note(error: OSError) -> None:
        notes.append(f"The folder {quoted(Path(error.filename).name)} could not be read ({error.strerror}).")

    found = [Path(folder, name) for folder, _, names in os.walk(path, onerror=note) for name in names]
    return sorted(file for file in found if file.is_file())


def _mr_series(path: Path, notes: list[str], unmarked: list[Path]) -> tuple[str, Series] | None:
    """Read one file's header: its Study Instance UID and its series with this file's slices.

    None for what is no MR image, with a note if it may be one, or an entry in `unmarked` if it only lacks the mark.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
            if has_dicom_mark(head):
                return _mr_series_in(path, file, head, notes)
            if begins_like_dicom(head):
                unmarked.append(path)
            return None
    except OSError as error:
        notes.append(f"file {quoted(path.name)} could not be read ({error.strerror}).")
        return None


def _mr_series_in(path: Path, file: BinaryIO, head: bytes, notes: list[str]) -> tuple[str, Series] | None:
    try:
        header = _header(path, file, head, notes)
        if header is None or not _is_mr_image(header):
            return None
        if not header.StudyInstanceUID:
            notes.append(f"file {quoted(path.name)} has no Study Instance UID and was not read; export it again.")
            return None
        return str(header.StudyInstanceUID), _series(header, tuple(slices_in_file(path, file, header)))
    except Exception:  # a damaged header makes pydicom raise almost anything, RecursionError included
        notes.append(f"file {quoted(path.name)} has a damaged or truncated header and was not read; export it again.")
        return None


def _header(path: Path, file: BinaryIO, head: bytes, notes: list[str]) -> Dataset | None:
    """Read a header and leave the file at its pixel data element; None with a note if it must not be read."""
    if plain := plain_header(head):
        file.seek(plain[1])
        return cast(Dataset, plain[0])
    # Deflated files are refused before their header is read: it can inflate without limit.
    if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        notes.append(f"file {quoted(path.name)} is deflated and was not read; convert it to explicit VR little endian.")
        return None
    file.seek(0)
    header = dcmread(file, stop_before_pixels=True, specific_tags=list(HEADER_KEYWORDS))
    if not _sop_class(header):
        raise EOFError  # every object says what it is, so that these are only bytes after the mark
    if _is_mr_image(header):
        _check_identity_is_whole(header)
    return header


def _is_mr_image(header: Dataset) -> bool:
    return _sop_class(header) in _MR_IMAGE_CLASSES


def _sop_class(header: Dataset) -> str:
    return str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or "")


def _check_identity_is_whole(header: Dataset) -> None:
    """Refuse a header that ends with its UIDs: the last one may be cut short and name another series or study."""
    if max(header.keys()) <= Tag("SeriesInstanceUID"):
        raise EOFError


def _series(header: Dataset, slices: tuple[Slice, ...]) -> Series:
    try:
        number = int(header.SeriesNumber)
    except (AttributeError, TypeError, ValueError):
        number = None
    return Series(
        series_instance_uid=str(header.get("SeriesInstanceUID", "")),
        number=number,
        description=str(header.get("SeriesDescription") or ""),
        body_part=body_part_for_messages(str(header.get("BodyPartExamined") or "")),
        frame_of_reference_uid=str(header.get("FrameOfReferenceUID") or ""),
        slices=slices,
    )


def _without_mark(count: int) -> list[str]:
    if not count:
        return []
    files = "1 file has" if count == 1 else f"{count} files have"
    return [
        f"{files} no DICOM mark (Part 10 preamble) and {'was' if count == 1 else 'were'} not read; export the study as "
        "DICOM files."
    ]


def _why_nothing(path: Path, files: list[Path], notes: list[str]) -> str:
    if not files:
        return f"the input {quoted(path)} is empty; give a folder of DICOM files, a DICOM file or a zip"
    if notes:
        return f"nothing usable was found in the input {quoted(path)}: {notes[0].rstrip('.')}"
    if not any(map(is_dicom, files)):
        return f"the input {quoted(path)} holds no DICOM file; give a folder of DICOM files, a DICOM file or a zip"
    return f"the input {quoted(path)} holds no MR image, only other DICOM objects; give a breast MRI study"


def _studies(parts: list[tuple[str, Series]]) -> list[Study]:
    by_study: dict[str, dict[str, list[Series]]] = {}
    for study_uid, part in parts:
        by_study.setdefault(study_uid, {}).setdefault(part.series_instance_uid, []).append(part)
    return [_study(uid, [_joined(parts) for parts in by_study[uid].values()]) for uid in sorted(by_study)]


def _study(uid: str, joined: list[tuple[Series, list[str]]]) -> Study:
    series = sorted((one for one, _ in joined), key=lambda one: (one.number or 0, one.series_instance_uid))
    return Study(uid, tuple(series), tuple(note for _, notes in joined for note in notes))


def _joined(parts: list[Series]) -> tuple[Series, list[str]]:
    """Join the files of a series; a file that is there twice, copied, counts once."""
    slices: dict[tuple[object, ...], Slice] = {}
    for one in (one for part in parts for one in part.slices):
        key = (one.source, one.plane, one.temporal_position, one.instance_number)
        if key not in slices or slices[key].damage:
            slices[key] = one
    ordered = sorted(slices.values(), key=lambda one: (one.source.sop_instance_uid, one.source.frame_number or 0))
    series = replace(parts[0], slices=tuple(ordered))
    copies = sum(len(part.slices) for part in parts) - len(slices)
    notes = [f"{series.label} holds {copies} copied slices, which were left out."] if copies else []
    if len({part.frame_of_reference_uid for part in parts}) > 1:
        notes.append(f"{series.label} holds several frames of reference, so its positions may not be comparable.")
    return series, notes
