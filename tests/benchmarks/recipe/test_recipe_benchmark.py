"""The recipe by which a site made its images is found from its studies: drawn ones, and a real one."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pydicom import dcmread

from fcdd_benchmarks.cli import main
from fcdd_benchmarks.kinds import read_report
from fcdd_benchmarks.recipe.measure import measure_recipe
from fcdd_benchmarks.recipe.pairs import find_pairs
from fcdd_benchmarks.recipe.report import RecipeReport
from fcdd_benchmarks.report.document import ReportError
from fcdd_export.networks.recipe import read_recipe
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.phases.choose import split_phases
from fcdd_runtime.score_study import breast_images
from fcdd_runtime.study.read import read_studies
from phantom import draw_phantom
from phantom.dicom import write_phantom
from phantom.draw import STEP_MM
from support import REFERENCE_VARIABLE


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "studies"
    for number, difficulties in enumerate(({"air": 0.6}, {"pendulous": 0.5, "vessels": 0.5})):
        write_phantom(draw_phantom(8000 + number, phases=3, difficulties=difficulties), folder / f"case-{number}")
    return folder


@dataclass(frozen=True)
class Made:
    """How a site made its images."""

    recipe: MipRecipe
    jpeg_quality: int | None
    size: int | None
    """Of square images; None: as the projection is."""


def write_images(studies: Path, made: Made, out: Path) -> Path:
    out.mkdir()
    for folder in sorted(studies.iterdir()):
        (study,), _ = read_studies(folder, folder)
        for breast in breast_images(split_phases(study, made.recipe), made.recipe)[0]:
            image = Image.fromarray(np.ascontiguousarray(breast.pixels))
            if made.size:
                image = image.resize((made.size, made.size), Image.Resampling.BILINEAR)
            if made.jpeg_quality:
                buffer = io.BytesIO()
                image.save(buffer, "JPEG", quality=made.jpeg_quality)
                image = Image.open(buffer)
            image.save(out / f"{folder.name}_{'right' if breast.laterality == 'R' else 'left'}.png")
    return out


def drawn_at_random(seed: int) -> Made:
    rng = np.random.default_rng(seed)
    recipe = MipRecipe(
        post_contrast_phase=int(rng.integers(1, 3)),
        window_low=float(rng.choice([0, 5, 10])),
        window_high_quantile=float(rng.choice([0.98, 0.99, 0.995, 0.998, 0.999])),
        posterior_margin_mm=float(rng.integers(5, 60)),
        mirror_left=bool(rng.integers(2)),
        crop="breast" if seed % 2 else "field",
        crop_margin_mm=float(rng.integers(0, 25)),
        air="clear" if rng.integers(2) else "keep",
    )
    return Made(recipe, 85 if rng.integers(2) else None, 224 if rng.integers(2) else None)


@pytest.mark.parametrize("seed", range(4))
def test_a_recipe_that_was_drawn_at_random_is_found(studies: Path, tmp_path: Path, seed: int) -> None:
    made = drawn_at_random(seed)
    report, _ = measure_recipe(studies, write_images(studies, made, tmp_path / "images"), None, "fcdd-bench recipe")
    found, true = report.recipe, made.recipe
    for name in ("post_contrast_phase", "crop", "mirror_left", "air"):
        assert getattr(found, name) == getattr(true, name) or name in report.undecided, name
    assert found.posterior_margin_mm == pytest.approx(true.posterior_margin_mm, abs=STEP_MM[1])
    if true.crop == "breast":
        assert found.crop_margin_mm == pytest.approx(true.crop_margin_mm, abs=STEP_MM[2])
    assert report.similarity.correlation > 0.95
    assert report.similarity.difference < 6
    # What is above white is a small share of pixels, and its logarithm says how bright white is.
    tails = [np.log(1 - recipe.window_high_quantile) for recipe in (found, true)]
    assert tails[0] == pytest.approx(tails[1], abs=0.15)
    assert found.window_low == pytest.approx(true.window_low, abs=1.5)


def test_the_command_writes_a_recipe_that_exports_read(studies: Path, tmp_path: Path) -> None:
    made = Made(MipRecipe(crop="breast", air="clear"), None, None)
    images, out = write_images(studies, made, tmp_path / "images"), tmp_path / "out"
    answer = CliRunner().invoke(main, ["recipe", "--studies", str(studies), "--images", str(images), "--out", str(out)])
    assert answer.exit_code == 0, answer.output
    assert read_recipe(out / "recipe.toml") == made.recipe
    report = read_report(out).report
    assert isinstance(report, RecipeReport)
    assert report.similarity.difference == 0
    assert "data:image/png" in (out / "report.html").read_text(encoding="utf-8") or report.worst
    assert {one.entry for one in report.alternatives} >= {"crop", "air", "mirror_left", "post_contrast_phase"}
    assert all(one.difference >= 0 for one in report.alternatives)


def test_a_table_pairs_images_whose_names_say_nothing(studies: Path, tmp_path: Path) -> None:
    made = Made(MipRecipe(), None, None)
    images = write_images(studies, made, tmp_path / "images")
    rows = ["image,study,side"]
    for number, path in enumerate(sorted(images.iterdir())):
        study, side = path.stem.split("_")
        path.rename(images / f"{number}.png")
        rows.append(f"{number}.png,{study},{side}")
    with pytest.raises(ReportError, match="named after a study.*--pairs"):
        find_pairs(studies, images, None)
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(rows))
    pairs = find_pairs(studies, images, table)
    assert [(pair.study.name, pair.side) for pair in pairs] == [
        ("case-0", "L"),
        ("case-0", "R"),
        ("case-1", "L"),
        ("case-1", "R"),
    ]
    report, _ = measure_recipe(studies, images, table, "fcdd-bench recipe")
    assert report.recipe == made.recipe


@pytest.mark.parametrize(
    "text", ["", "image,study\n", "name,study\nx.png,case-0\n", "image,study,side\nx.png,case-0,up\n"]
)
def test_a_table_that_cannot_be_used_is_refused_in_a_sentence(studies: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "images").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "images" / "other.png")
    (tmp_path / "pairs.csv").write_text(text)
    arguments = ["--images", str(tmp_path / "images"), "--pairs", str(tmp_path / "pairs.csv")]
    answer = CliRunner().invoke(main, ["recipe", "--studies", str(studies), *arguments, "--out", str(tmp_path / "o")])
    assert answer.exit_code == 2
    assert answer.output.startswith("Error: ")
    assert not (tmp_path / "o").exists()


def contrast_alone(studies: Path, images: Path) -> None:
    """Images of the phase after contrast, from which nothing was subtracted."""
    for folder in sorted(studies.iterdir()):
        (study,), _ = read_studies(folder, folder)
        phases = split_phases(study, MipRecipe())
        zeros = np.zeros(phases.pre.grid.shape[1:], np.int16)
        brightest = np.max([phases.post.read_slice(index) for index in range(phases.post.grid.shape[0])], axis=0)
        assert zeros.shape == brightest.shape
        grey = np.clip(brightest[:70] / np.quantile(brightest, 0.999) * 255, 0, 255).astype(np.uint8)
        Image.fromarray(grey[:, :96]).save(images / f"{folder.name}_R.png")
        Image.fromarray(grey[:, 96:]).save(images / f"{folder.name}_L.png")


def noise(studies: Path, images: Path) -> None:
    for folder in sorted(studies.iterdir()):
        pixels = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
        Image.fromarray(pixels).save(images / f"{folder.name}_R.png")


@pytest.mark.parametrize(("draw", "words"), [(contrast_alone, "no recipe makes"), (noise, "no recipe makes such")])
def test_images_that_no_recipe_makes_get_none(studies: Path, tmp_path: Path, draw: object, words: str) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    draw(studies, images)  # type: ignore[operator]
    answer = CliRunner().invoke(main, ["recipe", "--studies", str(studies), "--images", str(images), "--out", str(out)])
    assert answer.exit_code == 3
    assert words in answer.output
    assert not out.exists()


REAL = Path(os.environ.get(REFERENCE_VARIABLE, "")) / "real_breast"
BEFORE_AND_AFTER: Sequence[str] = ("08", "09", "13", "15", "17", "19")
needs_real = pytest.mark.skipif(
    not os.environ.get(REFERENCE_VARIABLE) or not REAL.is_dir(),
    reason=f"{REFERENCE_VARIABLE} does not name the folder that holds the real breast examination",
)


def scanners_mip(number: int, quantile: float) -> Image.Image:
    """The scanner's own axial MIP of a subtraction, without the offset of 100 that it adds, windowed to 8 bits."""
    [header] = [one for path in (REAL / "12").iterdir() if (one := dcmread(path)).InstanceNumber == number]
    values = header.pixel_array.astype(np.float64) - 100
    grey = np.floor(values / np.quantile(values, quantile) * 255 + 0.5)
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


@needs_real
@pytest.mark.parametrize(("number", "quantile"), [(1, 0.998), (3, 0.99)])
def test_how_a_scanner_made_its_own_projection_is_found_to_the_last_pixel(
    tmp_path: Path, number: int, quantile: float
) -> None:
    (tmp_path / "studies" / "patient").mkdir(parents=True)
    for series in BEFORE_AND_AFTER:
        (tmp_path / "studies" / "patient" / series).symlink_to(REAL / series)
    (tmp_path / "images").mkdir()
    scanners_mip(number, quantile).save(tmp_path / "images" / "patient_both.png")
    report, _ = measure_recipe(tmp_path / "studies", tmp_path / "images", None, "fcdd-bench recipe")
    whole = MipRecipe(post_contrast_phase=number, window_high_quantile=quantile, posterior_margin_mm=1000.0)
    assert replace(report.recipe, posterior_margin_mm=1000.0) == whole
    assert report.similarity.difference == 0
