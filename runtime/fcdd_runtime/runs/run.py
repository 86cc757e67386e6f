"""One call of fcdd-score: every input, what is said of it, and the files that list them all.

Lines on the terminal end up in logs, so they name inputs and studies by number: no patient, date or UID.
"""

import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from fcdd_runtime.backends.base import Backend
from fcdd_runtime.errors import FcddError, ImageError, ServerUnreachableError, StudyError
from fcdd_runtime.files import replaced_file
from fcdd_runtime.images.mip_files import is_image_folder
from fcdd_runtime.images.references import Reference, recorded_reference
from fcdd_runtime.pacs import WriteDicom
from fcdd_runtime.phases.manual import ManualPhases
from fcdd_runtime.redaction import for_terminal, quoted
from fcdd_runtime.report.colormap import Look
from fcdd_runtime.report.index_page import FailedEntry, IndexEntry, index_entry, write_index
from fcdd_runtime.report.words import state_in_words
from fcdd_runtime.report.write import SummaryRow, study_folder_name, summary_rows, write_study_report, write_summary
from fcdd_runtime.result import StudyResult
from fcdd_runtime.runs.images import score_images, write_image_scores
from fcdd_runtime.score_study import score_study
from fcdd_runtime.study.read import Study, read_studies

SOME_FAILED, NONE_USABLE = 1, 2
SUMMARY_FILE, INDEX_FILE = "summary.csv", "index.html"

SHOWN_NOTES = 5

_LEFT_OVER = "the run ended before it was scored; score it again"


@dataclass(frozen=True)
class RunOptions:
    """How a call was made."""

    out: Path
    look: Look
    save_maps: bool
    """Write maps.npz for image folders."""
    manual: ManualPhases | None
    """Phases that a person chose, for all studies of the call."""
    write_dicom: WriteDicom | None
    """Writes DICOM objects beside each report; None: none."""
    say: Callable[[str], None]
    """Takes a line about a study that was scored."""
    complain: Callable[[str], None]
    """Takes a line that begins with `Error: ` or `Warning: `."""
    reference: Path | None = None
    """What a two-input network compares with: an image, or for a folder of images a CSV file."""


@dataclass(frozen=True)
class _Label:
    """What an input or a study is called on the terminal."""

    text: str
    folders: tuple[Path, ...] | None
    """Where its DICOM files lie, which are called by number there; None for a folder of images, which go by names."""


@dataclass
class ScoreRun:
    """What a call has done so far."""

    backend: Backend
    options: RunOptions
    rows: list[SummaryRow] = field(default_factory=list)
    index: list[IndexEntry | FailedEntry] = field(default_factory=list)
    studies: set[str] = field(default_factory=set)
    done: int = 0
    failed: int = 0
    reference: Reference | None = None
    """Compares with every breast of every study; None: as `score_study` says."""

    def score_all(self, inputs: tuple[Path, ...]) -> int:
        """Score every input and return the exit code.

        Raises
        ------
        ServerUnreachableError
            If the server is gone: no further input could be scored.
        ImageError
            If more than one input is a folder of images, or the reference cannot be used.
        """
        image_folders = [path for path in inputs if is_image_folder(path)]
        if len(image_folders) > 1:
            raise ImageError("give one folder of images a call; their results share one file")
        if len(image_folders) < len(inputs):
            self.reference = self._recorded_reference()
        self.options.out.mkdir(parents=True, exist_ok=True)
        reached = 0
        try:
            for number, path in enumerate(inputs, start=1):
                if path in image_folders:
                    self._score_image_folder(_Label(f"input {number}", None), path)
                else:
                    self._score_input(f"input {number}", path)
                reached = number
        finally:
            # A list without the inputs that a lost server or a signal left over would look complete.
            self.index += [FailedEntry(f"input {number + 1}", _LEFT_OVER) for number in range(reached, len(inputs))]
            self._write_lists(several=len(inputs) > 1 or len(self.studies) > 1)
        if self.failed:
            return SOME_FAILED if self.done else NONE_USABLE
        return 0

    def _score_input(self, name: str, path: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="fcdd-score-") as scratch:
            label = _Label(name, (path, Path(scratch)))
            try:
                studies, notes = read_studies(path, Path(scratch))
            except StudyError as error:
                self._fail(label, str(error))
                return
            for number, study in enumerate(studies, start=1):
                # A file that cannot be read may belong to any of the studies, so each result says so.
                own = [note for note in notes if note not in study.unread]
                noted = replace(study, warnings=(*_shortened(own), *study.warnings))
                one = label if len(studies) == 1 else replace(label, text=f"{name}, study {number}")
                self._score_study(one, noted)

    def _score_study(self, label: _Label, study: Study) -> None:
        folder = self.options.out / study_folder_name(study.study_instance_uid)
        if study.study_instance_uid in self.studies:
            self._fail(label, "this study was in an earlier input already; give each study once, in one folder")
            return
        self.studies.add(study.study_instance_uid)
        try:
            result = score_study(study, self.backend, self.options.manual, self.reference)
            write_study_report(
                result, folder, self.options.look, lambda draft: self._write_dicom(label, result, study, draft)
            )
        except ServerUnreachableError:
            raise
        except FcddError as error:
            self._warn(label, study.warnings)
            self._fail(label, f"{error}{_removed(folder)}")
            return
        self._warn(label, result.warnings)
        self.done += 1
        self.rows += summary_rows(result)
        self.index.append(index_entry(result, self.options.look))
        self.options.say(_line(result, folder))

    def _write_dicom(self, label: _Label, result: StudyResult, study: Study, draft: Path) -> None:
        if self.options.write_dicom is not None:
            self._warn(label, self.options.write_dicom(result, study, draft, self.options.look))

    def _score_image_folder(self, label: _Label, path: Path) -> None:
        try:
            result = score_images(path, self.backend, self.options.reference)
        except ServerUnreachableError:
            raise
        except FcddError as error:
            self._fail(label, _without(path, error))
            return
        write_image_scores(result, self.backend, self.options.out, self.options.save_maps)
        for failure in result.failures:
            self._fail(label, _without(path, failure))
        self.done += len(result.names)
        self.options.say(f"{len(result.names)} images scored  {self.options.out / 'results.json'}")

    def _recorded_reference(self) -> Reference | None:
        if self.options.reference is None:
            return None
        contract = self.backend.contract
        if "reference" not in contract.inputs:
            raise ImageError(f"{contract.network} takes no reference images; leave --reference out")
        return recorded_reference(self.options.reference)

    def _fail(self, label: _Label, sentence: str) -> None:
        self.failed += 1
        self.index.append(FailedEntry(label.text, sentence))
        self.options.complain(f"Error: {label.text}: {_shown(sentence, label)}")

    def _warn(self, label: _Label, sentences: tuple[str, ...]) -> None:
        for sentence in sentences:
            self.options.complain(f"Warning: {label.text}: {_shown(sentence, label)}")

    def _write_lists(self, several: bool) -> None:
        """List this call's studies, those that failed too; lists of an earlier call must not be taken for this one's.

        A single input or study that failed leaves no list: the sentence on the terminal is all there is to say.
        """
        summary, index = self.options.out / SUMMARY_FILE, self.options.out / INDEX_FILE
        if not self.rows and not several:
            summary.unlink(missing_ok=True)
            index.unlink(missing_ok=True)
            return
        with replaced_file(summary) as file:
            write_summary(self.rows, file)
        write_index(self.index, index)


def _line(result: StudyResult, folder: Path) -> str:
    scores = "  ".join(f"{breast.laterality} {breast.score:.6g}" for breast in result.breasts)
    return f"{folder.name}  {scores}  {state_in_words(result.flagged)}  {folder / 'report.html'}"


def _shortened(notes: list[str]) -> tuple[str, ...]:
    """Keep the first of many files that could not be read, and count the rest."""
    shown = tuple(notes[:SHOWN_NOTES])
    rest = len(notes) - len(shown)
    return (*shown, f"{rest} more files could not be read.") if rest else shown


def _removed(folder: Path) -> str:
    """Remove what an earlier call wrote for a study that now failed: it would look current."""
    if not folder.exists():
        return ""
    shutil.rmtree(folder)
    return "; its earlier result was removed"


def _without(path: Path, sentence: object) -> str:
    """Take the path of a folder of images out of a sentence about it."""
    return str(sentence).replace(f"{path}/", "").replace(str(path), "it")


def _shown(sentence: str, label: _Label) -> str:
    return for_terminal(sentence, {} if label.folders is None else _file_numbers(label.folders))


@functools.lru_cache(maxsize=1)
def _file_numbers(folders: tuple[Path, ...]) -> dict[str, int]:
    """Number the file names of an input from 1 in sorted order; kept for the next sentence about the same input."""
    names = sorted({name for folder in folders for _, _, names in os.walk(folder) for name in names})
    return {quoted(name): number for number, name in enumerate(names, start=1)}
