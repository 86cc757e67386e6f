"""Key slices and presentation states: where they put the peak, what they show of the source, what they say."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from mock_study import OBLONG, MockStudy, breast_phantom, read_study
from pydicom import dcmread
from pydicom.dataset import Dataset
from result_builders import make_contract

from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.pacs import DicomOptions
from fcdd_runtime.pacs.secondary_capture import AROUND, MARK_MM
from fcdd_runtime.pacs.write import write_dicom_results
from fcdd_runtime.result import StudyResult
from fcdd_runtime.score_study import score_study

STUDIES = {
    "axial": MockStudy(OBLONG),
    "from the left": MockStudy(OBLONG, backwards="xz"),
    "sagittal": MockStudy(OBLONG, axes="xzy"),
    "oblique": MockStudy(OBLONG, turned_degrees=12),
    "enhanced": MockStudy(OBLONG, enhanced=True),
    "rescaled": MockStudy(OBLONG, rescale=True),
}


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written of a study, and its source."""

    result: StudyResult
    objects: Mapping[str, Dataset]
    sources: Mapping[str, Dataset]
    """By SOP Instance UID."""

    def plane(self, item: Dataset) -> tuple[Dataset, Dataset, Dataset]:
        """Position, orientation and pixel measures of what an item refers to."""
        source = self.sources[item.ReferencedSOPInstanceUID]
        if "ReferencedFrameNumber" not in item:
            return source, source, source
        frame = source.PerFrameFunctionalGroupsSequence[int(item.ReferencedFrameNumber) - 1]
        shared = source.SharedFunctionalGroupsSequence[0]
        groups = [
            next(group[name][0] for group in (frame, shared) if name in group)
            for name in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
        ]
        return groups[0], groups[1], groups[2]

    def pixel(self, patient_mm: tuple[float, float, float], item: Dataset) -> tuple[float, float, float]:
        """Row and column of a point on a slice, the first centre being 0, and its distance from the slice, mm."""
        position, orientation, measures = self.plane(item)
        cosines = np.array(orientation.ImageOrientationPatient, float)
        offset = np.array(patient_mm) - np.array(position.ImagePositionPatient, float)
        down_mm, along_mm = map(float, measures.PixelSpacing)
        away = float(offset @ np.cross(cosines[:3], cosines[3:]))
        return float(offset @ cosines[3:]) / down_mm, float(offset @ cosines[:3]) / along_mm, away


@pytest.fixture(scope="module", params=list(STUDIES.values()), ids=list(STUDIES))
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("marks")
    request.param.write(folder / "study")
    study = read_study(folder / "study")
    result = score_study(study, FakeBackend(make_contract(), cell=(10, 12)))
    (folder / "out").mkdir()
    assert write_dicom_results(result, study, folder / "out", folder / "none", DicomOptions()) == ()
    sources = [dcmread(path) for path in (folder / "study").iterdir()]
    objects = {path.name: dcmread(path) for path in (folder / "out").glob("*.dcm")}
    return Written(result, objects, {source.SOPInstanceUID: source for source in sources})


def test_the_circle_lies_around_the_peak_on_its_slice(written: Written) -> None:
    for breast in written.result.breasts:
        state = written.objects[f"mark_{breast.laterality}.dcm"]
        [annotation] = state.GraphicAnnotationSequence
        [image] = annotation.ReferencedImageSequence
        [circle] = annotation.GraphicObjectSequence
        row, column, away = written.pixel(breast.peak.patient_mm, image)
        assert away == pytest.approx(0, abs=1e-3)
        # Pixel (1, 1) of a presentation state begins at 0.0 and ends at 1.0 (PS3.3 C.10.5.1.2).
        centre, edge = np.array(circle.GraphicData, float).reshape(2, 2)
        assert centre == pytest.approx((column + 0.5, row + 0.5), abs=1e-3)
        _, _, measures = written.plane(image)
        assert np.abs(edge - centre).max() == pytest.approx(MARK_MM / float(measures.PixelSpacing[1]))
        assert (circle.GraphicType, circle.GraphicAnnotationUnits) == ("CIRCLE", "PIXEL")


def test_a_presentation_state_is_of_its_one_frame_at_its_true_proportions(written: Written) -> None:
    for side in "LR":
        state = written.objects[f"mark_{side}.dcm"]
        [image] = state.GraphicAnnotationSequence[0].ReferencedImageSequence
        [area] = state.DisplayedAreaSelectionSequence
        [in_area], [in_series] = area.ReferencedImageSequence, state.ReferencedSeriesSequence[0].ReferencedImageSequence
        frames = {item.get("ReferencedFrameNumber") for item in (image, in_area, in_series)}
        assert len(frames) == 1
        measures = written.plane(image)[2]
        assert list(map(float, area.PresentationPixelSpacing)) == list(map(float, measures.PixelSpacing))
        assert "PresentationPixelAspectRatio" not in area


@pytest.mark.parametrize("column", [0, 47, 95])
def test_the_circle_keeps_its_size_at_the_edge_of_the_image(column: int, tmp_path: Path) -> None:
    MockStudy(breast_phantom()).write(tmp_path / "study")
    study = read_study(tmp_path / "study")
    result = score_study(study, FakeBackend(make_contract()))
    [breast] = [breast for breast in result.breasts if breast.laterality == "L"]
    voxels = breast.voxels.copy()
    voxels[breast.peak.image_pixel][2] = column
    moved = dataclasses.replace(result, breasts=(dataclasses.replace(breast, voxels=voxels),))
    (tmp_path / "out").mkdir()
    write_dicom_results(moved, study, tmp_path / "out", tmp_path / "none", DicomOptions(frozenset({"mark"})))
    [circle] = dcmread(tmp_path / "out" / "mark_L.dcm").GraphicAnnotationSequence[0].GraphicObjectSequence
    centre, edge = np.array(circle.GraphicData, float).reshape(2, 2)
    assert centre[0] == column + 0.5
    assert abs(edge[0] - centre[0]) == pytest.approx(MARK_MM / 2.5)
    assert 0 <= edge[0] <= 96


def test_small_values_have_a_window_of_their_own(tmp_path: Path) -> None:
    """A slope that makes all values less than 1 must not make the slices black."""
    for path in MockStudy(breast_phantom()).write(tmp_path / "study"):
        image = dcmread(path)
        image.RescaleSlope, image.RescaleIntercept = "0.0001", "0"
        image.save_as(path)
    study = read_study(tmp_path / "study")
    result = score_study(study, FakeBackend(make_contract()))
    (tmp_path / "out").mkdir()
    assert write_dicom_results(result, study, tmp_path / "out", tmp_path / "none", DicomOptions()) == ()
    assert np.quantile(dcmread(tmp_path / "out" / "slices_L.dcm").pixel_array, 0.9) > 100
    [window] = dcmread(tmp_path / "out" / "mark_L.dcm").SoftcopyVOILUTSequence
    assert 0 < window.WindowWidth < 0.1
    assert window.VOILUTFunction == "LINEAR_EXACT"


def test_the_text_of_a_mark_says_side_score_state_and_purpose(written: Written) -> None:
    for breast in written.result.breasts:
        [text] = written.objects[f"mark_{breast.laterality}.dcm"].GraphicAnnotationSequence[0].TextObjectSequence
        side = {"L": "Left breast", "R": "Right breast"}[breast.laterality]
        for words in (side, "score 1", "flagged", "Research use only"):
            assert words.lower() in text.UnformattedTextValue.lower()


def test_key_slices_are_those_around_the_peak_in_their_order(written: Written) -> None:
    for breast in written.result.breasts:
        slices = written.objects[f"slices_{breast.laterality}.dcm"]
        images = slices.SourceImageSequence
        assert slices.NumberOfFrames == len(images) == len(slices.PageNumberVector)
        away = [written.pixel(breast.peak.patient_mm, image)[2] for image in images]
        step = abs(away[1] - away[0])
        steps = [round(distance / step) for distance in away]
        assert 0 in steps
        assert steps in (sorted(steps), sorted(steps, reverse=True))
        # The volume may end beside the peak.
        assert set(steps) <= set(range(-AROUND, AROUND + 1))
        assert len(steps) == len(set(steps)) >= AROUND + 1
        assert f"frame {steps.index(0) + 1} holds the peak" in slices.DerivationDescription


def test_a_key_slice_shows_its_source_the_response_and_the_peak(written: Written) -> None:
    for breast in written.result.breasts:
        slices = written.objects[f"slices_{breast.laterality}.dcm"]
        peak = [abs(written.pixel(breast.peak.patient_mm, image)[2]) for image in slices.SourceImageSequence]
        number = int(np.argmin(peak))
        image = slices.SourceImageSequence[number]
        source = written.sources[image.ReferencedSOPInstanceUID]
        pixels = (
            source.pixel_array[int(image.ReferencedFrameNumber) - 1]
            if "NumberOfFrames" in source
            else source.pixel_array
        )
        enlarged = -(-448 // max(source.Rows, source.Columns))
        frame = slices.pixel_array[number][: source.Rows * enlarged, : source.Columns * enlarged].astype(int)
        inside = frame[enlarged // 2 :: enlarged, enlarged // 2 :: enlarged]
        coloured = np.ptp(inside, axis=-1) > 0
        row, column, _ = written.pixel(breast.peak.patient_mm, image)
        assert coloured[round(row), round(column)]
        # Without colour it is the source, as far as a window keeps its order.
        grey, shown = pixels[~coloured].astype(float), inside[..., 0][~coloured]
        assert np.corrcoef(np.argsort(np.argsort(grey)), np.argsort(np.argsort(shown)))[0, 1] > 0.5
        dark, bright = pixels < np.quantile(pixels, 0.2), pixels > np.quantile(pixels, 0.9)
        assert inside[..., 0][dark & ~coloured].mean() + 60 < inside[..., 0][bright & ~coloured].mean()
        measures = written.plane(image)[2]
        assert list(map(float, slices.PixelSpacing)) == pytest.approx(
            [float(side) / enlarged for side in measures.PixelSpacing]
        )


def test_a_narrow_slice_has_room_for_its_caption(written: Written) -> None:
    for side in "LR":
        slices = written.objects[f"slices_{side}.dcm"]
        assert slices.Columns >= 448
        caption = slices.pixel_array[0][-slices.Columns // 8 :]
        # Its second line is the longest, and ends before the picture does.
        written_on = np.flatnonzero(caption.max(axis=(0, 2)) > 100)
        assert written_on.min() > 0
        assert slices.Columns * 0.5 < written_on.max() < slices.Columns - 5


def test_key_slices_say_which_way_the_patient_lies(written: Written) -> None:
    [slices] = [written.objects["slices_L.dcm"]]
    cosines = np.array(written.plane(slices.SourceImageSequence[0])[1].ImageOrientationPatient, float)
    letters = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "H": (2, 1), "F": (2, -1)}
    for letter, direction in zip(slices.PatientOrientation, (cosines[:3], cosines[3:]), strict=True):
        axis, sign = letters[letter]
        assert direction[axis] * sign > 0.7
