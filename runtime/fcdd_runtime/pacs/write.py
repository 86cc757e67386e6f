"""Result -> DICOM objects beside the report. Needs highdicom."""

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import highdicom
import pydicom
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from fcdd_runtime.images.regions import find_regions
from fcdd_runtime.pacs import DicomOptions
from fcdd_runtime.pacs.objects import KIND_SERIES, ResultObjects, Series, reference
from fcdd_runtime.pacs.parametric_map import parametric_map
from fcdd_runtime.pacs.presentation_state import presentation_state
from fcdd_runtime.pacs.region import segmentation
from fcdd_runtime.pacs.secondary_capture import key_slices, overlay_capture
from fcdd_runtime.pacs.source_slice import SourceSlice, read_source_slice
from fcdd_runtime.pacs.structured_report import structured_report
from fcdd_runtime.result import BreastResult, StudyResult
from fcdd_runtime.study.read import Study

_NEED_FRAME_OF_REFERENCE = ("map", "region", "sr")
_NO_FRAME_OF_REFERENCE = (
    "the source images have no Frame of Reference UID, without which a position in the patient has no meaning"
)
_NEED_SLICES = ("region", "slices", "mark")
_EQUAL_UIDS = "several source images share one SOP Instance UID, so that nothing can be said of one of them"
_CITED = ("map", "region", "slices")
"""Kinds that the report names as its evidence."""


def write_dicom_results(
    result: StudyResult,
    study: Study,
    folder: Path,
    earlier: Path,
    options: DicomOptions = DicomOptions(),  # noqa: B008 (frozen)
) -> tuple[str, ...]:
    """Write the chosen objects into a folder: `<kind>_<laterality>.dcm` for each breast, and `sr.dcm`.

    An object whose UID follows from the same statements as one in `earlier` is that one, byte for byte.

    Parameters
    ----------
    result : what was scored
    study : the study that it was made of; its files are read again for patient identity, which scoring does not keep
    folder : an existing folder
    earlier : where a former call has left objects of this study; it need not exist

    Returns
    -------
    one sentence for each kind of object that could not be written, and why

    Raises
    ------
    StudyError
        If the result is not one of this study, or a file of it can no longer be read.
    OSError
        If a file cannot be written.
    """
    with _silent():
        sources = [read_source_slice(breast, study) for breast in result.breasts]
        objects = ResultObjects(result, options.created or datetime.now(), sources[0].identity, options.look)
        placed = all(source.frame_of_reference_uid for source in sources)
        planned = [
            each
            for breast, source in zip(result.breasts, sources, strict=True)
            for each in _of_breast(breast, source, objects, options)
        ]
        if "sr" in options.kinds and placed:
            planned.append(_report(objects, sources, planned, earlier))
        for each in planned:
            if _uid_in(earlier / each.name) == each.series["sop_instance_uid"]:
                shutil.copyfile(earlier / each.name, folder / each.name)
            else:
                each.make(each.series).save_as(folder / each.name, enforce_file_format=True)
    sentences = []
    for says, kinds, why in (
        (not placed, _NEED_FRAME_OF_REFERENCE, _NO_FRAME_OF_REFERENCE),
        (any(source.ambiguous for source in sources), _NEED_SLICES, _EQUAL_UIDS),
    ):
        lacking = [kind for kind in kinds if kind in options.kinds]
        if says and lacking:
            sentences.append(f"The DICOM objects {', '.join(lacking)} were not written: {why}.")
    return tuple(sentences)


@dataclass(frozen=True)
class _Planned:
    """An object that belongs into the folder."""

    kind: str
    """A key of `KIND_SERIES`."""
    name: str
    """Of its file."""
    series: Series
    """Its `ResultObjects.series`."""
    make: Callable[[Series], Dataset]


def _of_breast(
    breast: BreastResult, source: SourceSlice, objects: ResultObjects, options: DicomOptions
) -> Iterator[_Planned]:
    result = objects.result
    makers: dict[str, Callable[[Series], Dataset]] = {"overlay": partial(overlay_capture, breast, source, objects)}
    if not source.ambiguous:
        makers["slices"] = partial(key_slices, breast, source, objects)
        makers["mark"] = partial(presentation_state, breast, source, objects)
    if source.frame_of_reference_uid:
        makers["map"] = partial(parametric_map, breast, source, objects)
    if source.frame_of_reference_uid and not source.ambiguous:
        # Where nothing says that a breast is below the operating point, its region is shown.
        shown = breast.flagged is not False or result.review or options.all_regions
        if "region" in options.kinds and shown and (regions := find_regions(breast, result.contract)):
            makers["region"] = partial(segmentation, breast, regions, source, objects)
    for kind, make in makers.items():
        if kind in options.kinds:
            yield _Planned(kind, f"{kind}_{breast.laterality}.dcm", objects.series(kind, breast), make)


def _report(
    objects: ResultObjects, sources: Sequence[SourceSlice], planned: Sequence[_Planned], earlier: Path
) -> _Planned:
    """Plan the report: as the earlier one if it would state the same, and otherwise as the one that follows it."""
    siblings = [reference(each.kind, each.series, sources[0]) for each in planned if each.kind in _CITED]
    cited = [str(sibling.SOPInstanceUID) for sibling in siblings]
    former = _former_report(earlier / "sr.dcm", objects.result.study_instance_uid)
    predecessor = None if former is None else _predecessor_of(former)
    series = objects.series("sr", also=[*cited, "" if predecessor is None else predecessor.SOPInstanceUID])
    if former is not None and former.SOPInstanceUID != series["sop_instance_uid"]:
        predecessor = former
        series = objects.series("sr", also=[*cited, former.SOPInstanceUID])
    return _Planned("sr", "sr.dcm", series, partial(structured_report, objects, sources, siblings, predecessor))


def _former_report(path: Path, study_instance_uid: str) -> Dataset | None:
    try:
        former = dcmread(path)
    except (OSError, EOFError, InvalidDicomError):
        return None
    ours = former.get("SOPClassUID") == KIND_SERIES["sr"].sop_class_uid
    return former if ours and former.get("StudyInstanceUID") == study_instance_uid else None


def _predecessor_of(report: Dataset) -> Dataset | None:
    for study in report.get("PredecessorDocumentsSequence", []):
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                found = Dataset()
                found.StudyInstanceUID, found.SeriesInstanceUID = study.StudyInstanceUID, series.SeriesInstanceUID
                found.SOPClassUID, found.SOPInstanceUID = item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID
                return found
    return None


def _uid_in(path: Path) -> str | None:
    """Return the SOP Instance UID of a DICOM file that is there to its end; None if there is no such file."""
    try:
        dataset = dcmread(path)
        last = dataset.get_item(max(dataset.keys()))
        whole = not isinstance(last, RawDataElement) or last.length == len(last.value or b"")
        return str(dataset.SOPInstanceUID) if whole else None
    except (OSError, EOFError, InvalidDicomError, AttributeError, ValueError):
        return None


@contextmanager
def _silent() -> Iterator[None]:
    """Keep pydicom and highdicom from printing values of headers: names, dates and UIDs do not belong in a log."""
    loggers = [logging.getLogger(package.__name__) for package in (highdicom, pydicom)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
