"""Result -> DICOM objects beside the report. Needs highdicom."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from io import BytesIO
from pathlib import Path

import highdicom
import pydicom
from pydicom import dcmread
from pydicom.dataset import Dataset

from fcdd_runtime.errors import FcddError
from fcdd_runtime.files import sha256_of
from fcdd_runtime.images.regions import find_regions
from fcdd_runtime.outside_text import json_from_outside, read_outside_text
from fcdd_runtime.pacs import MADE_FILE, DicomOptions
from fcdd_runtime.pacs.objects import KIND_SERIES, ResultObjects, Series, reference
from fcdd_runtime.pacs.parametric_map import parametric_map
from fcdd_runtime.pacs.presentation_state import presentation_state
from fcdd_runtime.pacs.region import segmentation
from fcdd_runtime.pacs.secondary_capture import key_slices, overlay_capture
from fcdd_runtime.pacs.source_slice import SourceSlice, read_source_slice
from fcdd_runtime.pacs.structured_report import structured_report
from fcdd_runtime.result import BreastResult, StudyResult
from fcdd_runtime.study.read import Study

CHECKSUMS = "dicom.sha256"
"""Lists the objects of a folder, as `sha256sum --check` reads it: what is damaged is not kept."""
MOST_REGIONS = 20
"""A response that falls apart into more points at nothing; the strongest are written."""
_CITED = ("map", "region", "slices")
"""Kinds that the report names as its evidence."""

_NO_SERIES = "the source images have no Series Instance UID, so that nothing can refer to them"
_NO_FRAME_OF_REFERENCE = (
    "the source images have no Frame of Reference UID, without which a position in the patient has no meaning"
)
_EQUAL_UIDS = "several source images share one SOP Instance UID, so that nothing can be said of one of them"
_INTERPOLATED = "a phase was interpolated, so that what is shown lies between the source images"


def write_dicom_results(
    result: StudyResult,
    study: Study,
    folder: Path,
    earlier: Path,
    options: DicomOptions = DicomOptions(),  # noqa: B008 (frozen)
) -> tuple[str, ...]:
    """Write the chosen objects into a folder: `<kind>_<laterality>.dcm` for each breast, `sr.dcm`, and `CHECKSUMS`.

    An object whose UID follows from the same statements as one in `earlier` is that one, byte for byte.

    Parameters
    ----------
    result : what was scored
    study : the study that it was made of; its files are read again for patient identity, which scoring does not keep
    folder : an existing folder
    earlier : where a former call has left objects of this study; it need not exist

    Returns
    -------
    one sentence for each reason why objects could not be written, with their names

    Raises
    ------
    StudyError
        If the result is not one of this study, or a file of it can no longer be read.
    OSError
        If a file cannot be written.
    """
    lacking: dict[str, list[str]] = {}
    with _silent():
        sources = {breast.laterality: read_source_slice(breast, study) for breast in result.breasts}
        objects = ResultObjects(result, options.created or datetime.now(), sources, options.look)
        writer = _Writer(objects, folder, earlier, _checksums_in(earlier), _made_in(earlier), lacking)
        written = []
        for breast in result.breasts:
            planned, reasons = _of_breast(breast, objects, options)
            for kind, why in reasons.items():
                lacking.setdefault(why, []).append(f"{kind}_{breast.laterality}.dcm")
            written += [each for each in planned if writer.write(each)]
        if "sr" in options.kinds:
            [why, *_] = [why for source in sources.values() if (why := _why_no_report(source))] or [""]
            if why:
                lacking.setdefault(why, []).append("sr.dcm")
            else:
                writer.write(_report(objects, written, earlier))
        writer.write_lists()
    sentences = [
        f"{', '.join(names)} {'was' if len(names) == 1 else 'were'} not written: {why}."
        for why, names in lacking.items()
    ]
    return (*sentences, *_too_many(written))


@dataclass(frozen=True)
class _Planned:
    """An object that belongs into the folder."""

    kind: str
    """A key of `KIND_SERIES`."""
    name: str
    """Of its file."""
    series: Series
    """Its `ResultObjects.series`."""
    make: Callable[[ResultObjects, Series], Dataset]
    left_out: int = 0
    """How many regions are too many for it."""


@dataclass
class _Writer:
    """Writes objects, or takes over those that state the same."""

    objects: ResultObjects
    folder: Path
    earlier: Path
    known: dict[str, str]
    """Checksums of earlier objects, by name."""
    made: dict[str, str]
    """When each object of the study was made first, in ISO 8601, by its UID."""
    lacking: dict[str, list[str]]
    """Gets the names of objects that cannot be made, by the reason."""
    checksums: dict[str, str] = field(default_factory=dict)

    def write(self, planned: _Planned) -> bool:
        """Write an object; whether it is there now. A fault of ours costs the object, and not the study its score."""
        data, uid = self._kept(planned), planned.series["sop_instance_uid"]
        if data is None:
            buffer = BytesIO()
            moment = datetime.fromisoformat(self.made.setdefault(uid, self.objects.created.isoformat()))
            objects = self.objects if moment == self.objects.created else replace(self.objects, created=moment)
            series = {**planned.series, "content_date": moment.date(), "content_time": moment.time()}
            try:
                planned.make(objects, series).save_as(buffer, enforce_file_format=True)
            except (FcddError, OSError, MemoryError):
                raise
            except Exception as error:
                why = f"making it met a fault of this program ({type(error).__name__}); report it to us"
                self.lacking.setdefault(why, []).append(planned.name)
                return False
            data = buffer.getvalue()
        (self.folder / planned.name).write_bytes(data)
        self.checksums[planned.name] = sha256_of(data)
        return True

    def write_lists(self) -> None:
        (self.folder / MADE_FILE).write_text(json.dumps(self.made, indent=0) + "\n", encoding="utf-8")
        lines = [f"{digest}  {name}\n" for name, digest in sorted(self.checksums.items())]
        (self.folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")

    def _kept(self, planned: _Planned) -> bytes | None:
        try:
            data = (self.earlier / planned.name).read_bytes()
            uid = dcmread(BytesIO(data), stop_before_pixels=True).SOPInstanceUID
        except Exception:  # whatever lies there; what is damaged makes pydicom raise almost anything
            return None
        whole = self.known.get(planned.name) == sha256_of(data)
        return data if whole and uid == planned.series["sop_instance_uid"] else None


def _of_breast(
    breast: BreastResult, objects: ResultObjects, options: DicomOptions
) -> tuple[list[_Planned], dict[str, str]]:
    """Plan a breast's objects, and say of each kind that cannot be written why."""
    result, source = objects.result, objects.sources[breast.laterality]
    interpolated = any(finding.code == "interpolated" for finding in result.findings)
    slices = _EQUAL_UIDS if source.ambiguous else _INTERPOLATED if interpolated else ""
    place = "" if source.frame_of_reference_uid else _NO_FRAME_OF_REFERENCE
    regions = find_regions(breast, result.contract)
    makers: dict[str, tuple[str, Callable[[ResultObjects, Series], Dataset]]] = {
        "overlay": ("", partial(overlay_capture, breast, source)),
        "slices": (slices, partial(key_slices, breast, regions, source)),
        "mark": (slices, partial(presentation_state, breast, source)),
        "map": (place, partial(parametric_map, breast, source)),
    }
    # Where nothing says that a breast is below the operating point, its region is shown.
    if regions and (breast.flagged is not False or result.review or options.all_regions):
        makers["region"] = (place or slices, partial(segmentation, breast, regions[:MOST_REGIONS], source))
    planned, reasons = [], {}
    for kind, (why, make) in makers.items():
        if kind not in options.kinds:
            continue
        if why or not source.series_instance_uid:
            reasons[kind] = why or _NO_SERIES
        else:
            name = f"{kind}_{breast.laterality}.dcm"
            left_out = max(0, len(regions) - MOST_REGIONS) if kind == "region" else 0
            planned.append(_Planned(kind, name, objects.series(kind, breast), make, left_out))
    return planned, reasons


def _why_no_report(source: SourceSlice) -> str:
    if not source.frame_of_reference_uid:
        return _NO_FRAME_OF_REFERENCE
    return "" if source.series_instance_uid else _NO_SERIES


def _too_many(written: Sequence[_Planned]) -> list[str]:
    return [
        f"{each.name} holds the {MOST_REGIONS} strongest of {MOST_REGIONS + each.left_out} regions."
        for each in written
        if each.left_out
    ]


def _report(objects: ResultObjects, written: Sequence[_Planned], earlier: Path) -> _Planned:
    """Plan the report: as the earlier one if it would state the same, and otherwise as the one that follows it."""
    sources = list(objects.sources.values())
    siblings = [reference(each.kind, each.series, sources[0]) for each in written if each.kind in _CITED]
    cited = [str(sibling.SOPInstanceUID) for sibling in siblings]
    former = _former_report(earlier / "sr.dcm", objects.result.study_instance_uid)
    predecessor = None if former is None else _predecessor_of(former)
    series = objects.series("sr", also=[*cited, "" if predecessor is None else predecessor.SOPInstanceUID])
    if former is not None and former.SOPInstanceUID != series["sop_instance_uid"]:
        predecessor = former
        series = objects.series("sr", also=[*cited, former.SOPInstanceUID])
    return _Planned("sr", "sr.dcm", series, partial(structured_report, sources, siblings, predecessor))


def _former_report(path: Path, study_instance_uid: str) -> Dataset | None:
    """Return the report of an earlier call on this study; None where there is none that can be read."""
    try:
        former = dcmread(path)
        ours = former.SOPClassUID == KIND_SERIES["sr"].sop_class_uid
        of_study = former.StudyInstanceUID == study_instance_uid
        named = former.SOPInstanceUID and former.SeriesInstanceUID
    except Exception:  # as in `_kept`
        return None
    return former if ours and of_study and named else None


def _predecessor_of(report: Dataset) -> Dataset | None:
    try:
        [study, *_] = report.PredecessorDocumentsSequence
        [series, *_] = study.ReferencedSeriesSequence
        [item, *_] = series.ReferencedSOPSequence
        found = Dataset()
        found.StudyInstanceUID, found.SeriesInstanceUID = study.StudyInstanceUID, series.SeriesInstanceUID
        found.SOPClassUID, found.SOPInstanceUID = item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID
    except (AttributeError, ValueError):
        return None
    return found


def _made_in(folder: Path) -> dict[str, str]:
    """Return when objects were made that were ever in a folder, by UID; what cannot be read was never made."""
    try:
        found = json_from_outside(read_outside_text(folder / MADE_FILE))
        return {str(uid): datetime.fromisoformat(moment).isoformat() for uid, moment in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _checksums_in(folder: Path) -> dict[str, str]:
    """Return the checksums that a former call has left, by name of the object."""
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    return {name: digest for digest, separator, name in (line.partition("  ") for line in lines) if separator}


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
