"""Writers of a study's result: JSON for machines, pictures and one page for people, one CSV over many studies."""

import csv
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fcdd_runtime.files import replaced_folder
from fcdd_runtime.report.colormap import DEFAULT_LOOK, Look
from fcdd_runtime.report.overlay import overlay_image
from fcdd_runtime.report.pages import PNG_LEVEL
from fcdd_runtime.report.study_page import study_page
from fcdd_runtime.result import StudyResult
from fcdd_runtime.software import INTENDED_USE, NAME, software_version

RESULT_FILE = "result.json"


@dataclass(frozen=True)
class SummaryRow:
    """One breast in `summary.csv`; the fields are its columns."""

    study: str
    """Folder of the study, as `study_folder_name` gives it."""
    study_instance_uid: str
    laterality: str
    score: float
    flagged: str
    """`true`, `false`, or empty if the model has no operating point."""
    threshold: float | None
    peak_x_mm: float
    """Patient coordinates in LPS, as y and z."""
    peak_y_mm: float
    peak_z_mm: float
    sop_instance_uid: str
    frame_number: int | None
    state: str
    """`scored`, or `review` where a person has to look at the study."""
    review: str
    """Codes of the findings that say so, with `;` between them."""


def write_study_report(
    result: StudyResult, folder: Path, look: Look = DEFAULT_LOOK, also: Callable[[Path], None] | None = None
) -> None:
    """Write `result.json`, `report.html` and an `overlay_<laterality>.png` for each breast.

    Everything is written beside `folder` first and then renamed, so `folder` is never half written. A folder that an
    earlier run left is replaced.

    Parameters
    ----------
    look : colours of the pictures; the page offers both scales
    also : writes what else belongs into the folder that it is given, such as DICOM objects

    Raises
    ------
    OSError
        If the folder cannot be written; what was there before is then still there.
    ValueError
        If a number in the result is NaN or infinite.
    """
    with replaced_folder(folder) as fresh:
        (fresh / RESULT_FILE).write_text(result_json(result), encoding="utf-8")
        for breast in result.breasts:
            overlay_image(breast, result, look).save(
                fresh / f"overlay_{breast.laterality}.png", compress_level=PNG_LEVEL
            )
        page = study_page(result, study_folder_name(result.study_instance_uid), look)
        (fresh / "report.html").write_text(page, encoding="utf-8", errors="replace")
        if also is not None:
            also(fresh)


def study_folder_name(study_instance_uid: str) -> str:
    """Return a name that does not give the UID away: the first 32 hexadecimal digits of its SHA-256.

    These are 128 bits: of 48, two UIDs with one name were found in a minute and a half.
    """
    return hashlib.sha256(study_instance_uid.encode()).hexdigest()[:32]


def write_summary(rows: Iterable[SummaryRow], path: Path) -> None:
    """Write a CSV file with a header and one row a breast."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(SummaryRow)])
        writer.writeheader()
        for row in rows:
            cells = dataclasses.asdict(row)
            writer.writerow(
                {name: _plain_cell(cell) if isinstance(cell, str) else cell for name, cell in cells.items()}
            )


def _plain_cell(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula; UIDs come from headers as they are."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def summary_rows(result: StudyResult) -> tuple[SummaryRow, ...]:
    """Return a study's rows of the summary, in the order of its breasts."""
    point = result.contract.operating_point
    rows = []
    for breast in result.breasts:
        x, y, z = breast.peak.patient_mm
        row = SummaryRow(
            study=study_folder_name(result.study_instance_uid),
            study_instance_uid=result.study_instance_uid,
            laterality=breast.laterality,
            score=float(breast.score),
            flagged="" if breast.flagged is None else str(bool(breast.flagged)).lower(),
            threshold=None if point is None else point.threshold,
            peak_x_mm=float(x),
            peak_y_mm=float(y),
            peak_z_mm=float(z),
            sop_instance_uid=breast.peak.sop_instance_uid,
            frame_number=breast.peak.frame_number,
            state=result.state,
            review=";".join(dict.fromkeys(finding.code for finding in result.review)),
        )
        rows.append(row)
    return tuple(rows)


def result_json(result: StudyResult) -> str:
    """Return the result without its images, as JSON text.

    Raises
    ------
    ValueError
        If a number is NaN or infinite.
    """
    contract = result.contract
    document = {
        "study_instance_uid": result.study_instance_uid,
        "state": result.state,
        "review": [dataclasses.asdict(finding) for finding in result.review],
        "notes": [dataclasses.asdict(finding) for finding in result.notes],
        "exam_score": float(result.exam_score),
        "flagged": _plain_flag(result.flagged),
        "breasts": [
            {
                "laterality": breast.laterality,
                "score": float(breast.score),
                "flagged": _plain_flag(breast.flagged),
                "reference": breast.reference,
                "peak": {
                    "patient_mm": [float(value) for value in breast.peak.patient_mm],
                    "sop_instance_uid": breast.peak.sop_instance_uid,
                    "frame_number": None if breast.peak.frame_number is None else int(breast.peak.frame_number),
                    "heatmap_pixel": [int(value) for value in breast.peak.heatmap_pixel],
                    "image_pixel": [int(value) for value in breast.peak.image_pixel],
                },
            }
            for breast in result.breasts
        ],
        "operating_point": None if contract.operating_point is None else dataclasses.asdict(contract.operating_point),
        "phases": dataclasses.asdict(result.phases),
        "split": dataclasses.asdict(result.split),
        "warnings": [finding.sentence for finding in result.findings],
        "inputs": {
            "slices": len(result.inputs),
            "sop_instance_uids": list(dict.fromkeys(source.sop_instance_uid for source in result.inputs)),
            "sha256": inputs_sha256(result),
        },
        "not_used": [dataclasses.asdict(series) for series in result.not_used],
        "model": {
            "name": contract.name,
            "network": contract.network,
            "objective": contract.objective,
            "precision": contract.precision,
            "target": contract.target,
            "snapshot_sha256": contract.snapshot_sha256,
            "artefact_sha256": contract.artefact_sha256,
            "versions": dict(contract.versions),
            "notes": list(contract.notes),
        },
        "software": {"name": NAME, "version": software_version()},
        "intended_use": INTENDED_USE,
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def inputs_sha256(result: StudyResult) -> str:
    """Return a hash of which slices were subtracted, in their order: SOP Instance UID, and frame where there is one."""
    named = (f"{source.sop_instance_uid} {source.frame_number or ''}\n" for source in result.inputs)
    return hashlib.sha256("".join(named).encode()).hexdigest()


def _plain_flag(flagged: bool | None) -> bool | None:
    """Turn a NumPy boolean, which a comparison of scores gives, into one that JSON has a word for."""
    return None if flagged is None else bool(flagged)
