"""Whose images they are: the files of one study have to name one patient.

The values are compared and never shown: no message, result or log line holds them.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import Finding


@dataclass(frozen=True)
class Patient:
    """What a file says about the patient; empty where it says nothing."""

    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    """Who gave the PatientID."""
    birth_date: str = field(repr=False)
    name: str = field(repr=False)
    """In small letters, its components with one space between them: how it is written, not how it is laid out."""


def patient_in(header: Dataset) -> Patient:
    """Read the patient's attributes of a header."""
    patient_id, issuer, birth_date, name = (
        str(header.get(keyword) or "").strip()
        for keyword in ("PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientName")
    )
    return Patient(patient_id, issuer, birth_date, " ".join(re.split(r"[\s^=]+", name.casefold())).strip())


def check_one_patient(patients: Collection[Patient]) -> tuple[Finding, ...]:
    """Compare what the files of a study say.

    A missing issuer or birth date says nothing: other programs leave them out.

    Raises
    ------
    StudyError
        If they name different patients: PatientID, its issuer or the birth date differ.
    """
    for attribute, values in {
        "PatientID": {each.patient_id for each in patients},
        "IssuerOfPatientID": {each.issuer for each in patients},
        "PatientBirthDate": {each.birth_date for each in patients},
    }.items():
        if len(values - {""}) > 1:
            raise StudyError(
                f"the files of the study name different patients ({attribute}); part them by patient and score each "
                "alone",
                "two-patients",
            )
    findings = []
    if len({each.name for each in patients} - {""}) > 1:
        findings.append("The files of the study spell the patient's name in different ways.")
    if any(len({bool(getattr(each, name)) for each in patients}) > 1 for name in ("patient_id", "name")):
        findings.append("Some files of the study do not say whose images they are, and others do.")
    return tuple(Finding("patient-unclear", sentence) for sentence in findings)
