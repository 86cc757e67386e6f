"""What a run leaves to its worker: the steps that read or write files of a study.

A study stays in the worker that has read it, and is called by its input and number: passing thousands of headers to and
fro takes longer than reading them. A worker that is new reads the input again.
"""

import functools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fcdd_runtime.contract import MipRecipe, ModelContract
from fcdd_runtime.findings import Finding
from fcdd_runtime.images.references import Reference
from fcdd_runtime.pacs import MADE_FILE, WriteDicom
from fcdd_runtime.phases.listing import COLUMNS, in_columns, list_study
from fcdd_runtime.phases.manual import ManualPhases
from fcdd_runtime.report.colormap import Look
from fcdd_runtime.report.write import write_study_report
from fcdd_runtime.result import StudyResult
from fcdd_runtime.score_study import Prepared, prepare
from fcdd_runtime.study.read import Study, read_studies

SHOWN_NOTES = 5
"""How many files that cannot be read are named; the others are counted."""


@dataclass(frozen=True)
class StudyOnDisk:
    """Where a study lies."""

    path: Path
    scratch: Path
    """Folder that a zip is unpacked into."""
    number: int
    """From 0, among the studies of the input."""
    study_instance_uid: str
    findings: tuple[Finding, ...]
    """Of reading it; `prepare` finds more."""


@dataclass(frozen=True)
class ListedStudy:
    """What `fcdd-score --list` shows of a study."""

    lines: tuple[str, ...]
    doubts: tuple[str, ...]


def find_studies(path: Path, scratch: Path) -> list[StudyOnDisk]:
    """Find the studies of an input, in the order of their UIDs.

    Raises
    ------
    StudyError
        If there is nothing usable.
    """
    return [
        StudyOnDisk(path, scratch, number, study.study_instance_uid, study.findings)
        for number, study in enumerate(_studies(path, scratch))
    ]


def prepare_study(
    place: StudyOnDisk, contract: ModelContract, manual: ManualPhases | None, reference: Reference | None
) -> Prepared:
    """Prepare a study that `find_studies` has found; see `score_study.prepare`."""
    return prepare(_studies(place.path, place.scratch)[place.number], contract, manual, reference)


def write_results(
    result: StudyResult, place: StudyOnDisk, folder: Path, look: Look, write_dicom: WriteDicom | None
) -> tuple[str, ...]:
    """Write a study's folder, DICOM objects included; return a sentence for each kind that could not be written.

    Raises
    ------
    StudyError
        If a file of the study can no longer be read.
    OSError
        If the folder cannot be written; what was there before is then still there.
    """
    lacking: Sequence[str] = ()

    def write_objects(draft: Path) -> None:
        nonlocal lacking
        if write_dicom is None:
            # What was sent somewhere once may be asked for again.
            if (folder / MADE_FILE).is_file():
                shutil.copyfile(folder / MADE_FILE, draft / MADE_FILE)
        else:
            study = _studies(place.path, place.scratch)[place.number]
            lacking = write_dicom(result, study, draft, folder)

    write_study_report(result, folder, look, write_objects)
    return tuple(lacking)


def list_input(path: Path, scratch: Path, recipe: MipRecipe) -> list[ListedStudy]:
    """List what is in an input, and what speaks against scoring it.

    Raises
    ------
    StudyError
        If there is nothing usable.
    """
    studies, notes = read_studies(path, scratch)
    listings = [list_study(study, recipe) for study in studies]
    return [ListedStudy(tuple(in_columns([COLUMNS, *listing.rows])), (*notes, *listing.doubts)) for listing in listings]


@functools.lru_cache(maxsize=1)
def _studies(path: Path, scratch: Path) -> list[Study]:
    """Read an input; each of its studies says which files could not be read, since these may belong to any of them."""
    studies, notes = read_studies(path, scratch)
    found = []
    for study in studies:
        own = [note for note in notes if note not in study.unread]
        shown, rest = own[:SHOWN_NOTES], len(own) - SHOWN_NOTES
        counted = [f"{rest} more files could not be read."] if rest > 0 else []
        unread = tuple(Finding("unread-files", sentence) for sentence in [*shown, *counted])
        found.append(replace(study, findings=(*unread, *study.findings)))
    return found
