"""The DICOM results through a real archive: sent, kept, and given back as they were."""

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mock_study import MockStudy, breast_phantom
from orthanc import Orthanc, running_orthanc
from pydicom import dcmread
from pydicom.dataset import Dataset
from result_builders import make_contract

from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.pacs.write import write_dicom_results
from fcdd_runtime.report.colormap import DEFAULT_LOOK
from fcdd_runtime.score_study import score_study
from fcdd_runtime.study.read import read_studies


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study, and the DICOM results of it."""
    source, results = (tmp_path_factory.mktemp(name) for name in ("source", "results"))
    MockStudy(breast_phantom(), attributes={"PatientName": "Pacs^Test"}).write(source)
    with tempfile.TemporaryDirectory() as scratch:
        [study], _ = read_studies(source, Path(scratch))
    result = score_study(study, FakeBackend(make_contract()))
    assert write_dicom_results(result, study, results, DEFAULT_LOOK) == ()
    return source, results


def by_uid(paths: Iterator[Path]) -> dict[str, Dataset]:
    datasets = [dcmread(path) for path in paths]
    return {str(dataset.SOPInstanceUID): dataset for dataset in datasets}


def test_an_archive_keeps_the_results_with_their_study_and_gives_them_back_unchanged(
    orthanc: Orthanc, folders: tuple[Path, Path]
) -> None:
    source, results = folders
    orthanc.store(source)
    orthanc.store(results)
    sent = by_uid(results.iterdir())
    assert len(sent) == 5

    [patient] = json.loads(orthanc.rest("/patients?expand"))
    [study] = json.loads(orthanc.rest("/studies?expand"))
    assert patient["MainDicomTags"]["PatientName"] == "Pacs^Test"
    modalities = [series["MainDicomTags"]["Modality"] for series in json.loads(orthanc.rest("/series?expand"))]
    assert sorted(modalities) == ["MR", "OT", "OT", "OT", "OT", "SR"]

    uids = {}
    for instance in json.loads(orthanc.rest(f"/studies/{study['ID']}/instances")):
        uids[instance["MainDicomTags"]["SOPInstanceUID"]] = instance["ID"]
    assert set(uids) == {*sent, *by_uid(source.iterdir())}
    for uid, dataset in sent.items():
        assert dcmread(io.BytesIO(orthanc.rest(f"/instances/{uids[uid]}/file"))) == dataset


def test_sending_the_results_again_adds_nothing(orthanc: Orthanc, folders: tuple[Path, Path]) -> None:
    orthanc.store(folders[1])
    before = json.loads(orthanc.rest("/statistics"))["CountInstances"]
    orthanc.store(folders[1])
    assert json.loads(orthanc.rest("/statistics"))["CountInstances"] == before
