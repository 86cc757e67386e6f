"""fcdd-bench accuracy on a few drawn images: its figures against scikit-learn's, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from sklearn import metrics

from benchmarks.labelled_folder import ANOMALOUS, NORMAL, SIZE, write_labelled_images
from benchmarks.reports import read_back
from fcdd_benchmarks.accuracy.operating_point import between_scores, proposed_point
from fcdd_benchmarks.cli import main
from fcdd_export.cli import main as export_main
from fcdd_export.gate.roc import bootstrap_picks, sensitivity_at, specificity_at, threshold_for_sensitivity
from fcdd_runtime.contract import read_contract
from support import WriteSnapshot, rewrite_contract


def run(images: Path, out: Path, *options: str) -> Result:
    arguments = ["accuracy", "--images", str(images), "--resamples", "100", "--out", str(out), *options]
    return CliRunner().invoke(main, arguments)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def out(images: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes for two precisions."""
    folder = tmp_path_factory.mktemp("accuracy")
    models = [f"--model={repository / name}" for name in ("small_fp32", "small_fp16")]
    result = run(images, folder, *models)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def document(out: Path) -> dict[str, Any]:
    return read_back(out)


def by_name(estimates: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {estimate["name"]: estimate for estimate in estimates}


def test_the_report_holds_both_models(document: dict[str, Any]) -> None:
    assert [model["name"] for model in document["models"]] == ["small_fp32", "small_fp16"]
    assert document["images"]["labels"] == [0] * NORMAL + [1] * ANOMALOUS
    assert all(len(model["scores"]) == NORMAL + ANOMALOUS for model in document["models"])


def test_figures_equal_those_of_scikit_learn(document: dict[str, Any]) -> None:
    labels = np.array(document["images"]["labels"])
    weights = np.where(labels, 0.02 / labels.mean(), 0.98 / (1 - labels.mean()))
    for model in document["models"]:
        scores, found = np.array(model["scores"]), by_name(model["estimates"])
        assert found["ROC AUC"]["value"] == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)
        average = metrics.average_precision_score(labels, scores)
        assert found["PR AUC"]["value"] == pytest.approx(average, abs=1e-12)
        weighted = metrics.average_precision_score(labels, scores, sample_weight=weights)
        assert found["PR AUC at 2 % prevalence"]["value"] == pytest.approx(weighted, abs=1e-12)
        false, true, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
        for wanted in (90, 95, 97):
            specificity = 1 - false[true >= wanted / 100].min()
            assert found[f"specificity at {wanted} % sensitivity"]["value"] == pytest.approx(specificity, abs=1e-12)
        assert found["pixelwise AUC"]["value"] == pytest.approx(np.mean(model["pixel_aucs"][NORMAL:]), abs=1e-12)


def test_every_figure_lies_in_its_interval_or_at_its_end(document: dict[str, Any]) -> None:
    for model in document["models"]:
        for estimate in model["estimates"]:
            assert estimate["low"] <= estimate["high"]
            assert estimate["low"] >= 0 and estimate["high"] <= 1


def test_changes_are_differences_of_the_figures_and_the_first_model_has_none(document: dict[str, Any]) -> None:
    first, second = document["models"]
    assert first["changes"] == []
    before, after = by_name(first["estimates"]), by_name(second["estimates"])
    for name, change in by_name(second["changes"]).items():
        assert change["value"] == pytest.approx(after[name]["value"] - before[name]["value"], abs=1e-12)


def test_a_model_against_itself_changes_nothing(images: Path, repository: Path, tmp_path: Path) -> None:
    model = f"--model={repository / 'small_fp32'}"
    assert run(images, tmp_path, model, model).exit_code == 0
    document = json.loads((tmp_path / "report.json").read_text())
    assert [model["name"] for model in document["models"]] == ["small_fp32", "small_fp32 (2)"]
    assert all(change["low"] == change["high"] == 0 for change in document["models"][1]["changes"])


def test_the_page_has_both_plots_inside_and_no_name_of_an_image(out: Path) -> None:
    page = (out / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 2
    for name in ("report.html", "report.json", "report.md"):
        assert "i03" not in (out / name).read_text()


def test_export_takes_the_proposed_operating_point(
    out: Path, document: dict[str, Any], write_snapshot: WriteSnapshot, tmp_path: Path
) -> None:
    path = out / "operating_point.json"
    arguments = [str(write_snapshot(tmp_path / "snapshot")), "--precision", "fp32", "--target", "python"]
    arguments += ["--repo", str(tmp_path / "repo"), "--operating-point", str(path)]
    result = CliRunner().invoke(export_main, arguments)
    assert result.exit_code == 0, result.output
    point = read_contract(tmp_path / "repo" / "fcdd_fp32").operating_point
    assert point is not None
    assert point.threshold == document["operating_point"]["threshold"]["value"]
    assert point.sensitivity == 0.95
    assert f"{NORMAL} normal and {ANOMALOUS} anomalous images" in point.source


def test_the_threshold_lies_on_no_score_and_flags_what_the_highest_one_flags() -> None:
    scores, labels = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([False, False, True, False, True])
    threshold = between_scores(scores, labels, 1.0)
    highest = threshold_for_sensitivity(scores, labels, 1.0)
    assert (highest, threshold) == (3.0, 2.5)
    for rate in (sensitivity_at, specificity_at):
        assert rate(scores, labels, threshold) == rate(scores, labels, highest)


def test_held_out_images_are_judged_by_a_threshold_without_their_group() -> None:
    """One patient alone has low anomalous scores: a threshold from the others misses all of them."""
    groups = np.repeat(np.arange(10), 4)
    labels = np.tile([False, True, False, True], 10)
    scores = np.where(labels, 5.0, 0.0) + np.arange(40) / 1000
    scores[(groups == 3) & labels] = 1.0
    point = proposed_point(scores, labels, groups, 1.0, bootstrap_picks(labels, groups, 20))
    assert point.threshold.value < 1
    assert point.folds == 5
    assert point.held_out == (18 / 20, 1.0)


def test_one_group_with_anomalies_cannot_be_held_out() -> None:
    labels = np.array([False, False, True, True])
    point = proposed_point(labels * 1.0, labels, np.array([0, 1, 2, 2]), 0.9, bootstrap_picks(labels, None, 20))
    assert point.held_out is None


def test_groups_are_resampled_whole_and_named_in_the_report(repository: Path, tmp_path: Path) -> None:
    folder = write_labelled_images(tmp_path / "images", groups=True)
    result = run(folder, tmp_path / "out", f"--model={repository / 'small_fp32'}")
    assert result.exit_code == 0, result.output
    document = read_back(tmp_path / "out")
    groups = document["images"]["groups"]
    assert len(set(groups)) == 6  # patients 0 to 5, the first four of whom have both kinds
    assert groups[:4] == [0, 0, 1, 1] and groups[NORMAL : NORMAL + 2] == [0, 0]
    assert "of whole groups" in result.output and "of 6 groups" in result.output


def test_a_model_on_a_server_answers_as_the_same_model_in_this_process(
    images: Path, repository: Path, server: str, tmp_path: Path
) -> None:
    result = run(images, tmp_path, f"--model={repository / 'small_fp32'}", f"--url={server}/small_fp32")
    assert result.exit_code == 0, result.output
    first, second = json.loads((tmp_path / "report.json").read_text())["models"]
    assert [first["name"], second["name"]] == ["small_fp32", "small_fp32 (2)"]
    np.testing.assert_allclose(second["scores"], first["scores"], rtol=1e-6)
    assert all(change["value"] == pytest.approx(0, abs=1e-6) for change in second["changes"])


def test_a_network_of_two_inputs_compares_each_image_with_its_reference(
    images: Path, compared_repository: Path, compared_server: str, tmp_path: Path
) -> None:
    model = f"--model={compared_repository / 'ref_fp32'}"
    refused = run(images, tmp_path / "none", model)
    assert refused.exit_code == 2
    assert "give --reference" in refused.stderr
    names = [
        f"{kind}/i{index:02}.png" for kind, n in (("normal", NORMAL), ("anomalous", ANOMALOUS)) for index in range(n)
    ]
    pairs = zip(names, [*names[1:], names[0]], strict=True)
    table = tmp_path / "references.csv"
    table.write_text("\n".join(["image,reference", *(f"{a},{b}" for a, b in pairs)]) + "\n")
    options = [model, f"--url={compared_server}/ref_fp32", f"--reference={table}"]
    result = run(images, tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    document = read_back(tmp_path / "out")
    first, second = document["models"]
    np.testing.assert_allclose(second["scores"], first["scores"], rtol=1e-5)
    assert len(set(first["scores"])) == len(names)


def test_fp16_is_rounded_to_half_where_asked_for_and_the_report_says_so(
    images: Path, repository: Path, tmp_path: Path
) -> None:
    models = [f"--model={repository / name}" for name in ("small_fp32", "small_fp16")]
    found = {}
    for name, options in (("plain", []), ("rounded", ["--round-fp16"])):
        result = run(images, tmp_path / name, *models, *options)
        assert result.exit_code == 0, result.output
        found[name] = json.loads((tmp_path / name / "report.json").read_text())["models"]
    assert [model["name"] for model in found["rounded"]] == ["small_fp32", "small_fp16 rounded to half"]
    assert found["rounded"][0]["scores"] == found["plain"][0]["scores"]
    assert found["rounded"][1]["artefact_sha256"] == found["plain"][1]["artefact_sha256"]
    rounded, plain = (np.array(found[name][1]["scores"]) for name in ("rounded", "plain"))
    assert 0 < np.abs(rounded / plain - 1).max() < 1e-2


def test_a_model_that_the_gate_refuses_is_named_as_such(images: Path, repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small_fp32"
    shutil.copytree(repository / "small_fp32", folder)
    rewrite_contract(folder, notes=("Drift beyond the limits was accepted (a lot): tried",))
    result = run(images, tmp_path / "out", f"--model={repository / 'small_fp32'}", f"--model={folder}")
    assert result.exit_code == 0, result.output
    assert "## Refused by the gate" in result.output
    assert "small_fp32 (2): Drift beyond the limits was accepted (a lot): tried" in result.output


def test_without_masks_there_is_no_pixelwise_figure(repository: Path, tmp_path: Path) -> None:
    folder = write_labelled_images(tmp_path / "images", masks=False)
    result = run(folder, tmp_path / "out", f"--model={repository / 'small_fp32'}")
    assert result.exit_code == 0, result.output
    document = read_back(tmp_path / "out")
    assert "pixelwise AUC" not in by_name(document["models"][0]["estimates"])
    assert set(document["models"][0]["pixel_aucs"]) == {None}


def _no_anomalous(folder: Path) -> None:
    for path in (folder / "anomalous").iterdir():
        path.unlink()


def _mask_of_another_size(folder: Path) -> None:
    Image.new("L", (9, 9), 255).save(folder / "masks" / "i00.png")


def _full_mask(folder: Path) -> None:
    Image.new("L", (SIZE, SIZE), 255).save(folder / "masks" / "i00.png")


def _masks_of_other_images(folder: Path) -> None:
    for path in list((folder / "masks").iterdir()):
        path.rename(path.with_name(f"lesion_{path.name}"))


def _damaged_image(folder: Path) -> None:
    (folder / "normal" / "i00.png").write_bytes(b"no image")


def _incomplete_groups(folder: Path) -> None:
    (folder / "groups.csv").write_text("image,group\nnormal/i00.png,a\n")


def _groups_without_columns(folder: Path) -> None:
    (folder / "groups.csv").write_text("file;patient\nnormal/i00.png;a\n")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_no_anomalous, "holds no PNG or TIFF image"),
        (_mask_of_another_size, "draw the mask on the image"),
        (_full_mask, "marks all pixels or none"),
        (_masks_of_other_images, "name masks as the images"),
        (_damaged_image, "cannot be read as an image"),
        (_incomplete_groups, "no group for 19 images"),
        (_groups_without_columns, "columns image,group"),
    ],
)
def test_unusable_images_are_refused_with_one_sentence_and_nothing_is_written(
    damage: Callable[[Path], None], words: str, repository: Path, tmp_path: Path
) -> None:
    folder = write_labelled_images(tmp_path / "images")
    damage(folder)
    result = run(folder, tmp_path / "out", f"--model={repository / 'small_fp32'}")
    assert result.exit_code == 2
    assert words in result.stderr and "Traceback" not in result.output
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_model_has_to_be_named(images: Path, tmp_path: Path) -> None:
    result = run(images, tmp_path / "out")
    assert result.exit_code == 2
    assert "--model or --url" in result.stderr
