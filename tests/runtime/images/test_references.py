"""Networks that compare two images: where the reference comes from, in studies and in folders of images."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from mock_study import MockStudy, breast_phantom, cropped
from PIL import Image
from result_builders import make_contract

from fcdd_runtime.backends.base import Backend, Batch, Maps, Scores
from fcdd_runtime.backends.golden import GoldenVectors, golden_from_bytes, golden_to_bytes, self_test
from fcdd_runtime.cli import score
from fcdd_runtime.contract import ModelContract
from fcdd_runtime.errors import ContractError, GateError, ImageError, StudyError
from fcdd_runtime.images.mip_files import read_image
from fcdd_runtime.images.network_input import stack_images
from fcdd_runtime.images.references import Reference, recorded_reference
from fcdd_runtime.report.colormap import DEFAULT_LOOK
from fcdd_runtime.report.write import result_json
from fcdd_runtime.result import StudyResult
from fcdd_runtime.runs.image_folder import ImageScores, score_images, write_image_scores
from fcdd_runtime.runs.run import RunOptions, ScoreRun
from fcdd_runtime.runs.worker import Worker
from fcdd_runtime.score_study import score_study
from fcdd_runtime.study.read import read_studies

TWO = make_contract(network="FCDD_REF_CNN224_VGG_NOPT", objective="fcddrefs", inputs=("mip", "reference"))
PHANTOM = breast_phantom()


@dataclasses.dataclass
class ComparingBackend(Backend):
    """Answers the mean difference between every image and its reference, which differs for every pair."""

    contract: ModelContract = TWO

    def infer(self, batch: Batch) -> tuple[Scores, Maps]:
        scores = compared(batch["mip"], batch["reference"])
        return scores, np.broadcast_to(scores[:, None, None], (len(scores), 28, 28)).copy()

    def close(self) -> None:
        """Nothing was opened."""


def compared(images: npt.NDArray[np.uint8], references: npt.NDArray[np.uint8]) -> Scores:
    scores: Scores = (128 + images.mean((1, 2, 3)) - 0.5 * references.mean((1, 2, 3))).astype(np.float32)
    return scores


def scored(phantom: Any, folder: Path, reference: Reference | None = None, mirror_left: bool = False) -> StudyResult:
    MockStudy(phantom).write(folder)
    (study,), _ = read_studies(folder, folder)
    contract = dataclasses.replace(TWO, recipe=dataclasses.replace(TWO.recipe, mirror_left=mirror_left))
    return score_study(study, ComparingBackend(contract), None, reference)


@pytest.mark.parametrize("mirror_left", [False, True])
def test_each_breast_is_compared_with_the_other_as_the_recipe_orients_it(mirror_left: bool, tmp_path: Path) -> None:
    result = scored(PHANTOM, tmp_path, mirror_left=mirror_left)
    images = stack_images([breast.image for breast in result.breasts], TWO.resize)
    expected = compared(images, images[::-1])
    np.testing.assert_allclose([breast.score for breast in result.breasts], expected, rtol=1e-6)
    assert len(set(expected)) == 2
    assert [breast["reference"] for breast in json.loads(result_json(result))["breasts"]] == ["other breast"] * 2


def test_a_study_of_one_breast_is_refused_unless_there_is_a_recorded_reference(tmp_path: Path) -> None:
    one_breast = cropped(PHANTOM, 54, 96)
    with pytest.raises(StudyError, match="shows one only; give a recorded image with --reference"):
        scored(one_breast, tmp_path)
    reference = Reference("normal.png", np.full((300, 200), 7, np.uint8))
    result = scored(one_breast, tmp_path, reference)
    images = stack_images([breast.image for breast in result.breasts], TWO.resize)
    assert [breast.score for breast in result.breasts] == [pytest.approx(compared(images, np.full_like(images, 7))[0])]
    assert json.loads(result_json(result))["breasts"][0]["reference"] == "normal.png"


def test_a_recorded_reference_takes_the_place_of_the_other_breast(tmp_path: Path) -> None:
    result = scored(PHANTOM, tmp_path, Reference("normal.png", np.zeros((9, 9), np.uint8)))
    assert [breast.reference for breast in result.breasts] == ["normal.png"] * 2
    images = stack_images([breast.image for breast in result.breasts], TWO.resize)
    np.testing.assert_allclose(
        [breast.score for breast in result.breasts], compared(images, np.zeros_like(images)), rtol=1e-6
    )


def write_image(path: Path, grey: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 30), grey, np.uint8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images `a/one.png`, `a/two.png` and `b/three.png`, of grey 10, 20 and 30."""
    for name, grey in (("a/one.png", 10), ("a/two.png", 20), ("b/three.png", 30)):
        write_image(tmp_path / "images" / name, grey)
    return tmp_path / "images"


def table(folder: Path, text: str) -> Path:
    path = folder.parent / "references.csv"
    path.write_text(text, encoding="utf-8")
    return path


def scores_by_name(result: ImageScores) -> dict[str, float]:
    return dict(zip(result.names, result.scores, strict=True))


def test_one_image_may_be_the_reference_of_a_whole_folder(folder: Path, tmp_path: Path) -> None:
    result = score_images(folder, ComparingBackend(), write_image(tmp_path / "normal.png", 60))
    assert scores_by_name(result) == {"a/one.png": 108, "a/two.png": 118, "b/three.png": 128}
    write_image_scores(result, ComparingBackend(), tmp_path, save_maps=False)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [row["reference"] for row in rows] == ["normal.png"] * 3


@pytest.mark.parametrize("batch", [1, 2, 32])
@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "with byte order mark"])
def test_a_table_gives_every_image_its_own_reference(folder: Path, tmp_path: Path, batch: int, start: str) -> None:
    write_image(tmp_path / "normal.png", 80)
    rows = "image,reference\nb/three.png,a/one.png\na\\two.png,./b/three.png\n\na/one.png,../normal.png\n"
    backend = ComparingBackend(dataclasses.replace(TWO, max_batch_size=batch))
    result = score_images(folder, backend, table(folder, start + rows))
    assert scores_by_name(result) == {"a/one.png": 98, "a/two.png": 133, "b/three.png": 153}
    assert result.references == ("../normal.png", "b/three.png", "a/one.png")


@pytest.mark.parametrize(
    ("row", "words"),
    [("", 'image "a/two.png" has no row'), ("a/two.png,missing.png\n", 'image "missing.png" cannot be read')],
)
def test_an_image_without_a_usable_reference_is_reported_and_the_others_are_scored(
    row: str, words: str, folder: Path
) -> None:
    path = table(folder, f"image,reference\n{row}a/one.png,b/three.png\nb/three.png,a/one.png\n")
    result = score_images(folder, ComparingBackend(), path)
    assert result.names == ("a/one.png", "b/three.png")
    [failure] = result.failures
    assert words in failure


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "header image,reference"),
        ("reference,image\na/one.png,a/two.png\n", "header image,reference"),
        ("image,reference\na/one.png\n", "two entries in every row"),
        ("image,reference\na/one.png,\n", "two entries in every row"),
        ("image,reference\nnone.png,a/two.png\n", 'names image "none.png", which'),
        ("image,reference\na/one.png,a/two.png\na/one.png,b/three.png\n", 'names two for image "a/one.png"'),
        ("image,reference\na/one.png,a/one.png\n", 'compares image "a/one.png" with itself'),
        ("image,reference\na/one.png,b/../a/one.png\n", 'compares image "a/one.png" with itself'),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(text: str, words: str, folder: Path) -> None:
    with pytest.raises(ImageError, match=words):
        score_images(folder, ComparingBackend(), table(folder, text))


def test_a_reference_among_the_images_is_refused_since_it_would_be_compared_with_itself(
    folder: Path, tmp_path: Path
) -> None:
    linked = tmp_path / "linked.png"
    linked.symlink_to(folder / "b" / "three.png")
    for reference in (folder / "a" / "one.png", linked):
        with pytest.raises(ImageError, match="move it out of the folder, or give a CSV file"):
            score_images(folder, ComparingBackend(), reference)


def test_a_folder_of_images_needs_a_reference_where_the_network_takes_one_and_only_there(folder: Path) -> None:
    with pytest.raises(ImageError, match="compares every image with a reference; give --reference"):
        score_images(folder, ComparingBackend())
    with pytest.raises(ImageError, match="takes no reference images"):
        score_images(folder, ComparingBackend(make_contract()), folder / "a" / "one.png")


def run(path: Path, out: Path, contract: ModelContract, reference: Path) -> tuple[int, list[str]]:
    errors: list[str] = []
    options = RunOptions(out, DEFAULT_LOOK, False, None, None, lambda _: None, errors.append, reference)
    with Worker() as worker:
        return ScoreRun(ComparingBackend(contract), options, worker).score_all((path,)), errors


def test_a_reference_that_is_no_use_ends_the_call_before_a_study_is_read(tmp_path: Path) -> None:
    MockStudy(PHANTOM).write(tmp_path / "study")
    (tmp_path / "Doe_Jane.png").write_text("no image")
    image = write_image(tmp_path / "normal.png", 1)
    csv = table(tmp_path / "study", "image,reference\n")
    for contract, path, words in (
        (make_contract(), image, "takes no reference images"),
        (TWO, csv, "give one image for DICOM studies"),
        (TWO, tmp_path / "Doe_Jane.png", "the reference image cannot be read"),
    ):
        with pytest.raises(ImageError, match=words) as caught:
            run(tmp_path / "study", tmp_path / "out", contract, path)
        assert "Doe" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert run(tmp_path / "study", tmp_path / "out", TWO, image) == (0, [])


def test_the_command_takes_the_path_of_a_reference_and_refuses_it_for_other_networks(
    repository: Path, folder: Path, tmp_path: Path
) -> None:
    arguments = [folder, "--model", repository / "small_fp32", "--out", tmp_path / "out", "--reference", folder]
    result = CliRunner().invoke(score, [str(argument) for argument in arguments])
    assert (result.exit_code, "takes no reference images" in result.stderr) == (2, True)


def test_a_recorded_reference_keeps_the_name_of_its_file_and_its_pixels(tmp_path: Path) -> None:
    path = write_image(tmp_path / "normal.png", 5)
    reference = recorded_reference(path)
    assert reference.name == "normal.png"
    np.testing.assert_array_equal(reference.pixels, read_image(path))


def golden() -> GoldenVectors:
    rng = np.random.default_rng(0)
    images, references = rng.integers(0, 256, (2, 3, 1, 224, 224), np.uint8)
    scores, maps = ComparingBackend().infer({"mip": images, "reference": references})
    return GoldenVectors(images, scores, maps, references, 1e-4)


def test_golden_vectors_carry_the_references_of_their_images() -> None:
    for vectors in (golden(), golden().first()):
        again = golden_from_bytes(golden_to_bytes(vectors))
        assert again.references is not None and vectors.references is not None
        np.testing.assert_array_equal(again.references, vectors.references)
        assert self_test(ComparingBackend(), again).score_error == 0


def test_the_self_test_notices_exchanged_images_and_golden_vectors_of_another_network() -> None:
    vectors = golden()
    assert vectors.references is not None
    exchanged = dataclasses.replace(vectors, images=vectors.references, references=vectors.images)
    with pytest.raises(GateError, match="not the model that was verified"):
        self_test(ComparingBackend(dataclasses.replace(TWO, precision="fp32")), exchanged)
    with pytest.raises(ContractError, match="not those of this model"):
        self_test(ComparingBackend(), dataclasses.replace(vectors, references=None))


def test_golden_references_that_do_not_fit_the_images_are_refused() -> None:
    vectors = golden()
    assert vectors.references is not None
    with pytest.raises(ContractError, match="do not fit together"):
        golden_from_bytes(golden_to_bytes(dataclasses.replace(vectors, references=vectors.references[:2])))
