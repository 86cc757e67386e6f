"""DICOM objects written from a result: what they say, where they lie in the patient, and whether dciodvfy agrees."""

import dataclasses
import logging
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

import highdicom
import numpy as np
import pytest
from mock_study import ORIENTATIONS, MockStudy, breast_phantom, read_study
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from result_builders import SIZE, make_breast, make_contract, make_study

from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.contract import MipRecipe, ModelContract, OperatingPoint, Resize
from fcdd_runtime.errors import MissingExtraError, StudyError
from fcdd_runtime.findings import Finding
from fcdd_runtime.pacs import DicomOptions, dicom_options, dicom_writer
from fcdd_runtime.pacs.write import write_dicom_results
from fcdd_runtime.phases.manual import manual_phases
from fcdd_runtime.report.colormap import DEFAULT_LOOK, PUBLISHED_LOOK
from fcdd_runtime.report.overlay import overlay_image
from fcdd_runtime.result import CHOSEN_BY_HAND, StudyResult, UnusedSeries
from fcdd_runtime.score_study import score_study
from fcdd_runtime.study.read import Study

CREATED = datetime(2030, 5, 6, 7, 8, 9)
OF_A_BREAST = ["map", "mark", "overlay", "region", "slices"]
FILES = [*(f"{kind}_{side}.dcm" for kind in OF_A_BREAST for side in "LR"), "sr.dcm"]
OPTIONS = DicomOptions(created=CREATED)
IDENTITY = {
    "PatientName": "Müller^Eva",
    "PatientID": "X-77",
    "PatientBirthDate": "19610203",
    "PatientSex": "F",
    "AccessionNumber": "A5",
    "StudyID": "S9",
    "StudyDate": "20240102",
    "StudyTime": "100000",
    "ReferringPhysicianName": "Doc^Tor",
    "StudyDescription": "Brust-MRT",
}


def scored(mock: MockStudy, folder: Path, **changes: Any) -> tuple[StudyResult, Study]:
    mock.write(folder)
    study = read_study(folder)
    return score_study(study, FakeBackend(make_contract(**changes))), study


def written(
    result: StudyResult,
    study: Study,
    folder: Path,
    options: DicomOptions = OPTIONS,
    earlier: Path = Path("none"),
) -> dict[str, Dataset]:
    folder.mkdir()
    assert write_dicom_results(result, study, folder, earlier, options) == ()
    return {path.name: dcmread(path) for path in sorted(folder.glob("*.dcm"))}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyResult, Study, dict[str, Dataset]]:
    """A scored study of a patient whose name is not ASCII, and its DICOM objects."""
    folder = tmp_path_factory.mktemp("example")
    mock = MockStudy(breast_phantom(), attributes={"SpecificCharacterSet": "ISO_IR 100", **IDENTITY})
    result, study = scored(mock, folder / "study")
    return result, study, written(result, study, folder / "out")


Example = tuple[StudyResult, Study, dict[str, Dataset]]


def content(dataset: Dataset, meaning: str) -> list[Dataset]:
    """All content items below `dataset` whose concept has this meaning."""
    found = []
    for item in dataset.get("ContentSequence", []):
        if item.ConceptNameCodeSequence[0].CodeMeaning == meaning:
            found.append(item)
        found += content(item, meaning)
    return found


def groups(report: Dataset) -> list[Dataset]:
    """The measurement groups: exam, then breasts."""
    return content(report, "Measurement Group")


def number(item: Dataset) -> float:
    return float(item.MeasuredValueSequence[0].NumericValue)


def validation_errors(path: Path, iod: str) -> list[str]:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is missing; it is in the Debian package dicom3tools")
    words = subprocess.run([program, str(path)], capture_output=True, text=True, errors="replace", check=False)
    lines = [line.strip() for line in (words.stdout + words.stderr).splitlines()]
    assert iod in lines
    return [line for line in lines if line.startswith("Error")]


IODS = {
    "map": "ParametricMap",
    "mark": "GrayscaleSoftcopyPresentationState",
    "overlay": "SCImage",
    "region": "Segmentation",
    "slices": "MultiframeTrueColorSCImage",
    "sr": "Comprehensive3DSR",
}


def assert_valid(folder: Path, names: list[str]) -> None:
    assert sorted(path.name for path in folder.glob("*.dcm")) == names
    for name in names:
        assert validation_errors(folder / name, IODS[name.split(".")[0].split("_")[0]]) == []


def assert_readable(folder: Path) -> None:
    """highdicom reads every object that it has a reader for, and pydicom decodes all pixels."""
    for path in folder.glob("*.dcm"):
        kind = path.stem.split("_")[0]
        if kind == "region":
            regions = highdicom.seg.segread(path)
            assert regions.number_of_segments == len(regions.SegmentSequence) > 0
            assert regions.pixel_array.any()
        elif kind == "sr":
            content = cast(highdicom.sr.MeasurementReport, highdicom.sr.srread(path).content)
            assert len(content.get_planar_roi_measurement_groups()) == len(groups(dcmread(path))) - 1
        elif kind != "mark":
            assert highdicom.imread(path).pixel_array.any()


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
def test_the_objects_of_a_study_are_valid(enhanced: bool, tmp_path: Path) -> None:
    result, study = scored(MockStudy(breast_phantom(), enhanced=enhanced), tmp_path / "study")
    written(result, study, tmp_path / "out")
    assert_valid(tmp_path / "out", FILES)
    assert_readable(tmp_path / "out")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, "not stated by the source images"),
        ({"DeidentificationMethod": "x" * 65}, "not stated by the source images"),
        ({"DeidentificationMethodCodeSequence": []}, "not stated by the source images"),
        ({"DeidentificationMethod": ["first step", "second step"]}, ["first step", "second step"]),
    ],
    ids=["nothing", "too long", "empty", "two steps"],
)
def test_a_source_whose_identity_was_removed_gives_valid_objects(
    said: dict[str, Any], expected: str | list[str], tmp_path: Path
) -> None:
    attributes = {"PatientIdentityRemoved": "YES", **said}
    result, study = scored(MockStudy(breast_phantom(), attributes=attributes), tmp_path / "study")
    for dataset in written(result, study, tmp_path / "out").values():
        assert (dataset.PatientIdentityRemoved, dataset.DeidentificationMethod) == ("YES", expected)
    assert_valid(tmp_path / "out", FILES)


def test_optional_texts_that_are_too_long_are_left_out_and_nothing_else(tmp_path: Path) -> None:
    optional = dict.fromkeys(("StudyDescription", "PositionReferenceIndicator", "IssuerOfPatientID"), "x" * 65)
    written_by = {}
    for name, attributes in (("with", optional), ("without", {})):
        result, study = scored(MockStudy(breast_phantom(), attributes=attributes), tmp_path / "study" / name)
        written_by[name] = written(result, study, tmp_path / name)
    assert written_by["with"] == written_by["without"]
    assert_valid(tmp_path / "with", FILES)


def test_a_source_file_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    result, study = scored(MockStudy(breast_phantom()), tmp_path / "study")
    shutil.rmtree(tmp_path / "study")
    with pytest.raises(StudyError, match="can no longer be read"):
        write_dicom_results(result, study, tmp_path, tmp_path / "none", OPTIONS)


@pytest.mark.parametrize("keep", [(), ("PatientID",)], ids=["nothing", "patient ID"])
def test_a_source_without_patient_and_study_attributes_gives_valid_objects(
    keep: tuple[str, ...], tmp_path: Path
) -> None:
    MockStudy(breast_phantom()).write(tmp_path / "study")
    for path in (tmp_path / "study").iterdir():
        header = dcmread(path)
        for keyword in IDENTITY:
            if keyword in header and keyword not in keep:
                delattr(header, keyword)
        header.save_as(path)
    study = read_study(tmp_path / "study")
    objects = written(score_study(study, FakeBackend(make_contract())), study, tmp_path / "out")
    assert_valid(tmp_path / "out", FILES)
    for dataset in objects.values():
        assert {"PatientName", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber"} <= set(dataset.dir())


@pytest.mark.parametrize("place", ["real_mr/philips_classic_3phase", "real_mr/philips_enhanced_3phase", "real_breast"])
def test_the_objects_of_a_real_study_are_valid_and_can_be_read_back(
    place: str, reference_data: Path, tmp_path: Path
) -> None:
    study = read_study(reference_data / place)
    written(score_study(study, FakeBackend(make_contract())), study, tmp_path / "out")
    assert_valid(tmp_path / "out", FILES)
    assert_readable(tmp_path / "out")


def test_a_real_study_without_frame_of_reference_gets_its_overlays_and_the_reason(
    reference_data: Path, tmp_path: Path
) -> None:
    study = read_study(reference_data / "real_mr" / "philips_enhanced_4phase")
    result = score_study(study, FakeBackend(make_contract()))
    [sentence] = write_dicom_results(result, study, tmp_path, tmp_path / "none")
    assert "no Frame of Reference UID" in sentence
    sides = [breast.laterality for breast in result.breasts]
    assert_valid(tmp_path, sorted(f"{kind}_{side}.dcm" for kind in ("mark", "overlay", "slices") for side in sides))


def test_without_a_frame_of_reference_only_what_needs_no_position_is_written(tmp_path: Path) -> None:
    result, study = scored(MockStudy(breast_phantom(), attributes={"FrameOfReferenceUID": ""}), tmp_path / "study")
    (tmp_path / "out").mkdir()
    [sentence] = write_dicom_results(result, study, tmp_path / "out", tmp_path / "none")
    assert sentence.startswith("map_R.dcm, region_R.dcm, map_L.dcm, region_L.dcm, sr.dcm were not written: ")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.dcm")) == [
        name for name in FILES if name.split("_")[0] in ("mark", "overlay", "slices")
    ]


@pytest.mark.parametrize("phase", [0, 1], ids=["within the phase", "across phases"])
def test_slices_that_share_an_identifier_are_pointed_at_by_nothing(phase: int, tmp_path: Path) -> None:
    mock = MockStudy(breast_phantom(), description="dyn")
    paths = mock.write(tmp_path / "study")
    # Phase 1 is the one after contrast; ten slices a phase.
    one, other = (dcmread(paths[10]), dcmread(paths[13] if phase == 0 else paths[0]))
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    other.save_as(paths[13] if phase == 0 else paths[0])
    study = read_study(tmp_path / "study")
    result = score_study(study, FakeBackend(make_contract()))
    assert "equal-uids" in {finding.code for finding in result.findings}
    (tmp_path / "out").mkdir()
    [sentence] = write_dicom_results(result, study, tmp_path / "out", tmp_path / "none", OPTIONS)
    names = [f"{kind}_{side}.dcm" for side in "RL" for kind in ("slices", "mark", "region")]
    assert sentence.startswith(f"{', '.join(names)} were not written: several source images share one")
    assert_valid(tmp_path / "out", [name for name in FILES if name.split("_")[0] in ("map", "overlay", "sr.dcm")])


def test_every_object_belongs_to_the_patient_and_the_study(example: Example) -> None:
    _, study, objects = example
    for dataset in objects.values():
        assert dataset.StudyInstanceUID == study.study_instance_uid
        assert {keyword: str(dataset.get(keyword)) for keyword in IDENTITY} == IDENTITY


def test_every_object_names_the_slice_of_the_peak(example: Example) -> None:
    result, study, objects = example
    peaks = {breast.laterality: breast.peak.sop_instance_uid for breast in result.breasts}
    for side, uid in peaks.items():
        for kind in ("map", "overlay", "slices"):
            dataset = objects[f"{kind}_{side}.dcm"]
            if kind == "slices":
                assert uid in {item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence}
                continue
            assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == uid
            [series] = dataset.ReferencedSeriesSequence
            assert series.SeriesInstanceUID == study.series[0].series_instance_uid
            assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == uid
    [evidence] = objects["sr.dcm"].CurrentRequestedProcedureEvidenceSequence
    assert evidence.StudyInstanceUID == study.study_instance_uid
    assert set(peaks.values()) <= {uid for _, uid in evidence_in([evidence])}


def evidence_in(items: Sequence[Dataset]) -> set[tuple[str, str]]:
    """Series and instances in an evidence sequence."""
    return {
        (series.SeriesInstanceUID, instance.ReferencedSOPInstanceUID)
        for item in items
        for series in item.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


def test_the_report_names_map_region_and_key_slices_as_its_evidence(example: Example) -> None:
    _, study, objects = example
    cited = {
        (objects[name].SeriesInstanceUID, objects[name].SOPInstanceUID)
        for name in FILES
        if name.split("_")[0] in ("map", "region", "slices")
    }
    named = evidence_in(objects["sr.dcm"].CurrentRequestedProcedureEvidenceSequence)
    source = study.series[0].series_instance_uid
    assert {(series, uid) for series, uid in named if series != source} == cited


def test_in_a_multi_frame_object_the_frame_is_named(tmp_path: Path) -> None:
    result, study = scored(MockStudy(breast_phantom(), enhanced=True), tmp_path / "study")
    objects = written(result, study, tmp_path / "out")
    for breast, group in zip(result.breasts, groups(objects["sr.dcm"])[1:], strict=True):
        assert breast.peak.frame_number is not None
        [image] = content(group, "Source of Measurement")
        for item in (image.ReferencedSOPSequence[0], objects[f"map_{breast.laterality}.dcm"].SourceImageSequence[0]):
            assert item.ReferencedSOPInstanceUID == breast.peak.sop_instance_uid
            assert int(item.ReferencedFrameNumber) == breast.peak.frame_number


def test_every_object_says_that_it_is_not_for_diagnosis_and_which_algorithm_made_it(example: Example) -> None:
    result, _, objects = example
    for dataset in objects.values():
        assert "not for diagnostic use" in dataset.SeriesDescription
        ours = dataset.ContributingEquipmentSequence[0]
        assert (ours.Manufacturer, ours.ManufacturerModelName) == ("fcdd-edge", result.contract.name)
        assert ours.SoftwareVersions
        assert ours.DeviceUID
        assert "Research use only" in ours.ContributionDescription


def test_the_report_holds_score_flag_operating_point_side_and_peak_of_each_breast(example: Example) -> None:
    result, study, objects = example
    report = objects["sr.dcm"]
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (report.VerificationFlag, report.CompletionFlag) == ("UNVERIFIED", "COMPLETE")
    assert "Not for diagnostic use" in content(report, "Comment")[0].TextValue
    for breast, group in zip(result.breasts, groups(report)[1:], strict=True):
        assert [number(item) for item in content(group, "Anomaly score")] == [pytest.approx(breast.score)]
        [threshold] = content(group, "Operating point: flagged at and above this anomaly score")
        assert number(threshold) == 0.4
        [flag] = content(group, "Anomaly score against the operating point")
        assert flag.ConceptCodeSequence[0].CodeValue == ("flagged" if breast.flagged else "not_flagged")
        side = {"L": codes.SCT.Left, "R": codes.SCT.Right}[breast.laterality]
        assert content(group, "Laterality")[0].ConceptCodeSequence[0].CodeValue == side.value
        [point] = content(group, "Image Region")
        assert point.GraphicType == "POINT"
        assert list(point.GraphicData) == pytest.approx(breast.peak.patient_mm, abs=1e-4)
        assert point.ReferencedFrameOfReferenceUID == study.series[0].frame_of_reference_uid
    assert number(content(groups(report)[0], "Anomaly score")[0]) == pytest.approx(result.exam_score)


def test_the_report_identifies_the_algorithm_by_its_hashes(example: Example) -> None:
    result, _, objects = example
    for group in groups(objects["sr.dcm"]):
        assert content(group, "Algorithm Name")[0].TextValue == f"fcdd-edge {result.contract.name}"
        assert content(group, "Algorithm Version")
        parameters = " ".join(item.TextValue for item in content(group, "Algorithm Parameters"))
        assert result.contract.snapshot_sha256 in parameters
        assert result.contract.artefact_sha256 in parameters


def test_without_an_operating_point_the_report_says_so_and_names_no_threshold(tmp_path: Path) -> None:
    result, study = scored(MockStudy(breast_phantom()), tmp_path / "study", operating_point=None)
    report = written(result, study, tmp_path / "out")["sr.dcm"]
    assert not content(report, "Operating point: flagged at and above this anomaly score")
    for flag in content(report, "Anomaly score against the operating point"):
        assert flag.ConceptCodeSequence[0].CodeValue == "no_threshold"
    assert validation_errors(tmp_path / "out" / "sr.dcm", "Comprehensive3DSR") == []


@pytest.mark.parametrize("flagged", [False, True])
def test_the_report_of_a_study_to_review_says_so_and_never_not_flagged(tmp_path: Path, flagged: bool) -> None:
    point = OperatingPoint(0.0 if flagged else 1e9, None, "tests")
    mock = MockStudy(breast_phantom(), attributes={"PatientPosition": "HFS"})
    result, study = scored(mock, tmp_path / "study", operating_point=point)
    report = written(result, study, tmp_path / "out")["sr.dcm"]
    values = [
        flag.ConceptCodeSequence[0].CodeValue for flag in content(report, "Anomaly score against the operating point")
    ]
    assert values == (["flagged", "review"] if flagged else ["review"]) * 3
    [reason] = content(report, "Reason for review")
    assert reason.ConceptCodeSequence[0].CodeValue == "supine"
    comments = [item.TextValue for item in content(report, "Comment")]
    assert "Review: The patient did not lie prone: PatientPosition is HFS." in comments
    assert validation_errors(tmp_path / "out" / "sr.dcm", "Comprehensive3DSR") == []


def test_the_overlay_shows_the_picture_at_its_size_in_the_patient(example: Example, tmp_path: Path) -> None:
    result, study, objects = example
    for breast in result.breasts:
        dataset = objects[f"overlay_{breast.laterality}.dcm"]
        picture = overlay_image(breast, result)
        assert np.array_equal(dataset.pixel_array, np.asarray(picture))
        assert list(dataset.PatientOrientation) == ["L", "P"]
        assert dataset.Laterality == breast.laterality
        width = breast.image.shape[1] * breast.pixel_mm[1]
        assert list(dataset.PixelSpacing) == pytest.approx([width / picture.width] * 2, abs=1e-6)
    options = dataclasses.replace(OPTIONS, look=PUBLISHED_LOOK)
    jet = written(result, study, tmp_path / "jet", options)["overlay_L.dcm"].pixel_array
    assert np.array_equal(jet, np.asarray(overlay_image(result.breasts[1], result, PUBLISHED_LOOK)))


def test_the_map_holds_every_value_as_the_model_gave_it(example: Example) -> None:
    result, _, objects = example
    for breast in result.breasts:
        dataset = objects[f"map_{breast.laterality}.dcm"]
        values = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(dataset.Rows, dataset.Columns)
        assert np.array_equal(values, breast.heatmap)
        assert dataset.Laterality == breast.laterality
        assert dataset.ContentQualification == "RESEARCH"


def test_a_heatmap_that_is_the_same_everywhere_is_written(example: Example, tmp_path: Path) -> None:
    result, study, _ = example
    flat = tuple(dataclasses.replace(breast, heatmap=np.zeros((SIZE, SIZE), np.float32)) for breast in result.breasts)
    written(dataclasses.replace(result, breasts=flat), study, tmp_path / "out")
    # Nothing is above the level, so that there is no region.
    assert_valid(tmp_path / "out", [name for name in FILES if not name.startswith("region")])


def map_position(dataset: Dataset, patient_mm: tuple[float, float, float]) -> tuple[float, float, float]:
    """Row and column of the map that a point projects to, and its distance from the map's plane, mm."""
    shared, frame = dataset.SharedFunctionalGroupsSequence[0], dataset.PerFrameFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, float)
    along, down = cosines[:3], cosines[3:]
    offset = np.array(patient_mm) - np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
    return offset @ down / spacing[0], offset @ along / spacing[1], offset @ np.cross(along, down)


def network_position(pixel: tuple[int, int], shape: tuple[int, ...], resize: Resize) -> list[float]:
    """Where a breast image pixel lies in the network's image, from the definition of the resize rule."""
    if resize.rule == "squash":
        return [(at + 0.5) * resize.size / side - 0.5 for at, side in zip(pixel, shape, strict=True)]
    resized = [int(resize.shorter_side * side / min(shape)) for side in shape]
    return [
        (at + 0.5) * length / side - 0.5 - round((length - resize.size) / 2)
        for at, side, length in zip(pixel, shape, resized, strict=True)
    ]


@pytest.mark.parametrize("mock", ORIENTATIONS, ids=lambda mock: f"{mock.axes}-{mock.backwards}-{mock.turned_degrees:g}")
@pytest.mark.parametrize("resize", [Resize("squash", SIZE, SIZE), Resize("shorter_side_center_crop", SIZE, 256)])
@pytest.mark.parametrize("mirror", [False, True], ids=["", "mirrored"])
@pytest.mark.parametrize("crop", ["field", "breast"])
def test_the_map_lies_on_the_projection(
    mock: MockStudy, resize: Resize, mirror: bool, crop: Literal["field", "breast"], tmp_path: Path
) -> None:
    """One peak defines the map's place; another one, traced by the projection itself, must be where the map says."""
    contract = make_contract(resize=resize, recipe=MipRecipe(mirror_left=mirror, crop=crop))
    mock.write(tmp_path / "study")
    study = read_study(tmp_path / "study")
    result, other = (score_study(study, FakeBackend(contract, cell)) for cell in ((8, 7), (19, 22)))
    objects = written(result, study, tmp_path / "out")
    for here, there in zip(result.breasts, other.breasts, strict=True):
        dataset = objects[f"map_{here.laterality}.dcm"]
        assert here.pixel_mm == pytest.approx((2.0, 2.5))
        assert here.peak.image_pixel != there.peak.image_pixel
        row, column = network_position(there.peak.image_pixel, there.image.shape, resize)
        if mirror and here.laterality == "L":
            column = SIZE - 1 - column
        assert map_position(dataset, there.peak.patient_mm)[:2] == pytest.approx((row, column), abs=0.01)
        assert map_position(dataset, here.peak.patient_mm)[2] == pytest.approx(0, abs=1e-3)
        values = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(SIZE, SIZE)
        hottest = np.unravel_index(int(values.argmax()), values.shape)
        assert map_position(dataset, here.peak.patient_mm)[:2] == pytest.approx(hottest, abs=1.5 * 8 + 1)


def test_the_map_shows_the_patients_right_at_its_left(example: Example) -> None:
    _, _, objects = example
    for side in "LR":
        shared = objects[f"map_{side}.dcm"].SharedFunctionalGroupsSequence[0]
        cosines = [float(value) for value in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
        assert cosines == pytest.approx([1, 0, 0, 0, 1, 0])


def test_the_same_result_gives_the_same_objects_to_the_byte(example: Example, tmp_path: Path) -> None:
    result, study, _ = example
    for name in ("one", "two"):
        written(result, study, tmp_path / name)
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def uids_of(objects: dict[str, Dataset]) -> dict[str, str]:
    return {name: str(dataset.SOPInstanceUID) for name, dataset in objects.items()}


def test_no_two_objects_share_an_identifier_or_a_series(example: Example) -> None:
    _, _, objects = example
    assert len(set(uids_of(objects).values())) == len(FILES)
    assert len({dataset.SeriesInstanceUID for dataset in objects.values()}) == len(FILES)


def test_an_object_that_states_the_same_is_kept_as_it_is(example: Example, tmp_path: Path) -> None:
    """Another moment, further findings that are notes, and phases beside those that were used change nothing."""
    result, study, _ = example
    first = written(result, study, tmp_path / "first")
    later = dataclasses.replace(
        result,
        findings=(*result.findings, Finding("not-used", "Another volume.")),
        phases=dataclasses.replace(result.phases, count=9, rise=0.5),
        not_used=(UnusedSeries("1.2.3", 99, "late"),),
    )
    options = dataclasses.replace(OPTIONS, created=datetime(2031, 1, 1))
    assert uids_of(written(later, study, tmp_path / "later", options, tmp_path / "first")) == uids_of(first)
    for name in FILES:
        assert (tmp_path / "later" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_an_object_that_was_left_out_meanwhile_comes_back_the_same(example: Example, tmp_path: Path) -> None:
    """Its bytes are equal wherever its UID is, so that an archive that has it is not contradicted."""
    result, study, _ = example
    days = [datetime(2031, 1, day, 12, 30, 1, 5000) for day in (1, 2, 3)]
    choices = [
        dataclasses.replace(OPTIONS, created=days[0]),
        dataclasses.replace(OPTIONS, created=days[1], look=PUBLISHED_LOOK, kinds=frozenset({"overlay", "mark"})),
        dataclasses.replace(OPTIONS, created=days[2]),
    ]
    for number, options in enumerate(choices):
        written(result, study, tmp_path / f"run {number}", options, tmp_path / f"run {number - 1}")
    for name in FILES:
        first, last = ((tmp_path / run / name).read_bytes() for run in ("run 0", "run 2"))
        assert first == last, name
    assert dcmread(tmp_path / "run 1" / "overlay_L.dcm").ContentDate == "20310102"


@pytest.mark.parametrize("contents", [b"", b"{", b"[1]", b'{"1.2": 7}', b'{"1.2": "yesterday"}'])
def test_a_list_of_moments_that_cannot_be_read_counts_for_nothing(
    contents: bytes, example: Example, tmp_path: Path
) -> None:
    result, study, objects = example
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "dicom_made.json").write_bytes(contents)
    assert uids_of(written(result, study, tmp_path / "out", earlier=tmp_path / "earlier")) == uids_of(objects)


@pytest.mark.parametrize("name", ["map_L.dcm", "mark_L.dcm", "sr.dcm"])
@pytest.mark.parametrize("damage", ["cut", "cut short", "zeroed", "a folder"])
def test_a_damaged_object_is_not_kept(name: str, damage: str, example: Example, tmp_path: Path) -> None:
    result, study, _ = example
    written(result, study, tmp_path / "first")
    path = tmp_path / "first" / name
    whole = path.read_bytes()
    if damage == "a folder":
        path.unlink()
        path.mkdir()
    else:
        cuts = {"cut": whole[:-40], "cut short": whole[:600], "zeroed": whole[:800] + bytes(300) + whole[1100:]}
        path.write_bytes(cuts[damage])
    written(result, study, tmp_path / "later", earlier=tmp_path / "first")
    assert dcmread(tmp_path / "later" / name) == dcmread(tmp_path / "later" / name)
    if name != "sr.dcm":  # a report that cannot be read is followed by none
        assert (tmp_path / "later" / name).read_bytes() == whole


def test_the_checksums_are_those_of_the_files(example: Example, tmp_path: Path) -> None:
    result, study, _ = example
    written(result, study, tmp_path / "out")
    check = subprocess.run(
        ["sha256sum", "--check", "--strict", "dicom.sha256"], cwd=tmp_path / "out", capture_output=True, check=False
    )
    assert check.returncode == 0, check.stdout
    assert len(check.stdout.splitlines()) == len(FILES)


def references_in(dataset: Dataset) -> set[str]:
    """Every SOP Instance UID that an object refers to, at any depth."""
    found = {str(dataset.ReferencedSOPInstanceUID)} if "ReferencedSOPInstanceUID" in dataset else set()
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                found |= references_in(item)
    return found


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
def test_whatever_is_referred_to_exists(enhanced: bool, tmp_path: Path) -> None:
    result, study = scored(MockStudy(breast_phantom(), enhanced=enhanced), tmp_path / "study")
    objects = written(result, study, tmp_path / "out")
    there = {str(dcmread(path).SOPInstanceUID) for path in (tmp_path / "study").iterdir()}
    there |= {str(dataset.SOPInstanceUID) for dataset in objects.values()}
    for name, dataset in objects.items():
        assert references_in(dataset), name
        assert references_in(dataset) <= there, name


HEADERS: dict[str, dict[str, Any]] = {
    "frame of reference": {"FrameOfReferenceUID": "1.2.3.4"},
    "series": {"SeriesInstanceUID": "1.2.3.5"},
    "slice thickness": {"SliceThickness": 7},
    "position reference": {"PositionReferenceIndicator": "XY"},
    "loss": {"LossyImageCompression": "01", "LossyImageCompressionRatio": 5},
    "accession": {"AccessionNumber": "B7"},
}


@pytest.mark.parametrize("changed", HEADERS.values(), ids=HEADERS.keys())
def test_another_header_that_objects_take_over_gives_them_other_identifiers(
    changed: dict[str, Any], tmp_path: Path
) -> None:
    uids = []
    for name, attributes in (("as it was", {}), ("changed", changed)):
        result, study = scored(MockStudy(breast_phantom(), attributes=attributes), tmp_path / name)
        uids.append(set(uids_of(written(result, study, tmp_path / f"out {name}")).values()))
    assert not uids[0] & uids[1]


def test_an_interpolated_phase_has_no_objects_on_source_slices(tmp_path: Path) -> None:
    """What is shown lies between them; scores, positions and the map stand."""
    pre, post = (
        dataclasses.replace(breast_phantom(2), first_voxel_mm=(-100.0 + shift, -80.0, -30.0)) for shift in (0, 1.2)
    )
    folder = tmp_path / "study"
    for phase, phantom in enumerate((pre, post)):
        one = dataclasses.replace(phantom, voxels=phantom.voxels[phase : phase + 1])
        attributes = {"AcquisitionTime": f"10000{phase}", "AcquisitionNumber": phase + 1}
        MockStudy(one, series_number=5 + phase, attributes=attributes).write(folder)
    study = read_study(folder)
    manual = manual_phases("5/1", "6/1")
    contract = make_contract(recipe=MipRecipe(resample=True))
    result = score_study(study, FakeBackend(contract), manual)
    assert "interpolated" in {finding.code for finding in result.findings}
    (tmp_path / "out").mkdir()
    [sentence] = write_dicom_results(result, study, tmp_path / "out", tmp_path / "none", OPTIONS)
    assert sentence.endswith("a phase was interpolated, so that what is shown lies between the source images.")
    assert_valid(tmp_path / "out", [name for name in FILES if name.split("_")[0] in ("map", "overlay", "sr.dcm")])


def test_a_fault_in_one_object_costs_that_object_alone(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: object) -> Dataset:
        raise ValueError("Müller^Eva")

    result, study, _ = example
    monkeypatch.setattr("fcdd_runtime.pacs.write.parametric_map", faulty)
    (tmp_path / "out").mkdir()
    [sentence] = write_dicom_results(result, study, tmp_path / "out", tmp_path / "none", OPTIONS)
    assert sentence == (
        "map_R.dcm, map_L.dcm were not written: making it met a fault of this program (ValueError); report it to us."
    )
    assert_valid(tmp_path / "out", [name for name in FILES if not name.startswith("map")])
    report = dcmread(tmp_path / "out" / "sr.dcm")
    there = {str(dcmread(path).SOPInstanceUID) for path in (tmp_path / "out").glob("*.dcm")}
    sources = {image_slice.source.sop_instance_uid for series in study.series for image_slice in series.slices}
    assert references_in(report) <= there | sources


@pytest.mark.parametrize("contents", [b"", b"x" * 400], ids=["empty", "garbage"])
def test_a_source_file_that_was_overwritten_is_one_sentence(contents: bytes, tmp_path: Path) -> None:
    result, study = scored(MockStudy(breast_phantom()), tmp_path / "study")
    for path in (tmp_path / "study").iterdir():
        path.write_bytes(contents)
    with pytest.raises(StudyError, match="can no longer be read"):
        write_dicom_results(result, study, tmp_path, tmp_path / "none", OPTIONS)


def test_names_that_dicom_has_other_meanings_for_are_written_without_them(tmp_path: Path) -> None:
    point = OperatingPoint(0.4, None, "site\x00 A\\B")
    result, study = scored(
        MockStudy(breast_phantom(), attributes={"SliceThickness": "inf"}),
        tmp_path / "study",
        name="a\\b\x07" + "ü" * 70,
        operating_point=point,
    )
    objects = written(result, study, tmp_path / "out")
    assert objects["sr.dcm"].ManufacturerModelName.startswith("a_b_ü")
    assert sorted(objects) == FILES


def test_the_strongest_regions_are_written_and_the_others_counted(example: Example, tmp_path: Path) -> None:
    result, study, _ = example
    spots = np.zeros((SIZE, SIZE), np.float32)
    for number in range(30):
        row, column = 10 + number // 6 * 40, 20 + number % 6 * 36
        spots[row : row + 8, column : column + 8] = 10 + number
    breasts = tuple(dataclasses.replace(breast, heatmap=spots) for breast in result.breasts)
    (tmp_path / "out").mkdir()
    sentences = write_dicom_results(
        dataclasses.replace(result, breasts=breasts), study, tmp_path / "out", tmp_path / "none", OPTIONS
    )
    assert sentences == (
        "region_R.dcm holds the 20 strongest of 30 regions.",
        "region_L.dcm holds the 20 strongest of 30 regions.",
    )
    labels = [segment.SegmentLabel for segment in dcmread(tmp_path / "out" / "region_L.dcm").SegmentSequence]
    assert sum(label.startswith("Region of network response") for label in labels) == 20


def test_a_multi_frame_source_has_slices_as_thick_as_they_lie_apart(tmp_path: Path) -> None:
    result, study = scored(MockStudy(breast_phantom(), enhanced=True), tmp_path / "study")
    for name, dataset in written(result, study, tmp_path / "out").items():
        if name.startswith(("map", "region")):
            measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
            assert float(measures.SliceThickness) == 4.0


def test_further_phases_in_the_folder_change_no_identifier(tmp_path: Path) -> None:
    uids = []
    for phases in (2, 4):
        result, study = scored(MockStudy(breast_phantom(phases)), tmp_path / f"study {phases}")
        uids.append(uids_of(written(result, study, tmp_path / f"out {phases}")))
    assert uids[0] == uids[1]


def _with_contract(result: StudyResult, **changes: Any) -> StudyResult:
    return dataclasses.replace(result, contract=dataclasses.replace(result.contract, **changes))


STATED: dict[str, Callable[[StudyResult], StudyResult]] = {
    "state": lambda result: dataclasses.replace(result, findings=(Finding("supine", "On the back."),)),
    "operating point": lambda result: _with_contract(result, operating_point=OperatingPoint(0.5, None, "other")),
    "model": lambda result: _with_contract(result, artefact_sha256="0" * 64),
    "by hand": lambda result: dataclasses.replace(
        result, phases=dataclasses.replace(result.phases, method=CHOSEN_BY_HAND)
    ),
    "inputs": lambda result: dataclasses.replace(result, inputs=result.inputs[1:]),
    "reference": lambda result: dataclasses.replace(
        result, breasts=tuple(dataclasses.replace(breast, reference="a.png") for breast in result.breasts)
    ),
    "score": lambda result: dataclasses.replace(
        result, breasts=tuple(dataclasses.replace(breast, score=9.5) for breast in result.breasts)
    ),
}


@pytest.mark.parametrize("change", STATED.values(), ids=STATED.keys())
def test_whatever_the_objects_state_gives_them_other_identifiers(
    change: Callable[[StudyResult], StudyResult], example: Example, tmp_path: Path
) -> None:
    result, study, objects = example
    changed = uids_of(written(change(result), study, tmp_path / "changed"))
    assert not set(changed.values()) & set(uids_of(objects).values())


def test_another_name_of_the_patient_gives_other_identifiers(tmp_path: Path) -> None:
    uids = []
    for name in ("Before^Marriage", "After^Marriage"):
        result, study = scored(MockStudy(breast_phantom(), attributes={"PatientName": name}), tmp_path / name)
        uids.append(set(uids_of(written(result, study, tmp_path / f"out {name}")).values()))
    assert not uids[0] & uids[1]


def test_another_breast_or_other_colours_change_only_what_states_them(example: Example, tmp_path: Path) -> None:
    result, study, objects = example
    right = dataclasses.replace(result.breasts[0], score=9.5)
    other = dataclasses.replace(result, breasts=(right, *result.breasts[1:]))
    jet = dataclasses.replace(OPTIONS, look=PUBLISHED_LOOK)
    for name, changed, expected in (
        ("breast", written(other, study, tmp_path / "breast"), {file for file in FILES if not file.endswith("_L.dcm")}),
        ("look", written(result, study, tmp_path / "look", jet), {"sr.dcm", *LOOKING}),
    ):
        differing = {file for file, uid in uids_of(changed).items() if uid != uids_of(objects)[file]}
        assert differing == expected, name


LOOKING = [name for name in FILES if name.split("_")[0] in ("overlay", "slices")]


def test_a_new_report_names_the_one_that_it_follows_and_is_kept_itself(example: Example, tmp_path: Path) -> None:
    result, study, _ = example
    other = _with_contract(result, artefact_sha256="0" * 64)
    reports = [
        written(one, study, tmp_path / f"run {number}", earlier=tmp_path / f"run {number - 1}")["sr.dcm"]
        for number, one in enumerate((result, other, other, result))
    ]
    first, second, third, fourth = (str(report.SOPInstanceUID) for report in reports)
    assert first != second == third != fourth
    assert "PredecessorDocumentsSequence" not in reports[0]
    for report, former in ((reports[1], first), (reports[3], second)):
        [(_, uid)] = evidence_in(report.PredecessorDocumentsSequence)
        assert uid == former
    assert validation_errors(tmp_path / "run 1" / "sr.dcm", "Comprehensive3DSR") == []


def test_only_what_is_asked_for_is_written(example: Example, tmp_path: Path) -> None:
    result, study, _ = example
    options = dataclasses.replace(dicom_options("sr, region", DEFAULT_LOOK), created=CREATED)
    objects = written(result, study, tmp_path / "out", options)
    assert sorted(objects) == ["region_L.dcm", "region_R.dcm", "sr.dcm"]
    cited = {uid for _, uid in evidence_in(objects["sr.dcm"].CurrentRequestedProcedureEvidenceSequence)}
    assert cited & set(uids_of(example[2]).values()) == {
        objects[name].SOPInstanceUID for name in ("region_L.dcm", "region_R.dcm")
    }


def test_an_object_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no DICOM object 'regions'.*sr,region"):
        dicom_options("sr,regions", DEFAULT_LOOK)


@pytest.mark.parametrize(
    ("point", "words", "expected"),
    [
        (OperatingPoint(1e9, None, "tests"), "region", []),
        (OperatingPoint(1e9, None, "tests"), "region=all", ["region_L.dcm", "region_R.dcm"]),
        (None, "region", ["region_L.dcm", "region_R.dcm"]),
    ],
    ids=["not flagged", "all", "no operating point"],
)
def test_regions_of_breasts_that_are_not_flagged_are_written_when_asked_for(
    point: OperatingPoint | None, words: str, expected: list[str], tmp_path: Path
) -> None:
    result, study = scored(MockStudy(breast_phantom()), tmp_path / "study", operating_point=point)
    assert sorted(written(result, study, tmp_path / "out", dicom_options(words, DEFAULT_LOOK))) == expected


def test_a_study_to_review_has_its_regions_though_nothing_is_flagged(tmp_path: Path) -> None:
    mock = MockStudy(breast_phantom(), attributes={"PatientPosition": "HFS"})
    result, study = scored(mock, tmp_path / "study", operating_point=OperatingPoint(1e9, None, "tests"))
    objects = written(result, study, tmp_path / "out")
    assert sorted(objects) == FILES
    assert all("REVIEW" in dataset.SeriesDescription for dataset in objects.values())
    [text] = objects["mark_L.dcm"].GraphicAnnotationSequence[0].TextObjectSequence
    assert "REVIEW" in text.UnformattedTextValue


NAMES = {
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "chinese": (["GB18030"], "Wang^XiaoDong=王^小东"),
    "greek": (["ISO_IR 126"], "Διονυσιος"),
}


@pytest.mark.parametrize(("character_set", "name"), NAMES.values(), ids=NAMES.keys())
def test_names_come_out_as_they_went_in(character_set: list[str], name: str, tmp_path: Path) -> None:
    attributes = {"SpecificCharacterSet": character_set, "PatientName": name}
    result, study = scored(MockStudy(breast_phantom(), attributes=attributes), tmp_path / "study")
    for file, dataset in written(result, study, tmp_path / "out").items():
        assert str(dataset.PatientName) == name, file
    assert_valid(tmp_path / "out", FILES)


def test_the_objects_carry_the_moment_they_were_made(example: Example) -> None:
    _, _, objects = example
    for dataset in objects.values():
        made = "PresentationCreation" if dataset.Modality == "PR" else "Content"
        assert (dataset[f"{made}Date"].value, dataset[f"{made}Time"].value) == ("20300506", "070809")
        assert dataset.InstanceCreationDate == "20300506"


def test_nothing_of_the_patient_reaches_log_or_screen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    mock = MockStudy(breast_phantom(), attributes={"PatientName": "Onlyonename", "PatientBirthDate": "birthday"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result, study = scored(mock, tmp_path / "study")
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        written(result, study, tmp_path / "out")
    words = caplog.text + "".join(capfd.readouterr()) + "".join(str(warning.message) for warning in caught)
    slices = [breast.peak.sop_instance_uid for breast in result.breasts]
    for secret in ("Onlyonename", "birthday", study.study_instance_uid, *slices):
        assert secret not in words


def test_a_unilateral_result_gives_the_objects_of_one_breast(example: Example, tmp_path: Path) -> None:
    result, study, _ = example
    written(dataclasses.replace(result, breasts=result.breasts[1:]), study, tmp_path / "out")
    assert_valid(tmp_path / "out", [*(f"{kind}_L.dcm" for kind in OF_A_BREAST), "sr.dcm"])


def test_a_result_of_another_study_is_refused(example: Example, tmp_path: Path) -> None:
    _, study, _ = example
    with pytest.raises(StudyError, match="not in the study"):
        write_dicom_results(make_study(make_breast("L")), study, tmp_path, tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_without_highdicom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(dicom_writer(DicomOptions()))
    for name in [name for name in sys.modules if name.startswith("fcdd_runtime.pacs.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(MissingExtraError, match=r"fcdd-edge\[dicom\]"):
        dicom_writer(DicomOptions())


def test_a_map_without_a_reference_range_has_a_window(tmp_path: Path) -> None:
    contract: ModelContract = make_contract()
    contract = dataclasses.replace(contract, display=dataclasses.replace(contract.display, reference_range=(0.0, 0.0)))
    MockStudy(breast_phantom()).write(tmp_path / "study")
    study = read_study(tmp_path / "study")
    objects = written(score_study(study, FakeBackend(contract)), study, tmp_path / "out")
    window = objects["map_L.dcm"].SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    assert float(window.WindowWidth) > 0


def test_images_made_of_lossy_ones_say_so_and_stay_valid(tmp_path: Path) -> None:
    attributes = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "8.5",
        "LossyImageCompressionMethod": "ISO_15444_1",
    }
    result, study = scored(MockStudy(breast_phantom(), attributes=attributes), tmp_path / "study")
    objects = written(result, study, tmp_path / "out")
    for name in ("map_L.dcm", "overlay_L.dcm", "slices_L.dcm", "region_L.dcm"):
        assert (objects[name].LossyImageCompression, objects[name].LossyImageCompressionRatio) == ("01", 8.5)
        assert validation_errors(tmp_path / "out" / name, IODS[name.split("_")[0]]) == []
    assert "LossyImageCompression" not in objects["sr.dcm"]
