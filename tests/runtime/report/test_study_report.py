"""Writers of a study's result, on results made by hand."""

import base64
import csv
import dataclasses
import hashlib
import html.parser
import importlib
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw
from result_builders import SIZE, SQUASH, make_breast, make_contract, make_study

from fcdd_runtime import files
from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.contract import Display, MipRecipe, OperatingPoint, Resize
from fcdd_runtime.findings import Finding
from fcdd_runtime.images.network_input import resize_image
from fcdd_runtime.phases.choose import Phases
from fcdd_runtime.report import write as report
from fcdd_runtime.report.colormap import DEFAULT_LOOK, LOOKS, PUBLISHED_LOOK, Look, Scale, color_table
from fcdd_runtime.report.overlay import OPACITY, display_image, heat_layer, overlay_image, peak_mm
from fcdd_runtime.report.words import position_in_words
from fcdd_runtime.report.write import study_folder_name, summary_rows, write_study_report, write_summary
from fcdd_runtime.result import Peak, PhaseChoice, SplitChoice, StudyResult
from fcdd_runtime.score_study import score_study
from fcdd_runtime.study.read import Study
from fcdd_runtime.volumes.volume import Grid, SliceSource, volume_from_array
from support import sentences

CENTER_CROP = Resize("shorter_side_center_crop", SIZE, 256)
HOSTILE = '<script>alert("x")</script>&"\''


def written(study: StudyResult, folder: Path) -> dict[str, Any]:
    write_study_report(study, folder)
    document: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return document


def page_of(study: StudyResult, folder: Path) -> str:
    write_study_report(study, folder)
    return (folder / "report.html").read_text(encoding="utf-8")


class PageParser(html.parser.HTMLParser):
    """Collects tags with their attributes, and the text outside style and script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        target = self.scripts if self.tags and self.tags[-1][0] == "script" and data.strip() else self.words
        target.append(data)

    def attributes(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.tags if name == tag and wanted.items() <= found.items()]

    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def embedded_image(source: str | None) -> Image.Image:
    assert source is not None
    kind, _, data = source.partition(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def hottest(layer: Image.Image) -> tuple[float, float]:
    """Centre of mass of a layer's opacity: row and column, pixel centres at whole numbers."""
    alpha = np.asarray(layer.convert("RGBA").getchannel("A"), dtype=np.float64)
    rows, columns = np.indices(alpha.shape)
    return float((rows * alpha).sum() / alpha.sum()), float((columns * alpha).sum() / alpha.sum())


def heatmap_seen_at(mark: tuple[int, int], shape: tuple[int, int], resize: Resize) -> npt.NDArray[np.float32]:
    """The heatmap of a perfect detector: the forward path applied to an image with one bright square."""
    image = np.zeros(shape, np.uint8)
    image[mark[0] - 2 : mark[0] + 3, mark[1] - 2 : mark[1] + 3] = 255
    return resize_image(image, resize).astype(np.float32)


def test_result_json_holds_the_scores_and_peaks_of_both_breasts(tmp_path: Path) -> None:
    peak = Peak((1, 2), (3, 4), (10.25, -20.5, 30.125), "1.2.9", 17)
    score = float(np.float32(1) / np.float32(3))
    document = written(make_study(make_breast("R"), make_breast("L", score=score, flagged=True, peak=peak)), tmp_path)
    right, left = document["breasts"]
    assert (right["laterality"], left["laterality"]) == ("R", "L")
    assert np.float32(left["score"]) == np.float32(1) / np.float32(3)
    assert (right["flagged"], left["flagged"], document["flagged"]) == (False, True, True)
    assert document["exam_score"] == left["score"]
    assert right["peak"]["frame_number"] is None
    assert left["peak"] == {
        "patient_mm": [10.25, -20.5, 30.125],
        "sop_instance_uid": "1.2.9",
        "frame_number": 17,
        "heatmap_pixel": [1, 2],
        "image_pixel": [3, 4],
    }


def test_result_json_says_which_model_and_which_choices_made_it(tmp_path: Path) -> None:
    document = written(make_study(findings=(Finding("not-breast", "The body part is not the breast."),)), tmp_path)
    assert document["study_instance_uid"] == "1.2.826.0.1.999"
    assert document["operating_point"] == {"threshold": 0.4, "sensitivity": 0.97, "source": "held-out breasts"}
    phases = {"pre": "series 3, phase 1", "post": "series 3, phase 2", "method": "TriggerTime", "count": 4}
    assert phases.items() <= document["phases"].items()
    split = {"method": "sternum", "confidence": 0.8, "midline_x_mm": -3.25}
    assert split.items() <= document["split"].items()
    assert document["warnings"] == ["The body part is not the breast."]
    expected = {"name": "fcdd_fp16", "network": "FCDD_CNN224", "precision": "fp16", "versions": {"torch": "2.13.0"}}
    assert expected.items() <= document["model"].items()
    assert (document["model"]["snapshot_sha256"], document["model"]["artefact_sha256"]) == ("ab" * 32, "cd" * 32)
    assert document["intended_use"] == "Research use only. Not a medical device. Not for diagnosis."
    assert document["software"]["name"] == "fcdd-edge"


def test_without_an_operating_point_nothing_is_said_to_be_normal(tmp_path: Path) -> None:
    breasts = (make_breast("R", flagged=None), make_breast("L", flagged=None))
    study = make_study(*breasts, contract=make_contract(operating_point=None))
    document = written(study, tmp_path)
    assert (document["flagged"], document["operating_point"]) == (None, None)
    text = PageParser((tmp_path / "report.html").read_text(encoding="utf-8")).text()
    assert "No operating point" in text
    assert "Not flagged" not in text


def test_numpy_scalars_become_plain_json_values(tmp_path: Path) -> None:
    number: Any = np.float32(0.1)
    flag: Any = np.bool_(True)
    frame: Any = np.int64(7)
    peak = Peak((1, 2), (3, 4), (number, number, number), "1.2.9", frame)
    (breast,) = written(make_study(make_breast("L", score=number, flagged=flag, peak=peak)), tmp_path)["breasts"]
    assert (breast["score"], breast["flagged"]) == (float(np.float32(0.1)), True)
    assert breast["peak"]["frame_number"] == 7


def test_text_that_no_encoding_knows_does_not_stop_the_report(tmp_path: Path) -> None:
    study = make_study(findings=(Finding("not-breast", "Series \ud800 is odd."),))
    assert "Series ? is odd." in page_of(study, tmp_path)
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["warnings"] == list(
        sentences(study.findings)
    )


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_refused_and_leaves_nothing(tmp_path: Path, score: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_study_report(make_study(make_breast("L", score=score)), tmp_path / "study")
    assert list(tmp_path.iterdir()) == []


def test_each_breast_has_its_overlay_and_no_other_file_is_written(tmp_path: Path) -> None:
    write_study_report(make_study(), tmp_path / "both")
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == [
        "overlay_L.png",
        "overlay_R.png",
        "report.html",
        "result.json",
    ]
    write_study_report(make_study(make_breast("L")), tmp_path / "one")
    assert [path.name for path in (tmp_path / "one").glob("*.png")] == ["overlay_L.png"]


def test_an_earlier_report_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "study"
    write_study_report(make_study(), folder)
    document = written(make_study(make_breast("L", score=2.5)), folder)
    assert document["exam_score"] == 2.5
    assert not (folder / "overlay_R.png").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["study"]


def test_a_failure_while_writing_keeps_the_earlier_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "study"
    write_study_report(make_study(), folder)
    before = (folder / "result.json").read_bytes()

    def full_disk(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "study_page", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_study_report(make_study(make_breast("L", score=2.5)), folder)
    assert (folder / "result.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_where_folders_cannot_be_exchanged_a_failure_of_the_last_rename_puts_the_earlier_report_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    write_study_report(make_study(), folder)
    before = (folder / "result.json").read_bytes()
    rename = Path.rename

    def failing(source: Path, target: Path) -> Path:
        if source.name.endswith(".new"):
            raise OSError("the rename failed")
        return rename(source, target)

    monkeypatch.setattr(files, "_exchanged", lambda folder, other: False)
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="the rename failed"):
        write_study_report(make_study(make_breast("L", score=2.5)), folder)
    assert (folder / "result.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_the_report_folder_has_the_permissions_of_any_new_folder(tmp_path: Path) -> None:
    write_study_report(make_study(), tmp_path / "study")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "study").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_study_folder_is_named_by_a_hash_of_the_uid() -> None:
    assert study_folder_name("1.2.3") == hashlib.sha256(b"1.2.3").hexdigest()[:32]


def test_the_summary_has_one_row_a_breast_and_reads_back_equal(tmp_path: Path) -> None:
    score = float(np.float32(1) / np.float32(3))
    peak = Peak((0, 0), (0, 0), (1.5, -2.25, 3.125), "1.2.9", 17)
    flagged = make_study(make_breast("R"), make_breast("L", score=score, flagged=True, peak=peak))
    contract = make_contract(operating_point=None)
    unknown = make_study(make_breast("L", flagged=None), contract=contract, study_instance_uid='1,2"3')
    path = tmp_path / "summary.csv"
    write_summary([row for study in (flagged, unknown) for row in summary_rows(study)], path)
    with path.open(encoding="utf-8", newline="") as file:
        first, second, third = csv.DictReader(file)
    assert first["study"] == study_folder_name("1.2.826.0.1.999")
    assert [first["laterality"], second["laterality"], third["laterality"]] == ["R", "L", "L"]
    assert [first["flagged"], second["flagged"], third["flagged"]] == ["false", "true", ""]
    assert [first["threshold"], third["threshold"]] == ["0.4", ""]
    assert float(second["score"]) == score
    assert [float(second[f"peak_{axis}_mm"]) for axis in "xyz"] == [1.5, -2.25, 3.125]
    assert [second["sop_instance_uid"], second["frame_number"], first["frame_number"]] == ["1.2.9", "17", ""]
    assert third["study_instance_uid"] == '1,2"3'


@pytest.mark.parametrize("resize", [SQUASH, CENTER_CROP], ids=lambda resize: resize.rule)
@pytest.mark.parametrize("shape", [(300, 200), (180, 330), (96, 110)], ids=str)
@pytest.mark.parametrize("pixel_mm", [(1.0, 1.0), (1.6, 0.8), (0.7, 1.4)], ids=str)
def test_heat_lies_on_the_pixel_that_the_network_saw(
    resize: Resize, shape: tuple[int, int], pixel_mm: tuple[float, float]
) -> None:
    mark = (shape[0] // 2 - 13, shape[1] // 2 + 17)
    contract = make_contract(resize=resize, display=Display(1.0, (0.0, 255.0)))
    heatmap = heatmap_seen_at(mark, shape, resize)
    breast = make_breast(image=np.zeros(shape, np.uint8), heatmap=heatmap, pixel_mm=pixel_mm)
    layer = heat_layer(breast, contract, DEFAULT_LOOK)
    assert layer.size == display_image(breast, make_contract()).size
    found = [(at + 0.5) * min(pixel_mm) / size - 0.5 for at, size in zip(hottest(layer), pixel_mm, strict=True)]
    assert found == pytest.approx(mark, abs=0.6)


def test_pixels_are_square_on_display_and_keep_the_finer_resolution() -> None:
    breast = make_breast(image=np.zeros((100, 80), np.uint8), pixel_mm=(2.0, 0.5))
    assert display_image(breast, make_contract()).size == (80, 400)


def test_a_center_crop_shows_no_heat_where_the_network_did_not_look(tmp_path: Path) -> None:
    shape = (400, 200)
    contract = make_contract(resize=CENTER_CROP)
    breast = make_breast(image=np.zeros(shape, np.uint8), heatmap=np.full((SIZE, SIZE), 9, np.float32))
    alpha = np.asarray(heat_layer(breast, contract, DEFAULT_LOOK).convert("RGBA").getchannel("A"))
    first, last = (512 - SIZE) // 2 * 400 / 512, (512 + SIZE) // 2 * 400 / 512
    rows = np.flatnonzero(alpha.any(axis=1))
    assert (rows[0], rows[-1]) == (math.ceil(first - 0.5), math.ceil(last - 0.5) - 1)
    assert set(np.unique(alpha)) == {0, 255}
    frames = PageParser(page_of(make_study(breast, contract=contract), tmp_path)).attributes(
        "rect", **{"class": "seen"}
    )
    assert [float(frames[0][name] or "nan") for name in ("x", "y", "width", "height")] == pytest.approx(
        [200 / 256 * 16, first, 200 / 256 * SIZE, last - first], abs=0.01
    )


def test_a_breast_that_was_mirrored_for_the_network_is_shown_as_it_lies_in_the_patient(tmp_path: Path) -> None:
    shape, mark = (200, 240), (60, 40)
    contract = make_contract(recipe=MipRecipe(mirror_left=True), resize=CENTER_CROP, display=Display(1.0, (0.0, 255.0)))
    image = np.random.default_rng(8).integers(0, 256, shape).astype(np.uint8)
    breast = make_breast(
        "L",
        image=image,
        heatmap=heatmap_seen_at(mark, shape, CENTER_CROP),
        peak=Peak((0, 0), mark, (1.0, 2.0, 3.0), "1.2.9", None),
    )
    expected = {"L": (mark[0], shape[1] - 1 - mark[1]), "R": mark}
    for side, position in expected.items():
        shown = dataclasses.replace(breast, laterality=side)
        assert hottest(heat_layer(shown, contract, DEFAULT_LOOK)) == pytest.approx(position, abs=0.6)
        assert np.asarray(display_image(shown, contract))[position] == image[mark]
        marks = PageParser(page_of(make_study(shown, contract=contract), tmp_path / side)).attributes("g")
        assert marks[0]["transform"] == f"translate({position[1] + 0.5:.2f} {position[0] + 0.5:.2f})"


def test_scoring_with_mirrored_left_breasts_shows_the_same_picture_as_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the agreement between scoring and display: image, heatmap and peak are mirrored together, or none is."""
    grid = Grid((4, 120, 200), (-200.0, -120.0, 0.0), ((0.0, 0.0, 2.0), (0.0, 2.0, 0.0), (2.0, 0.0, 0.0)))
    post = np.random.default_rng(9).uniform(0, 50, grid.shape).astype(np.float32)
    post[2, 60, 171] = 500
    sources = tuple(SliceSource(f"1.2.{index}", None) for index in range(4))
    pre_volume, post_volume = (volume_from_array(voxels, grid, sources) for voxels in (np.zeros_like(post), post))
    phases = Phases(pre_volume, post_volume, PhaseChoice("pre", "post", "TriggerTime", 2), ())
    # The package exports the function under its module's name, so the module has to be asked for.
    module = importlib.import_module("fcdd_runtime.score_study")
    monkeypatch.setattr(module, "split_phases", lambda *_: phases)
    shown = []
    for mirror, column in ((False, 19), (True, 27 - 19)):
        contract = make_contract(recipe=MipRecipe(mirror_left=mirror), display=Display(1.0, (0.0, 9.0)))
        study = score_study(Study("1.2", (), ()), FakeBackend(contract, (14, column)))
        shown.append((study.breasts[1], contract))
    plain, mirrored = shown
    assert plain[0].laterality == mirrored[0].laterality == "L"
    assert np.array_equal(np.asarray(display_image(*plain)), np.asarray(display_image(*mirrored)))
    assert peak_mm(*plain) == peak_mm(*mirrored) == (121.0, 143.0)
    assert plain[0].peak.patient_mm == mirrored[0].peak.patient_mm == (142.0, 0.0, 4.0)
    heat = [hottest(heat_layer(*breast, DEFAULT_LOOK)) for breast in shown]
    assert heat[0] == pytest.approx(heat[1], abs=1)
    assert heat[0] == pytest.approx((60, 71), abs=4)


@pytest.mark.parametrize("scale", ["global", "local"])
def test_colours_follow_the_published_normalisation(scale: Scale) -> None:
    heatmap = np.random.default_rng(5).gamma(2.0, 0.4, (SIZE, SIZE)).astype(np.float32) + np.float32(0.1)
    breast = make_breast(image=np.zeros((SIZE, SIZE), np.uint8), heatmap=heatmap)
    layer = np.asarray(heat_layer(breast, make_contract(), Look("inferno", scale)).convert("RGBA")).astype(int)
    low, span = 0.25, 2.0
    if scale == "local":
        low = float(heatmap.min())
        span = float(np.sort(heatmap.ravel() - heatmap.min())[int(0.97 * heatmap.size) - 1])
    expected = np.clip((heatmap.astype(np.float64) - low) / span, 0, 1)
    steps = np.abs(layer[:, :, None, :3] - color_table()[None, None].astype(int)).sum(axis=-1).argmin(axis=-1)
    assert np.abs(steps / 255 - expected).max() <= 1 / 255
    assert np.abs(layer[..., 3] / 255 - np.minimum(2 * expected, 1)).max() <= 1 / 255


def test_the_written_overlay_blends_the_hottest_colour_with_the_grey_below_it() -> None:
    image = np.full((SIZE * 3, SIZE * 3), 100, np.uint8)
    hot = make_breast(image=image, heatmap=np.full((SIZE, SIZE), 9, np.float32))
    cold = make_breast(image=image, heatmap=np.zeros((SIZE, SIZE), np.float32))
    expected = (1 - OPACITY) * 100 + OPACITY * color_table()[-1].astype(float)
    assert np.asarray(overlay_image(hot, make_study()))[300, 300] == pytest.approx(expected, abs=1.5)
    assert overlay_image(cold, make_study()).getpixel((300, 300)) == (100, 100, 100)


def test_the_written_overlay_carries_a_caption_below_the_image_and_none_on_it() -> None:
    breast = make_breast(image=np.zeros((600, 700), np.uint8), heatmap=np.zeros((SIZE, SIZE), np.float32))
    overlay = np.asarray(overlay_image(breast, make_study()))
    assert overlay.shape[1] == 700
    assert not overlay[:600].any()
    assert overlay[600:].any()
    ends = np.flatnonzero(overlay[600:].any(axis=(0, 2)))
    assert ends[-1] < 699


def test_a_small_breast_image_is_enlarged_to_be_seen() -> None:
    breast = make_breast(image=np.zeros((100, 120), np.uint8))
    assert overlay_image(breast, make_study()).width == 600


def lab(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """CIELAB under D65 by the usual textbook formula, dark end left out of its linear part."""
    encoded = rgb / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(linear @ to_xyz.T / [0.9505, 1.0, 1.089]).T
    return np.column_stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_the_colours_rise_in_lightness_by_steps_that_look_even() -> None:
    points = lab(color_table())[15::20]
    assert (np.diff(points[:, 0]) > 1).all()
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert steps.max() < 1.4 * steps.min()


def test_the_colours_stay_in_order_without_the_cones_for_green() -> None:
    """Linear RGB seen with deuteranopia, after Machado, Oliveira and Fernandes (2009), severity 1."""
    deuteranopia = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    )
    linear = (color_table() / 255.0) ** 2.2
    luminance = np.clip(linear @ deuteranopia.T, 0, 1) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance[::8]) > 0).all()


def test_jet_has_the_values_of_matplotlib() -> None:
    expected = {64: (0, 0.504, 1), 128: (0.490, 1, 0.478), 192: (1, 0.582, 0), 255: (0.5, 0, 0)}
    for index, color in expected.items():
        assert color_table("jet")[index] / 255 == pytest.approx(color, abs=0.004)


def test_the_published_look_is_jet_on_each_heatmaps_own_scale(tmp_path: Path) -> None:
    assert LOOKS["jet"] == PUBLISHED_LOOK == Look("jet", "local")
    study = make_study()
    write_study_report(study, tmp_path / "jet", PUBLISHED_LOOK)
    parser = PageParser((tmp_path / "jet" / "report.html").read_text(encoding="utf-8"))
    assert [found["value"] for found in parser.attributes("option") if "selected" in found] == ["local"]
    layer = embedded_image(parser.attributes("img", **{"class": "heat local"})[0]["src"])
    steps = np.asarray(heat_layer(study.breasts[0], study.contract, Look("inferno", "local")))
    assert np.array_equal(np.asarray(layer.convert("RGBA"))[..., :3], color_table("jet")[steps])
    picture = np.asarray(Image.open(tmp_path / "jet" / "overlay_R.png"))
    assert np.array_equal(picture, np.asarray(overlay_image(study.breasts[0], study, PUBLISHED_LOOK)))
    assert not np.array_equal(picture, np.asarray(overlay_image(study.breasts[0], study)))


def test_what_else_is_written_shares_the_folders_fate(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "sr.dcm").write_bytes(b"report")

    write_study_report(make_study(), tmp_path / "study", also=write)
    assert (tmp_path / "study" / "sr.dcm").read_bytes() == b"report"

    def fail(folder: Path) -> None:
        write(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_study_report(make_study(), tmp_path / "other", also=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_untrusted_text_is_shown_and_never_becomes_markup(tmp_path: Path) -> None:
    study = make_study(
        make_breast("L", peak=Peak((0, 0), (0, 0), (0.0, 0.0, 0.0), HOSTILE, None)),
        study_instance_uid=HOSTILE,
        phases=PhaseChoice(HOSTILE, HOSTILE, HOSTILE, 2),
        split=SplitChoice(HOSTILE, 0.5, 0.0),
        findings=(Finding("not-breast", HOSTILE), Finding("not-breast", "{{ study }} {% raw %} {# x #}")),
        contract=make_contract(
            name=HOSTILE,
            network=HOSTILE,
            versions={HOSTILE: HOSTILE},
            notes=(HOSTILE,),
            operating_point=OperatingPoint(0.4, None, HOSTILE),
        ),
    )
    page = page_of(study, tmp_path)
    parser = PageParser(page)
    assert "alert(" not in re.sub(r"&lt;script&gt;alert\(&#34;x&#34;\)", "", page)
    assert len(parser.attributes("script")) == 1
    assert parser.text().count(HOSTILE) >= 10
    assert "{{ study }} {% raw %} {# x #}" in parser.text()
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["study_instance_uid"] == HOSTILE


def test_the_page_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    page = page_of(make_study(), tmp_path)
    parser = PageParser(page)
    references = [
        value
        for _, attributes in parser.tags
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "action", "data", "poster", "xlink:href"}
    ]
    assert references
    assert all((value or "").startswith("data:") for value in references)
    without_images = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)
    assert not re.search(r"https?://|//[a-z]|@import|url\(|fetch\(|XMLHttpRequest", without_images)


def test_the_security_policy_admits_the_pages_own_script_and_no_network(tmp_path: Path) -> None:
    parser = PageParser(page_of(make_study(), tmp_path))
    policy = parser.attributes("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"] or ""
    digest = base64.b64encode(hashlib.sha256("".join(parser.scripts).encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy
    assert not any(name.startswith("on") for _, attributes in parser.tags for name in attributes)


def test_the_page_shows_both_breasts_with_the_patients_right_first(tmp_path: Path) -> None:
    study = make_study()
    parser = PageParser(page_of(study, tmp_path))
    assert [found["id"] for found in parser.attributes("article")] == ["breast-R", "breast-L"]
    mips = [embedded_image(found["src"]) for found in parser.attributes("img", **{"class": "mip"})]
    for mip, breast in zip(mips, study.breasts, strict=True):
        assert np.array_equal(np.asarray(mip), breast.image)
    for scale in ("global", "local"):
        assert len(parser.attributes("img", **{"class": f"heat {scale}"})) == 2


def test_a_unilateral_study_shows_one_breast(tmp_path: Path) -> None:
    parser = PageParser(page_of(make_study(make_breast("L")), tmp_path))
    assert [found["id"] for found in parser.attributes("article")] == ["breast-L"]
    assert "Right breast" not in parser.text()


def test_a_frame_shows_what_the_network_saw_where_that_is_all_too(tmp_path: Path) -> None:
    breast = make_breast(image=np.zeros((100, 80), np.uint8), pixel_mm=(2.0, 0.5))
    [frame] = PageParser(page_of(make_study(breast), tmp_path)).attributes("rect", **{"class": "seen"})
    assert [float(frame[name] or "nan") for name in ("x", "y", "width", "height")] == [0, 0, 40, 200]


def test_heat_beyond_the_colours_has_lines_in_the_page_and_in_the_written_overlay(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    heat = (100 - np.hypot(rows - 112, columns - 112)).clip(0).astype(np.float32)
    breast = make_breast(image=np.zeros((100, 100), np.uint8), heatmap=heat)
    study = make_study(breast, contract=make_contract(display=Display(1.0, (0.0, 60.0))))
    paths = PageParser(page_of(study, tmp_path)).attributes("path")
    lines = {found["class"]: found["d"] or "" for found in paths if (found.get("class") or "").startswith("ring")}
    assert lines["ring global"].count("M") > 50
    assert lines["ring local"] == ""  # the local scale ends at the highest
    picture = np.asarray(overlay_image(breast, study)).astype(int)
    assert (np.abs(picture - np.array([16, 21, 27])).sum(axis=-1) == 0).sum() > 100


def test_the_peak_is_marked_at_its_pixel_in_millimetres(tmp_path: Path) -> None:
    breast = make_breast(image=np.zeros((100, 80), np.uint8), pixel_mm=(2.0, 0.5))
    parser = PageParser(page_of(make_study(breast), tmp_path))
    assert parser.attributes("svg", **{"class": "mark"})[0]["viewbox"] == "0 0 40.00 200.00"
    assert parser.attributes("g")[0]["transform"] == "translate(35.25 101.00)"


def test_the_page_says_what_was_found_and_how(tmp_path: Path) -> None:
    text = PageParser(page_of(make_study(findings=(Finding("several-before", "Only three phases."),)), tmp_path)).text()
    for expected in (
        "Flagged",
        "The exam score reaches the threshold 0.4000 (set for 97 % sensitivity).",
        "R 52 mm, A 31 mm, H 12 mm",
        "x, y, z = -52.4, -31.0, 12.5 mm (LPS)",
        "1.2.3.4",
        "single-frame file",
        "Only three phases.",
        "4 found, told apart by TriggerTime",
        "sternum, confidence 80 %",
        "FCDD_CNN224",
        "torch 2.13.0",
        "0.2 / 0.1",
    ):
        assert expected in text
    assert text.count("Research use only. Not a medical device. Not for diagnosis.") == 2


def test_hashes_are_short_on_the_page_and_whole_in_the_tooltip(tmp_path: Path) -> None:
    parser = PageParser(page_of(make_study(), tmp_path))
    assert "ab" * 32 not in parser.text()
    assert parser.attributes("dd", title="ab" * 32)


def test_a_study_uid_of_64_characters_is_shown_whole(tmp_path: Path) -> None:
    uid = "1.2.840." + "7" * 56
    assert uid in PageParser(page_of(make_study(study_instance_uid=uid), tmp_path)).text()


def test_notes_on_the_model_stand_among_the_notes(tmp_path: Path) -> None:
    page = page_of(make_study(contract=make_contract(notes=("Drift of 2 % accepted.",))), tmp_path)
    notes = page[page.index('<section class="notes"') : page.index('id="viewer"')]
    assert "Model: Drift of 2 % accepted." in notes


REVIEW = (
    Finding("contrast-unclear", "It is unclear whether contrast arrived."),
    Finding("jitter", "Positions differ."),
)


@pytest.mark.parametrize(
    ("flagged", "words"),
    [(False, "Review"), (None, "Review"), (True, "Flagged, review")],
    ids=["below", "none", "above"],
)
def test_a_study_to_review_is_never_shown_as_not_flagged(tmp_path: Path, flagged: bool | None, words: str) -> None:
    contract = make_contract() if flagged is not None else make_contract(operating_point=None)
    breasts = (make_breast("R", flagged=None if flagged is None else False), make_breast("L", flagged=flagged))
    study = make_study(*breasts, findings=REVIEW, contract=contract)
    page = page_of(study, tmp_path)
    text = PageParser(page).text()
    assert "Not flagged" not in text
    assert "No operating point" not in text
    assert words in text
    assert "A person has to look at this study" in text
    assert "It is unclear whether contrast arrived. What to do: look at the subtraction." in text
    assert page.index("unclear whether") < page.index("Positions differ.") < page.index('id="viewer"')
    document = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert document["state"] == "review"
    assert document["review"] == [{"code": "contrast-unclear", "sentence": "It is unclear whether contrast arrived."}]
    assert document["notes"] == [{"code": "jitter", "sentence": "Positions differ."}]
    assert document["flagged"] == flagged
    assert document["warnings"] == list(sentences(REVIEW))
    assert [(row.state, row.review) for row in summary_rows(study)] == [("review", "contrast-unclear")] * 2


def test_notes_alone_put_no_study_to_review(tmp_path: Path) -> None:
    study = make_study(findings=REVIEW[1:])
    assert "Not flagged" in PageParser(page_of(study, tmp_path)).text()
    assert [(row.state, row.review) for row in summary_rows(study)] == [("scored", "")] * 2


def test_the_caption_of_an_overlay_says_review(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    draw = ImageDraw.ImageDraw.multiline_text

    def noting(self: ImageDraw.ImageDraw, place: Any, text: str, *rest: Any, **options: Any) -> None:
        written.append(text)
        draw(self, place, text, *rest, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "multiline_text", noting)
    for findings in (REVIEW, ()):
        overlay_image(make_breast(), make_study(findings=findings))
    assert ["REVIEW" in caption for caption in written] == [True, False]
    assert ["not flagged" in caption.lower() for caption in written] == [False, True]


def test_bars_and_threshold_share_one_scale(tmp_path: Path) -> None:
    page = page_of(make_study(), tmp_path)
    threshold = float(re.findall(r'class="threshold" style="left:([\d.]+)%', page)[0])
    bars = [float(value) for value in re.findall(r'class="fill \w+" style="width:([\d.]+)%', page)]
    assert bars == pytest.approx([threshold * 0.3 / 0.4, threshold * 0.75 / 0.4], abs=0.02)
    assert max(bars) < 100


@pytest.mark.parametrize("score", [0.0, 1e-7, 0.4, 9.99, 12345.0])
def test_any_score_fits_on_the_scale(tmp_path: Path, score: float) -> None:
    breast = make_breast("L", score=score, flagged=None)
    page = page_of(make_study(breast, contract=make_contract(operating_point=None)), tmp_path)
    (percent,) = re.findall(r'class="fill \w+" style="width:([\d.]+)%', page)
    assert (float(percent) > 0) == (score > 0)
    assert float(percent) <= 100
    assert 'class="threshold"' not in page


@pytest.mark.parametrize(
    ("patient_mm", "words"),
    [
        ((52.2, -31.4, 11.8), "L 52 mm, A 31 mm, H 12 mm"),
        ((-52.2, 31.4, -11.8), "R 52 mm, P 31 mm, F 12 mm"),
        ((-0.2, 0.0, 0.4), "L 0 mm, P 0 mm, H 0 mm"),
    ],
)
def test_a_position_is_said_in_patient_directions(patient_mm: tuple[float, float, float], words: str) -> None:
    assert position_in_words(patient_mm) == words
