"""Files -> studies: what is read, what is refused, and that pixels come back as they were."""

import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mock_study import MockStudy, breast_phantom
from pydicom import DataElement, config, dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.choose import split_phases
from fcdd_runtime.study import archive, pixels
from fcdd_runtime.study.read import Study, read_studies
from fcdd_runtime.study.slices import Slice
from support import sentences

PHANTOM = breast_phantom(phases=2)
REFERENCE = os.environ.get("FCDD_REFERENCE_DATA")


@pytest.fixture
def study_folder(tmp_path: Path) -> Path:
    MockStudy(PHANTOM).write(tmp_path / "study")
    return tmp_path / "study"


def read(path: Path) -> tuple[list[Study], list[str]]:
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return read_studies(path, scratch)


def slices_of(study: Study) -> list[Slice]:
    return [image_slice for series in study.series for image_slice in series.slices]


def cut(path: Path, bytes_left: int) -> None:
    path.write_bytes(path.read_bytes()[:bytes_left])


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    "transfer_syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless]
)
def test_every_slice_reads_back_as_its_known_rescaled_voxels(
    tmp_path: Path, enhanced: bool, signed: bool, transfer_syntax: UID
) -> None:
    phantom = replace(PHANTOM, voxels=PHANTOM.voxels - (150 if signed else 0))
    mock = MockStudy(phantom, enhanced=enhanced, signed=signed, rescale=True, transfer_syntax=transfer_syntax)
    mock.write(tmp_path / "study")
    (study,), notes = read(tmp_path / "study")
    assert notes == []
    assert len(slices_of(study)) == 20
    for image_slice in slices_of(study):
        assert image_slice.plane is not None
        phase = int(image_slice.phase_values["TemporalPositionIdentifier"]) - 1
        z = round((image_slice.plane.origin_mm[2] - phantom.first_voxel_mm[2]) / phantom.spacing_mm[0])
        voxels = image_slice.read()
        assert voxels.dtype == np.float32
        np.testing.assert_array_equal(voxels, phantom.voxels[phase, z])


def test_bits_above_the_stored_ones_do_not_count(tmp_path: Path) -> None:
    mock = MockStudy(PHANTOM, attributes={"BitsStored": 12, "HighBit": 11})
    path = mock.write(tmp_path / "study")[0]
    header = dcmread(path)
    voxels = header.pixel_array.copy()
    header.PixelData = (voxels | 0x8000).astype("<u2").tobytes()
    header.save_as(path)
    image_slice = next(
        image_slice for image_slice in slices_of(read(tmp_path / "study")[0][0]) if image_slice.path == path
    )
    np.testing.assert_array_equal(image_slice.read(), voxels)


def test_finds_studies_at_any_depth_among_other_files(tmp_path: Path) -> None:
    MockStudy(PHANTOM, study="a").write(tmp_path / "in" / "deep" / "deeper")
    MockStudy(PHANTOM, study="b").write(tmp_path / "in" / "other")
    (tmp_path / "in" / "notes.txt").write_text("no DICOM")
    (tmp_path / "in" / "empty.txt").touch()
    (tmp_path / "in" / ".keep").touch()
    studies, notes = read(tmp_path / "in")
    assert {study.study_instance_uid for study in studies} == {
        MockStudy(PHANTOM, study=name).study_instance_uid for name in ("a", "b")
    }
    assert [len(slices_of(study)) for study in studies] == [20, 20]
    assert notes == []


def test_a_link_back_to_the_folder_is_not_followed(study_folder: Path) -> None:
    (study_folder / "loop").symlink_to(study_folder, target_is_directory=True)
    assert len(slices_of(read(study_folder)[0][0])) == 20


def test_reads_a_single_file(tmp_path: Path) -> None:
    (path,) = MockStudy(PHANTOM, enhanced=True).write(tmp_path / "study")
    image_slice = slices_of(read(path)[0][0])[4]
    assert image_slice.source.frame_number == 5


def test_reads_a_zip_whose_names_lead_elsewhere_into_the_scratch_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as packed:
        for path in MockStudy(PHANTOM).write(tmp_path / "study"):
            packed.write(path, f"../../evil/{path.name}")
    (study,), _ = read(tmp_path / "study.zip")
    assert len(slices_of(study)) == 20
    assert {image_slice.path.parent for image_slice in slices_of(study)} == {tmp_path / "scratch"}


def test_a_zip_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros", bytes(20 * 2**20))
    with pytest.raises(StudyError, match=r'the zip "bomb\.zip" would unpack to 1 files'):
        read(tmp_path / "bomb.zip")
    assert not list((tmp_path / "scratch").iterdir())


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as packed:
        packed.writestr("one", b"x" * 1000)
    cut(tmp_path / "study.zip", 600)
    with pytest.raises(StudyError, match=r'the zip "study\.zip" cannot be unpacked \(it is damaged'):
        read(tmp_path / "study.zip")


def test_the_bound_on_a_zip_is_on_what_it_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 999)
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as packed:
        packed.writestr("one", b"x" * 1000)
    with pytest.raises(StudyError, match="which no study does"):
        read(tmp_path / "study.zip")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(StudyError, match="is empty"):
        read(tmp_path / "in")


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "picture.png").write_bytes(b"\x89PNG" * 100)
    with pytest.raises(StudyError, match="holds no DICOM file"):
        read(tmp_path / "in")


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="does not exist"):
        read(tmp_path / "nothing")


@pytest.mark.parametrize("attributes", [{"SOPClassUID": CTImageStorage}, {"SOPClassUID": SecondaryCaptureImageStorage}])
def test_a_folder_without_mr_images_is_refused(tmp_path: Path, attributes: dict[str, str]) -> None:
    MockStudy(PHANTOM, attributes=attributes).write(tmp_path / "in")
    with pytest.raises(StudyError, match="holds no MR image"):
        read(tmp_path / "in")


@pytest.mark.parametrize("transfer_syntax", [ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("enhanced", [False, True])
def test_a_file_with_too_few_pixels_stays_in_its_study_and_cannot_be_read(
    tmp_path: Path, transfer_syntax: UID, enhanced: bool
) -> None:
    mock = MockStudy(PHANTOM, transfer_syntax=transfer_syntax, enhanced=enhanced)
    path = mock.write(tmp_path / "study")[0]
    cut(path, path.stat().st_size - 40)
    (study,), _ = read(tmp_path / "study")
    assert len(slices_of(study)) == 20
    damaged = next(image_slice for image_slice in slices_of(study) if image_slice.path == path)
    with pytest.raises(StudyError, match=f'file "{path.name}" is truncated'):
        damaged.read()


def test_pixel_data_shorter_than_rows_and_columns_are_damage(tmp_path: Path) -> None:
    mock = MockStudy(PHANTOM, attributes={"PixelData": bytes(100)})
    mock.write(tmp_path / "study")
    with pytest.raises(StudyError, match="is truncated"):
        slices_of(read(tmp_path / "study")[0][0])[0].read()


def test_a_file_cut_within_its_header_is_named_in_a_note(study_folder: Path) -> None:
    path = sorted(study_folder.iterdir())[3]
    cut(path, 500)
    (study,), notes = read(study_folder)
    assert len(slices_of(study)) == 19
    assert len(notes) == 1
    assert notes[0].startswith(f'file "{path.name}" has a damaged or truncated header')


def test_deflated_files_are_refused_without_inflating_them(tmp_path: Path) -> None:
    MockStudy(PHANTOM, transfer_syntax=DeflatedExplicitVRLittleEndian).write(tmp_path / "in")
    with pytest.raises(StudyError, match="is deflated"):
        read(tmp_path / "in")


def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    mock = MockStudy(PHANTOM, attributes={"Rows": 65535, "Columns": 65535})
    mock.write(tmp_path / "study")
    with pytest.raises(StudyError, match="declares slices of 65535 x 65535 pixels"):
        slices_of(read(tmp_path / "study")[0][0])[0].read()


def test_an_object_that_describes_fewer_frames_than_it_declares_is_damaged(tmp_path: Path) -> None:
    (path,) = MockStudy(PHANTOM, enhanced=True).write(tmp_path / "study")
    header = dcmread(path)
    del header.PerFrameFunctionalGroupsSequence[-1]
    header.save_as(path)
    with pytest.raises(StudyError, match="declares 20 frames and describes 19"):
        slices_of(read(tmp_path / "study")[0][0])[0].read()


def test_a_rescale_slope_that_is_no_number_is_damage_not_one(tmp_path: Path) -> None:
    MockStudy(PHANTOM, attributes={"RescaleSlope": "0"}).write(tmp_path / "study")
    with pytest.raises(StudyError, match="invalid rescale|declares a rescale"):
        slices_of(read(tmp_path / "study")[0][0])[0].read()


@pytest.mark.parametrize("slope", ["1e37", "1e-37", "inf", "nan"])
def test_an_absurd_rescale_is_damage(tmp_path: Path, slope: str) -> None:
    MockStudy(PHANTOM, attributes={"RescaleIntercept": "0"}).write(tmp_path / "study")
    for path in (tmp_path / "study").iterdir():
        content = dcmread(path)
        content["RescaleSlope"] = DataElement("RescaleSlope", "DS", slope, validation_mode=config.IGNORE)
        content.save_as(path)
    with pytest.raises(StudyError, match="invalid rescale|declares a rescale"):
        slices_of(read(tmp_path / "study")[0][0])[0].read()


def test_a_file_without_a_study_uid_is_named_in_a_note(study_folder: Path) -> None:
    path = sorted(study_folder.iterdir())[3]
    header = dcmread(path)
    header.StudyInstanceUID = ""
    header.save_as(path)
    (study,), notes = read(study_folder)
    assert len(slices_of(study)) == 19
    assert notes == [f'file "{path.name}" has no Study Instance UID and was not read; export it again.']
    for other in study_folder.iterdir():
        header = dcmread(other)
        header.StudyInstanceUID = ""
        header.save_as(other)
    with pytest.raises(StudyError, match="has no Study Instance UID"):
        read(study_folder)


def test_a_folder_that_cannot_be_read_is_named_with_the_slice_that_is_missing(
    study_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = study_folder / "locked"
    locked.mkdir()
    path = sorted(file for file in study_folder.iterdir() if file.is_file())[3]
    path.rename(locked / path.name)
    scandir = os.scandir

    def refusing(folder: Path) -> object:
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    (study,), _ = read(study_folder)
    with pytest.raises(
        StudyError, match=r'slice.*; besides, The folder "locked" could not be read \(Permission denied\)'
    ):
        split_phases(study, MipRecipe())


def test_copied_files_count_once_and_the_undamaged_copy_is_taken(study_folder: Path) -> None:
    path = sorted(study_folder.iterdir())[0]
    shutil.copy(path, study_folder / "zz_copy")
    cut(path, path.stat().st_size - 10)
    (study,), _ = read(study_folder)
    assert len(slices_of(study)) == 20
    assert not any(image_slice.damage for image_slice in slices_of(study))
    assert sentences(study.findings) == ('series 5 "dyn t1 fs" holds 1 copied slices, which were left out.',)


def test_a_missing_decoder_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoDecoder:
        is_available = False

    MockStudy(PHANTOM, transfer_syntax=RLELossless).write(tmp_path / "study")
    image_slice = slices_of(read(tmp_path / "study")[0][0])[0]
    monkeypatch.setattr(pixels, "get_decoder", lambda _: NoDecoder())
    with pytest.raises(StudyError, match=r"RLE Lossless\) needs a decoder .* pip install fcdd-edge\[dicom\]"):
        image_slice.read()


@pytest.mark.skipif(REFERENCE is None, reason="FCDD_REFERENCE_DATA does not name the folder of real MR files")
def test_one_siemens_image_in_nine_transfer_syntaxes_has_equal_pixels_or_is_refused() -> None:
    (study,), _ = read_studies(Path(str(REFERENCE)) / "real_mr" / "siemens_transfer_syntaxes", Path())
    native = next(image_slice.read() for image_slice in slices_of(study) if image_slice.path.name == "1.dcm")
    assert len(slices_of(study)) == 9
    for image_slice in slices_of(study):
        assert image_slice.pixels is not None
        if get_decoder(image_slice.pixels.transfer_syntax).is_available:
            np.testing.assert_array_equal(image_slice.read(), native)
        else:
            with pytest.raises(StudyError, match=r"pip install fcdd-edge\[dicom\]"):
                image_slice.read()


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    MockStudy(breast_phantom()).write(tmp_path / "store" / "study")
    (tmp_path / "store" / "study" / "back").symlink_to(tmp_path / "store")
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "store" / "study")
    (study,), notes = read(tmp_path / "in")
    assert len(study.series[0].slices) == 30
    assert (study.findings, notes) == ((), [])


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "bmp"])
def test_a_folder_of_other_pictures_is_refused_with_the_formats_that_are_taken(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"mip.{suffix}").write_bytes(b"picture" * 100)
    with pytest.raises(StudyError, match=f"holds {suffix.upper()} images, not DICOM; .* 8-bit grey PNG or TIFF"):
        read(tmp_path / "in")


def test_a_copy_is_read_where_the_first_file_turns_out_to_be_damaged(study_folder: Path) -> None:
    paths = MockStudy(PHANTOM, transfer_syntax=RLELossless).write(study_folder)
    expected = {s.source.sop_instance_uid: s.read() for s in slices_of(read(study_folder)[0][0])}
    for path in paths[:3]:
        shutil.copy(path, study_folder / f"copy of {path.name}")
        content = path.read_bytes()
        head = content.rindex(b"\xfe\xff\x00\xe0")
        path.write_bytes(content[: head + 8] + b"\xff" * 64 + content[head + 72 :])
    for image_slice in slices_of(read(study_folder)[0][0]):
        np.testing.assert_array_equal(image_slice.read(), expected[image_slice.source.sop_instance_uid])
