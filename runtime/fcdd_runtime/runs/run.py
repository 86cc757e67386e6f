"""One call of fcdd-score: every input, what is said of it, and the files that list them all.

Lines on the terminal end up in logs, so they name inputs and studies by number: no patient, date or UID.
"""

import functools
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fcdd_runtime.backends.base import Backend, Maps, Scores
from fcdd_runtime.contract import Resize
from fcdd_runtime.errors import (
    FcddError,
    GateError,
    ImageError,
    ModelChangedError,
    ResultsError,
    ServerUnreachableError,
    StudyError,
)
from fcdd_runtime.files import locked_folder, remove_drafts, replaced_file, scratch_folder
from fcdd_runtime.findings import Finding
from fcdd_runtime.images.mip_files import is_image_folder
from fcdd_runtime.images.network_input import GreyImage
from fcdd_runtime.images.references import Reference, recorded_reference
from fcdd_runtime.log_lines import EventLog
from fcdd_runtime.outside_text import json_from_outside, read_outside_text
from fcdd_runtime.pacs import WriteDicom
from fcdd_runtime.phases.manual import ManualPhases
from fcdd_runtime.redaction import Redacted, for_terminal, quoted
from fcdd_runtime.report.colormap import Look
from fcdd_runtime.report.index_page import FailedEntry, IndexEntry, index_entry, write_index
from fcdd_runtime.report.words import state_of
from fcdd_runtime.report.write import RESULT_FILE, SummaryRow, study_folder_name, summary_rows, write_summary
from fcdd_runtime.result import StudyResult
from fcdd_runtime.runs.image_folder import network_image, score_images, write_image_scores
from fcdd_runtime.runs.tasks import StudyOnDisk, find_studies, prepare_study, write_results
from fcdd_runtime.runs.worker import Worker
from fcdd_runtime.score_study import Prepared, finish, infer

SOME_FAILED, NONE_USABLE = 1, 2
SUMMARY_FILE, INDEX_FILE = "summary.csv", "index.html"

LOG = EventLog("fcdd_runtime")

ENDS_THE_RUN = (ServerUnreachableError, ModelChangedError, GateError)
"""What concerns the model: no further study would be scored, or not by the model that the run was begun with."""
NOT_THE_STUDYS_FAULT = frozenset({"limits", "no-decoder"})
"""Codes of errors that this machine has a part in: an earlier result of the study is kept."""

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
    """Takes a line that begins with `Error: `, `Warning: ` or `Note: `."""
    reference: Path | None = None
    """What a two-input network compares with: an image, or for a folder of images a CSV file."""


@dataclass(frozen=True)
class _Label:
    """What an input or a study is called on the terminal and in log lines."""

    input: int
    """From 1, in the order of the call."""
    study: int | None
    """From 1, where an input holds several."""
    folders: tuple[Path, ...]
    """Where its files lie, which are called by number: their place among all names there, in sorted order."""
    started: float = field(default_factory=time.monotonic)
    """When its turn came, s."""

    @property
    def text(self) -> str:
        return f"input {self.input}" if self.study is None else f"input {self.input}, study {self.study}"

    def fields(self) -> dict[str, int | float | None]:
        """Return what a log line says of it; `seconds` passed since its turn came."""
        return {"input": self.input, "study": self.study, "seconds": round(time.monotonic() - self.started, 3)}


@dataclass
class ScoreRun:
    """What a call has done so far."""

    backend: Backend
    options: RunOptions
    worker: Worker
    """Reads and writes whatever comes from outside."""
    rows: list[SummaryRow] = field(default_factory=list)
    index: list[IndexEntry | FailedEntry] = field(default_factory=list)
    studies: set[str] = field(default_factory=set)
    done: int = 0
    to_review: int = 0
    """How many of them a person has to look at."""
    failed: int = 0
    said: dict[tuple[str, str], list[_Label]] = field(default_factory=dict)
    """Which studies each sentence was said of, by `Warning` or `Note` and its words."""
    reference: Reference | None = None
    """Compares with every breast of every study; None: as `score_study` says."""
    left_over: list[str] = field(default_factory=list)
    """What the inputs and studies are called that the run did not reach."""

    def score_all(self, inputs: tuple[Path, ...]) -> int:
        """Score every input and return the exit code.

        Raises
        ------
        ServerUnreachableError, ModelChangedError, GateError
            If the server is gone, or another model answers: no further input could be scored.
        ResultsError
            If another call is writing to the same folder.
        ImageError
            If more than one input is a folder of images, or the reference cannot be used.
        """
        started = time.monotonic()
        image_folders = [path for path in inputs if is_image_folder(path)]
        if len(image_folders) > 1:
            raise ImageError("give one folder of images a call; their results share one file")
        if len(image_folders) < len(inputs):
            self.reference = self._recorded_reference()
        self.options.out.mkdir(parents=True, exist_ok=True)
        with locked_folder(self.options.out) as ours:
            if not ours:
                raise ResultsError(
                    "another fcdd-score writes to the folder of --out, and its lists would be lost; wait until it has "
                    "ended, or give another folder"
                )
            remove_drafts(self.options.out)
            self._score_inputs(inputs, image_folders, started)
        if self.failed:
            return SOME_FAILED if self.done else NONE_USABLE
        return 0

    def _score_inputs(self, inputs: tuple[Path, ...], image_folders: list[Path], started: float) -> None:
        LOG.info("run started", inputs=len(inputs))
        reached = 0
        try:
            for number, path in enumerate(inputs, start=1):
                if path in image_folders:
                    self._score_image_folder(_Label(number, None, (path,)), path)
                else:
                    self._score_input(number, path)
                reached = number
        finally:
            # A list without the inputs that a lost server or a signal left over would look complete.
            names = [f"input {number}" for number in range(reached + 1, len(inputs) + 1)]
            names[:1] = self.left_over or names[:1]
            self.index += [FailedEntry(name, _LEFT_OVER) for name in names]
            for (kind, sentence), (_, *others) in self.said.items():
                if others:
                    studies = "1 more study" if len(others) == 1 else f"{len(others)} more studies"
                    self.options.complain(f"{kind}: {studies} ({_inputs_of(others)}): {sentence}")
            self._write_lists(several=len(inputs) > 1 or len(self.studies) > 1)
            counts = {"scored": self.done, "to_review": self.to_review, "failed": self.failed}
            counts["left_over"] = len(names)
            LOG.info("run ended", **counts, seconds=round(time.monotonic() - started, 3))

    def _recorded_reference(self) -> Reference | None:
        if self.options.reference is None:
            return None
        contract = self.backend.contract
        if "reference" not in contract.inputs:
            raise ImageError(f"{contract.network} takes no reference images; leave --reference out")
        return recorded_reference(self.options.reference)

    def _score_input(self, number: int, path: Path) -> None:
        with scratch_folder("fcdd-score") as scratch:
            label = _Label(number, None, (path, scratch))
            try:
                studies = self.worker.call(find_studies, path, scratch)
            except StudyError as error:
                self._fail(label, str(error))
                return
            except OSError as error:
                self._fail(label, f"the input cannot be read ({error.strerror}); give a folder that can")
                return
            LOG.info("input read", **label.fields(), studies=len(studies))
            numbers = range(1, len(studies) + 1) if len(studies) > 1 else [None]
            for done, (study_number, study) in enumerate(zip(numbers, studies, strict=True)):
                self.left_over = [f"{label.text}, study {left}" for left in numbers[done:] if left]
                self._score_study(_Label(number, study_number, label.folders), study)
            self.left_over = []

    def _score_study(self, label: _Label, study: StudyOnDisk) -> None:
        if study.study_instance_uid in self.studies:
            self._fail(label, "this study was in an earlier input already; give each study once, in one folder")
            return
        self.studies.add(study.study_instance_uid)
        folder = self.options.out / study_folder_name(study.study_instance_uid)

        options, contract = self.options, self.backend.contract
        if folder.exists() and _study_in(folder) != study.study_instance_uid:
            self._fail(
                label,
                f"the folder of its result, {folder.name}, holds something else; move that away, or give another --out",
            )
            return

        try:
            prepared = self.worker.call(prepare_study, study, contract, options.manual, self.reference)
            scores, maps = infer(prepared, self.backend)
            result = self._finish(prepared, scores, maps)
            lacking = self.worker.call(write_results, result, study, folder, options.look, options.write_dicom)
        except ENDS_THE_RUN:
            raise
        except FcddError as error:
            self._tell(label, study.findings)
            earlier = ""
            if folder.exists() and isinstance(error, StudyError) and error.code not in NOT_THE_STUDYS_FAULT:
                # What an earlier call wrote would look current.
                shutil.rmtree(folder)
                earlier = "; its earlier result was removed"
            elif folder.exists():
                earlier = "; its earlier result was kept"
            self._fail(label, f"{error}{earlier}")
            return
        self._tell(label, result.findings)
        for lack in lacking:
            self._say("Warning", label, lack)
        self.done += 1
        self.to_review += result.state == "review"
        self.rows += summary_rows(result)
        self.index.append(index_entry(result, self.options.look))
        LOG.info("study scored", **label.fields(), state=Redacted(result.state))
        state = state_of(result.flagged, to_review=bool(result.review))
        shown = "  ".join(f"{breast.laterality} {breast.score:.6g}" for breast in result.breasts)
        self.options.say(f"{folder.name}  {shown}  {state.in_line}  {folder / 'report.html'}")

    def _finish(self, prepared: Prepared, scores: Scores, maps: Maps) -> StudyResult:
        try:
            return finish(prepared, scores, maps, self.backend.contract)
        except Exception as error:  # whatever it is, it belongs to this study alone
            raise StudyError(
                f"a fault of this program ({type(error).__name__}) left the study without a result; report it to us",
                "limits",
            ) from error

    def _score_image_folder(self, label: _Label, path: Path) -> None:
        try:
            result = score_images(path, self.backend, self.options.reference, self._read_image)
        except ENDS_THE_RUN:
            raise
        except FcddError as error:
            self._fail(label, str(error))
            return
        write_image_scores(result, self.backend, self.options.out, self.options.save_maps)
        for failure in result.failures:
            self._fail(label, failure)
        self.done += len(result.names)
        LOG.info("images scored", **label.fields(), images=len(result.names))
        self.options.say(f"{len(result.names)} images scored  {self.options.out / 'results.json'}")

    def _read_image(self, path: Path, resize: Resize) -> GreyImage:
        return self.worker.call(network_image, path, resize)

    def _fail(self, label: _Label, sentence: str) -> None:
        self.failed += 1
        self.index.append(FailedEntry(label.text, sentence))
        shown = for_terminal(sentence, _file_numbers(label.folders))
        LOG.error("not scored", **label.fields(), sentence=shown)
        self.options.complain(f"Error: {label.text}: {shown}")

    def _tell(self, label: _Label, findings: tuple[Finding, ...]) -> None:
        for finding in findings:
            self._say("Warning" if finding.to_review else "Note", label, finding.sentence)

    def _say(self, kind: str, label: _Label, sentence: str) -> None:
        """Print a sentence the first time; what many studies have in common is counted and told at the end."""
        shown = for_terminal(sentence, _file_numbers(label.folders))
        if kind == "Note":
            LOG.info("note", **label.fields(), sentence=shown)
        else:
            LOG.warning("doubt", **label.fields(), sentence=shown)
        studies = self.said.setdefault((kind, shown), [])
        if not studies:
            self.options.complain(f"{kind}: {label.text}: {shown}")
        if label not in studies[-1:]:
            studies.append(label)

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


def _study_in(folder: Path) -> str | None:
    """Return the Study Instance UID of the result in a folder; None if there is no result."""
    try:
        uid = json_from_outside(read_outside_text(folder / RESULT_FILE))["study_instance_uid"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return uid if isinstance(uid, str) else None


def _inputs_of(labels: list[_Label]) -> str:
    """Name the inputs of some studies, such as `inputs 2-4, 7`."""
    spans: list[list[int]] = []
    for number in dict.fromkeys(label.input for label in labels):
        if spans and number == spans[-1][-1] + 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    named = ", ".join("-".join(map(str, span)) for span in spans)
    return f"input {named}" if named.isdecimal() else f"inputs {named}"


@functools.lru_cache(maxsize=1)
def _file_numbers(folders: tuple[Path, ...]) -> dict[str, int]:
    """Number the file names of an input from 1 in sorted order; kept for the next sentence about the same input."""
    names = sorted({name for folder in folders for _, _, names in os.walk(folder) for name in names})
    return {quoted(name): number for number, name in enumerate(names, start=1)}
