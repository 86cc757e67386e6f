"""Result -> DICOM objects beside the report. Needs highdicom."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import highdicom
import pydicom
from pydicom.dataset import Dataset

from fcdd_runtime.pacs.objects import ResultObjects
from fcdd_runtime.pacs.parametric_map import parametric_map
from fcdd_runtime.pacs.secondary_capture import secondary_capture
from fcdd_runtime.pacs.source_slice import SourceSlice, read_source_slice
from fcdd_runtime.pacs.structured_report import structured_report
from fcdd_runtime.report.colormap import Look
from fcdd_runtime.result import StudyResult
from fcdd_runtime.study.read import Study


def write_dicom_results(
    result: StudyResult, study: Study, folder: Path, look: Look, created: datetime | None = None
) -> tuple[str, ...]:
    """Write `overlay_<laterality>.dcm` and `map_<laterality>.dcm` for each breast, and `sr.dcm`, into a folder.

    Parameters
    ----------
    result : what was scored
    study : the study that it was made of; its files are read again for patient identity, which scoring does not keep
    folder : an existing folder
    look : colours of the overlays
    created : when the objects were made; now if None. Their UIDs follow from the result alone

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
    objects = ResultObjects(result, created or datetime.now())
    with _silent():
        sources = [read_source_slice(breast.peak, study) for breast in result.breasts]
        for name, dataset in _datasets(objects, sources, look):
            dataset.save_as(folder / name, enforce_file_format=True)
    lacking = [
        f"map_{breast.laterality}.dcm"
        for breast, source in zip(result.breasts, sources, strict=True)
        if not source.frame_of_reference_uid
    ]
    if not lacking:
        return ()
    return (
        f"{', '.join(lacking)} and sr.dcm were not written: the source images have no Frame of Reference UID, "
        "without which a position in the patient has no meaning.",
    )


def _datasets(objects: ResultObjects, sources: Sequence[SourceSlice], look: Look) -> Iterator[tuple[str, Dataset]]:
    for breast, source in zip(objects.result.breasts, sources, strict=True):
        yield f"overlay_{breast.laterality}.dcm", secondary_capture(breast, source, objects, look)
        if source.frame_of_reference_uid:
            yield f"map_{breast.laterality}.dcm", parametric_map(breast, source, objects)
    if all(source.frame_of_reference_uid for source in sources):
        yield "sr.dcm", structured_report(objects, sources)


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
