"""One study is one patient's: what its files say about the patient is compared, and shown nowhere."""

from pathlib import Path
from typing import Any

import pytest
from mock_study import MockStudy, breast_phantom
from pydicom import dcmread
from result_builders import make_contract

from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import Finding
from fcdd_runtime.score_study import prepare
from fcdd_runtime.study.read import read_studies
from support import assert_review, reviews

ANNE = {"PatientID": "A1", "PatientName": "Roe^Anne", "PatientBirthDate": "19700131", "IssuerOfPatientID": "H"}


def findings_of(folder: Path, first_after: dict[str, Any], enhanced: bool = False) -> tuple[Finding, ...]:
    """Prepare a study of Anne's whose phases after contrast have other values; None removes an attribute."""
    mock = MockStudy(breast_phantom(), series_per_phase=True, enhanced=enhanced, attributes=ANNE)
    paths = mock.write(folder)
    for path in paths[len(paths) // 3 :]:
        header = dcmread(path)
        for keyword, value in first_after.items():
            setattr(header, keyword, value)
            if value is None:
                delattr(header, keyword)
        header.save_as(path)
    ((study,), notes) = read_studies(folder, folder)
    assert notes == []
    return prepare(study, make_contract()).findings


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize(
    "other", [{"PatientID": "B2"}, {"IssuerOfPatientID": "K"}, {"PatientBirthDate": "19701231"}, {"PatientID": "a1"}]
)
def test_two_patients_in_one_study_are_refused_without_their_names(
    other: dict[str, str], enhanced: bool, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match="name different patients") as caught:
        findings_of(tmp_path, other, enhanced)
    assert caught.value.code == "two-patients"
    assert not any(value in str(caught.value) for value in (*ANNE.values(), *other.values()) if len(value) > 1)


@pytest.mark.parametrize("name", ["Roe^Ann", "Roe-Doe^Anne"])
def test_another_spelling_of_the_name_is_put_to_review(name: str, tmp_path: Path) -> None:
    assert_review(findings_of(tmp_path, {"PatientName": name}), "patient-unclear", "spell")


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName"])
def test_images_of_nobody_among_those_of_a_patient_are_put_to_review(keyword: str, tmp_path: Path) -> None:
    assert_review(findings_of(tmp_path, {keyword: None}), "patient-unclear", "do not say whose")


@pytest.mark.parametrize(
    "other",
    [{}, {"PatientName": "ROE^ANNE^^^"}, {"PatientName": "Roe Anne"}, {"PatientBirthDate": None}, {"PatientID": "A1 "}],
)
def test_the_same_patient_written_in_another_layout_is_one_patient(other: dict[str, Any], tmp_path: Path) -> None:
    assert reviews(findings_of(tmp_path, other)) == ()


def test_a_study_without_any_patient_is_one_study(tmp_path: Path) -> None:
    MockStudy(breast_phantom()).write(tmp_path)
    ((study,), _) = read_studies(tmp_path, tmp_path)
    assert reviews(prepare(study, make_contract()).findings) == ()


def test_names_beyond_ascii_are_read_alike_on_both_ways(tmp_path: Path) -> None:
    """The short walk over headers and pydicom must not make two patients of one."""
    attributes = {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "M\xfcller^J\xf6rg", "PatientID": "1"}
    paths = MockStudy(breast_phantom(), attributes=attributes).write(tmp_path)
    for path in paths[::2]:
        header = dcmread(path)
        header.SeriesDescription = "dyn \xe4"  # text beyond ASCII, which is left to pydicom
        header.save_as(path)
    ((study,), _) = read_studies(tmp_path, tmp_path)
    assert len(study.patients) == 1
