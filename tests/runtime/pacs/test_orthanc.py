"""The DICOM results through a real archive: sent, kept, and given back as they were."""

import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mock_study import MockStudy, breast_phantom, read_study
from orthanc import Orthanc, running_orthanc
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from result_builders import make_contract

from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.pacs.write import write_dicom_results
from fcdd_runtime.score_study import score_study


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study, and the DICOM results of it."""
    source, results = (tmp_path_factory.mktemp(name) for name in ("source", "results"))
    MockStudy(breast_phantom(), attributes={"PatientName": "Pacs^Test"}).write(source)
    study = read_study(source)
    result = score_study(study, FakeBackend(make_contract()))
    assert write_dicom_results(result, study, results, results / "none") == ()
    return source, results


def by_uid(paths: Iterator[Path]) -> dict[str, Dataset]:
    datasets = [dcmread(path) for path in paths]
    return {str(dataset.SOPInstanceUID): dataset for dataset in datasets}


def test_an_archive_keeps_the_results_with_their_study_and_gives_them_back_unchanged(
    orthanc: Orthanc, folders: tuple[Path, Path]
) -> None:
    source, results = folders
    orthanc.store(source)
    orthanc.store(results, "*.dcm")
    sent = by_uid(results.glob("*.dcm"))
    assert len(sent) == 11

    [patient] = json.loads(orthanc.rest("/patients?expand"))
    [study] = json.loads(orthanc.rest("/studies?expand"))
    assert patient["MainDicomTags"]["PatientName"] == "Pacs^Test"
    modalities = [series["MainDicomTags"]["Modality"] for series in json.loads(orthanc.rest("/series?expand"))]
    assert sorted(modalities) == ["MR", *["OT"] * 6, *["PR"] * 2, *["SEG"] * 2, "SR"]

    uids = {}
    for instance in json.loads(orthanc.rest(f"/studies/{study['ID']}/instances")):
        uids[instance["MainDicomTags"]["SOPInstanceUID"]] = instance["ID"]
    assert set(uids) == {*sent, *by_uid(source.iterdir())}
    for uid, dataset in sent.items():
        assert dcmread(io.BytesIO(orthanc.rest(f"/instances/{uids[uid]}/file"))) == dataset


def test_sending_the_results_again_adds_nothing(orthanc: Orthanc, folders: tuple[Path, Path]) -> None:
    orthanc.store(folders[1], "*.dcm")
    before = json.loads(orthanc.rest("/statistics"))["CountInstances"]
    orthanc.store(folders[1], "*.dcm")
    assert json.loads(orthanc.rest("/statistics"))["CountInstances"] == before


def test_results_stored_by_stow_are_found_by_qido_and_come_back_unchanged_by_wado(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    sent = by_uid(folders[1].glob("*.dcm"))
    [study_uid] = {str(dataset.StudyInstanceUID) for dataset in sent.values()}
    with running_orthanc(tmp_path) as archive:
        for path in sorted(folders[1].glob("*.dcm")):
            answer = json.loads(archive.stow(path))
            assert len(answer["00081199"]["Value"]) == 1  # ReferencedSOPSequence: what was stored
            assert not answer.get("00081198", {}).get("Value")  # FailedSOPSequence
        found = json.loads(archive.dicomweb(f"/studies/{study_uid}/instances", "application/dicom+json"))
        assert {item["00080018"]["Value"][0] for item in found} == set(sent)
        for uid, dataset in sent.items():
            series = dataset.SeriesInstanceUID
            parts = archive.dicomweb(
                f"/studies/{study_uid}/series/{series}/instances/{uid}",
                'multipart/related; type="application/dicom"; transfer-syntax=*',
            )
            assert dcmread(io.BytesIO(only_part(parts))) == dataset


def only_part(body: bytes) -> bytes:
    """The one part of a multipart answer."""
    boundary, _, rest = body.lstrip(b"\r\n").partition(b"\r\n")
    content = rest.partition(b"\r\n\r\n")[2]
    return content[: content.rindex(b"\r\n" + boundary)]


def test_dcmtk_applies_the_presentation_state_and_reads_the_report(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for program in ("dcmp2pgm", "dsrdump"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing; it is in the Debian package dcmtk")
    source, results = folders
    report = dcmtk("dsrdump", "+Pc", str(results / "sr.dcm"))
    assert "Anomaly score" in report
    assert "Flagged: at or above the operating point" in report
    images = by_uid(source.iterdir())
    paths = {uid: path for path in source.iterdir() for uid in by_uid(iter([path]))}
    for side in "LR":
        state = dcmread(results / f"mark_{side}.dcm")
        [reference] = state.ReferencedSeriesSequence[0].ReferencedImageSequence
        uid, shown = reference.ReferencedSOPInstanceUID, tmp_path / f"{side}.pgm"
        dcmtk("dcmp2pgm", "--pstate", str(results / f"mark_{side}.dcm"), str(paths[uid]), str(shown))
        window = state.SoftcopyVOILUTSequence[0]
        low = window.WindowCenter - window.WindowWidth / 2
        values = images[uid].pixel_array * float(state.RescaleSlope) + float(state.RescaleIntercept)
        expected = np.clip((values - low) / window.WindowWidth * 255, 0, 255)
        assert np.abs(np.asarray(Image.open(shown)) - expected).max() <= 1


def dcmtk(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stderr
    assert "E:" not in done.stderr
    return done.stdout
