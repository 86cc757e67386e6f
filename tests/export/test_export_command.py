"""fcdd-export as a user calls it: files, words and exit codes."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from google.protobuf import text_format
from PIL import Image
from result_builders import make_study
from tritonclient.grpc import model_config_pb2

import fcdd_export.convert
import fcdd_export.int8.search
from fcdd_export.cli import main
from fcdd_export.gate.drawn import drawn_images
from fcdd_export.graphs.fp16 import fp16_from_onnx
from fcdd_export.graphs.precisions import PRECISIONS
from fcdd_export.networks.snapshot import load_snapshot
from fcdd_runtime.backends.golden import read_golden
from fcdd_runtime.contract import MipRecipe, OperatingPoint, read_contract
from fcdd_runtime.report.study_page import study_page
from support import PublishedCase, WriteSnapshot

DESCRIPTIONS = {"config.pbtxt", "contract.json", "golden.npz", "export_report.json", "export_report.md"}


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def snapshot(tmp_path: Path, write_snapshot: WriteSnapshot) -> Path:
    return write_snapshot(tmp_path / "snapshot")


def assert_refused(result: Result, code: int, words: str, repo: Path) -> None:
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert not list(repo.glob("*")) if repo.exists() else True


def test_an_export_writes_a_folder_that_stands_alone(snapshot: Path, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    result = run(snapshot, "--precision", "fp32", "--precision", "fp16", "--repo", repo, "--name", "breast")
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.output.splitlines()] == ["fp32", "fp16"]
    assert {path.name for path in repo.iterdir()} == {"breast_fp32", "breast_fp16"}
    for folder in repo.iterdir():
        assert {path.name for path in folder.iterdir()} == {*DESCRIPTIONS, "1"}
        assert {path.name for path in (folder / "1").iterdir()} == {*DESCRIPTIONS, "model.onnx", "model.py"}
    report = json.loads((repo / "breast_fp16" / "export_report.json").read_text())
    assert {drift["way"] for drift in report["drifts"]} == {"onnxruntime", "fp16 simulation"}
    page = (repo / "breast_fp16" / "export_report.md").read_text()
    assert "| fp16 simulation, extremes |" in page and "## Where the drift enters" in page
    # FP32 is what layers are compared with, so that there is none to name.
    assert "## Where the drift enters" not in (repo / "breast_fp32" / "export_report.md").read_text()


def test_log_lines_take_the_place_of_sentences_for_people(snapshot: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(drawn_images(1)[0, 0]).save(tmp_path / "images" / "ROE_JANE.png")
    options = ("--verify-images", tmp_path / "images", "--repo", tmp_path / "repo", "--log-format", "json")
    result = run(snapshot, *options)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["export started", "doubt", "export ended"]
    assert lines[-1]["models"] == 1
    assert "ROE" not in result.stderr


def test_the_contract_says_what_went_into_the_model(snapshot: Path, tmp_path: Path) -> None:
    point = tmp_path / "point.json"
    point.write_text('{"threshold": 0.7, "sensitivity": 0.97, "source": "validation of 2026"}')
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("post_contrast_phase = 2\nmirror_left = true\n")
    options = ["--operating-point", point, "--recipe", recipe, "--max-batch-size", 16, "--repo", tmp_path / "repo"]
    assert run(snapshot, *options).exit_code == 0
    contract = read_contract(tmp_path / "repo" / "fcdd_fp16")
    assert contract.operating_point == OperatingPoint(0.7, 0.97, "validation of 2026")
    assert contract.recipe == MipRecipe(post_contrast_phase=2, mirror_left=True)
    assert (contract.precision, contract.max_batch_size, contract.mean) == ("fp16", 16, (0.2, 0.2, 0.2))
    assert contract.snapshot_sha256 == load_snapshot(snapshot).sha256
    assert set(contract.versions) == {"fcdd-edge", "torch", "onnx", "onnxruntime", "numpy"}


def test_an_export_without_a_recipe_says_that_it_is_assumed(snapshot: Path, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    assert run(snapshot, "--repo", repo).exit_code == 0
    contract = read_contract(repo / "fcdd_fp16")
    assert contract.recipe == MipRecipe(crop="field", air="keep")
    assert [note.startswith("Recipe assumed: ") for note in contract.notes] == [True]
    assert "Recipe assumed: " in (repo / "fcdd_fp16" / "export_report.md").read_text()
    # The study's report shows the notes of the contract.
    result = make_study(contract=replace(contract, notes=contract.notes))
    assert "Model: Recipe assumed: " in study_page(result, "study")


@pytest.mark.parametrize("given", [True, False])
def test_a_recipe_beside_the_snapshot_holds_unless_another_is_given(
    snapshot: Path, tmp_path: Path, given: bool
) -> None:
    (snapshot / "recipe.toml").write_text('crop = "breast"\nair = "clear"\n')
    other = tmp_path / "other.toml"
    other.write_text("posterior_margin_mm = 12.5\n")
    options = ["--recipe", other] if given else []
    assert run(snapshot, *options, "--repo", tmp_path / "repo").exit_code == 0
    contract = read_contract(tmp_path / "repo" / "fcdd_fp16")
    expected = MipRecipe(posterior_margin_mm=12.5) if given else MipRecipe(crop="breast", air="clear")
    assert (contract.recipe, contract.notes) == (expected, ())
    assert "crop " in (tmp_path / "repo" / "fcdd_fp16" / "export_report.md").read_text()


@pytest.mark.parametrize("text", ['crop = "both"', "crop_margin_mm = -1", 'air = "white"', "crop = 1"])
def test_a_recipe_beside_the_snapshot_that_cannot_be_used_is_refused(snapshot: Path, tmp_path: Path, text: str) -> None:
    (snapshot / "recipe.toml").write_text(text)
    assert_refused(run(snapshot, "--repo", tmp_path / "repo"), 2, "recipe", tmp_path / "repo")


def test_the_configuration_batches_warms_up_and_holds_contract_and_golden_vectors(repository: Path) -> None:
    folder = repository / "small_fp16"
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == ("small_fp16", "python", 8)
    assert config.HasField("dynamic_batching")
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, 8]
    assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [("mip", [1, 224, 224])]
    assert [(tensor.name, list(tensor.dims)) for tensor in config.output] == [
        ("score", [1]),
        ("anomaly_map", [1, 28, 28]),
    ]
    assert config.parameters["contract"].string_value == (folder / "contract.json").read_text()
    assert config.parameters["golden"].string_value


def test_golden_vectors_are_what_the_model_answers(repository: Path) -> None:
    golden = read_golden(repository / "small_fp32")
    assert golden.images.shape == (3, 1, 224, 224)
    assert golden.images.dtype == np.uint8
    np.testing.assert_allclose(golden.scores, golden.maps.mean((1, 2)), rtol=1e-5)


def test_the_same_snapshot_gives_the_same_bytes(snapshot: Path, tmp_path: Path) -> None:
    for repo in ("first", "second"):
        assert run(snapshot, "--repo", tmp_path / repo).exit_code == 0
    for name in ("config.pbtxt", "contract.json", "golden.npz", "1/model.onnx"):
        first, second = ((tmp_path / repo / "fcdd_fp16" / name).read_bytes() for repo in ("first", "second"))
        assert first == second, name


def test_mean_and_std_come_from_the_training_normals(small_case: PublishedCase, tmp_path: Path) -> None:
    result = run(small_case.snapshot, "--normal-images", small_case.normal_images, "--repo", tmp_path)
    assert result.exit_code == 0, result.output
    contract = read_contract(tmp_path / "fcdd_fp16")
    np.testing.assert_allclose(contract.mean, small_case.expected["mean"], atol=1e-6)
    np.testing.assert_allclose(contract.std, small_case.expected["std"], atol=1e-6)


def test_mean_and_std_may_be_given_as_numbers(small_case: PublishedCase, tmp_path: Path) -> None:
    assert run(small_case.snapshot, "--mean", "0.1,0.2,0.3", "--std", "0.5", "--repo", tmp_path).exit_code == 0
    contract = read_contract(tmp_path / "fcdd_fp16")
    assert (contract.mean, contract.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))


def test_a_snapshot_without_mean_and_std_is_refused(small_case: PublishedCase, tmp_path: Path) -> None:
    assert_refused(run(small_case.snapshot, "--repo", tmp_path), 2, "give --normal-images", tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        ["--mean", "0.1"],
        ["--mean", "x", "--std", "1"],
        ["--mean", "0.1", "--std", "0"],
        ["--mean", "nan", "--std", "0.1"],
        ["--mean", "0.1,0.2", "--std", "0.1"],
        ["--mean", "0.1", "--std", "0.1", "--normal-images", "x"],
        ["--name", "a/b"],
        ["--recipe", "missing.toml"],
        ["--operating-point", "missing.json"],
        ["--verify-images", "missing"],
        ["--precision", "fp8"],
    ],
)
def test_options_that_cannot_be_used_end_with_2(options: list[str], snapshot: Path, tmp_path: Path) -> None:
    assert_refused(run(snapshot, *options, "--repo", tmp_path / "repo"), 2, "Error: ", tmp_path / "repo")


def test_anomalous_images_are_no_training_normals(snapshot: Path, tmp_path: Path) -> None:
    folder = tmp_path / "breast_img" / "anomalous"
    folder.mkdir(parents=True)
    Image.fromarray(drawn_images(1)[0, 0]).save(folder / "a.png")
    for given in (folder, folder.parent):
        result = run(snapshot, "--normal-images", given, "--repo", tmp_path / "repo")
        assert_refused(result, 2, "anomalous", tmp_path / "repo")


def break_weights(snapshot: Path, factor: float) -> None:
    """Make the first activations too large for half precision, and the last ones as they were."""
    document = torch.load(snapshot / "snapshot.pt", weights_only=True)
    for name in ("bn2d1.weight", "bn2d1.bias"):
        document["net"][name] *= factor
    document["net"]["conv2.weight"] /= factor
    torch.save(document, snapshot / "snapshot.pt")


def test_a_network_that_overflows_half_precision_is_refused_and_nothing_is_published(
    snapshot: Path, tmp_path: Path
) -> None:
    break_weights(snapshot, 1e6)
    repo = tmp_path / "repo"
    result = run(snapshot, "--precision", "fp32", "--precision", "fp16", "--repo", repo)
    assert_refused(result, 3, "overflows", repo)
    assert run(snapshot, "--precision", "fp32", "--repo", repo).exit_code == 0


def test_a_refused_export_leaves_the_model_of_before(
    snapshot: Path, tmp_path: Path, write_snapshot: WriteSnapshot
) -> None:
    repo = tmp_path / "repo"
    assert run(snapshot, "--repo", repo).exit_code == 0
    before = (repo / "fcdd_fp16" / "1" / "model.onnx").read_bytes()
    break_weights(snapshot, 1e6)
    assert run(snapshot, "--repo", repo).exit_code == 3
    assert (repo / "fcdd_fp16" / "1" / "model.onnx").read_bytes() == before
    assert [path.name for path in repo.iterdir()] == ["fcdd_fp16"]


def test_verification_uses_the_images_given(snapshot: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for index, image in enumerate(drawn_images(3, seed=9)[:, 0]):
        Image.fromarray(image).save(tmp_path / "images" / f"{index}.png")
    assert run(snapshot, "--verify-images", tmp_path / "images", "--repo", tmp_path / "repo").exit_code == 0
    report = json.loads((tmp_path / "repo" / "fcdd_fp16" / "export_report.json").read_text())
    assert {(drift["extreme"], drift["images"]) for drift in report["drifts"]} == {(False, 3), (True, 7)}


def test_the_target_decides_tritons_backend(snapshot: Path, tmp_path: Path) -> None:
    assert run(snapshot, "--target", "onnxruntime", "--repo", tmp_path / "repo").exit_code == 0
    folder = tmp_path / "repo" / "fcdd_fp16"
    assert 'backend: "onnxruntime"' in (folder / "config.pbtxt").read_text()
    assert {path.name for path in (folder / "1").iterdir()} == {*DESCRIPTIONS, "model.onnx"}
    onnx.checker.check_model(onnx.load(folder / "1" / "model.onnx"))


def test_outside_a_checkout_a_snapshot_has_to_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(run(), 2, "give the folder of a snapshot", tmp_path)


def labelled_images(folder: Path) -> Path:
    for kind, seed in (("normal", 3), ("anomalous", 4)):
        (folder / kind).mkdir(parents=True)
        for index, image in enumerate(drawn_images(6, seed=seed)[:, 0]):
            Image.fromarray(image).save(folder / kind / f"{index}.png")
    return folder


def test_images_in_folders_of_normal_and_anomalous_give_the_change_of_the_auc(snapshot: Path, tmp_path: Path) -> None:
    images = labelled_images(tmp_path / "images")
    assert run(snapshot, "--verify-images", images, "--repo", tmp_path / "repo").exit_code == 0
    report = json.loads((tmp_path / "repo" / "fcdd_fp16" / "export_report.json").read_text())
    by_extreme = {drift["extreme"]: drift["auc"] for drift in report["drifts"]}
    assert by_extreme[True] is None
    assert 0 <= by_extreme[False]["auc"] <= 1
    assert by_extreme[False]["low"] <= by_extreme[False]["change"] <= by_extreme[False]["high"]


def coarse_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the conversion to half lose all but a few bits of its weights, as a defect in it would."""

    def spoilt(model: onnx.ModelProto) -> onnx.ModelProto:
        half = fp16_from_onnx(model)
        for weight in half.graph.initializer:
            if weight.data_type == onnx.TensorProto.FLOAT16 and len(weight.dims) == 4:
                values = onnx.numpy_helper.to_array(weight).astype(np.float32)
                step = np.abs(values).max() / 8
                coarse = (np.round(values / step) * step).astype(np.float16)
                weight.CopyFrom(onnx.numpy_helper.from_array(coarse, weight.name))
        return half

    monkeypatch.setattr(fcdd_export.convert, "fp16_from_onnx", spoilt)


def test_a_refusal_names_the_layers_in_which_the_drift_enters(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse_half(monkeypatch)
    result = run(snapshot, "--repo", tmp_path / "repo")
    assert_refused(result, 3, "Error: fp16 changes scores by", tmp_path / "repo")
    named = [line.split("|")[1].strip() for line in result.stderr.splitlines() if line.startswith("| trunk.")]
    assert named and all("conv2d" in layer for layer in named[:2])


def test_an_accepted_drift_is_published_with_its_reason_in_the_contract(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse_half(monkeypatch)
    result = run(snapshot, "--accept-drift", "trial on the bench", "--repo", tmp_path / "repo")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "repo" / "fcdd_fp16"
    assumed, note = read_contract(folder).notes
    assert assumed.startswith("Recipe assumed: ")
    assert note.endswith(": trial on the bench") and "scores by" in note
    assert "**Accepted beyond the limits:** scores by" in (folder / "export_report.md").read_text()


def test_an_overflow_cannot_be_accepted(snapshot: Path, tmp_path: Path) -> None:
    break_weights(snapshot, 1e6)
    result = run(snapshot, "--accept-drift", "in a hurry", "--repo", tmp_path / "repo")
    assert_refused(result, 3, "overflows", tmp_path / "repo")


def drawn_folder(folder: Path, count: int) -> Path:
    folder.mkdir()
    for index, image in enumerate(drawn_images(count, seed=5)[:, 0]):
        Image.fromarray(image).save(folder / f"{index:03}.png")
    return folder


def test_int8_for_cpus_brings_the_graph_for_tensorrt_with_it(snapshot: Path, tmp_path: Path) -> None:
    images = drawn_folder(tmp_path / "images", 16)
    options = ["--calibration-images", images, "--accept-drift", "random weights", "--repo", tmp_path / "repo"]
    result = run(snapshot, "--precision", "int8", *options)
    assert result.exit_code == 0, result.output
    assert "Warning: INT8 is calibrated on 16 images; 300 or more" in result.stderr
    folder = tmp_path / "repo" / "fcdd_int8"
    contract = read_contract(folder)
    assert contract.engine_source is not None
    assert {"model.onnx", "engine_source.onnx", "engine_golden.npz"} < {path.name for path in (folder / "1").iterdir()}
    assert kinds_of_zero_points(folder / "1" / "model.onnx") == {onnx.TensorProto.UINT8}
    assert kinds_of_zero_points(folder / "1" / contract.engine_source.file) == {onnx.TensorProto.INT8}
    ways = {drift["way"] for drift in json.loads((folder / "export_report.json").read_text())["drifts"]}
    assert {"onnxruntime", "for TensorRT: onnxruntime", "for TensorRT: fp16 simulation"} == ways
    page = (folder / "export_report.md").read_text()
    assert f"`{contract.engine_source.sha256}` (engine_source.onnx)" in page
    assert f"`{contract.artefact_sha256}` (1/model.onnx)" in page
    assert run(folder, "--target", "tensorrt-rtx").exit_code == 0
    assert read_contract(folder).artefact == "2/model.plan"


def test_int8_that_only_cpus_stand_is_published_for_them_and_builds_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundled network's leaky ReLUs lose far more where half of the codes are for what is below 0.

    The gate refuses its form for CPUs too, by less; here it is let through, to see what follows from one form alone.
    """
    int8 = PRECISIONS["int8"]
    let_through = replace(int8.limits, score_mean=1.0, map_of_set=0.3, flips=0.1, extreme=1.0)
    monkeypatch.setitem(PRECISIONS, "int8", replace(int8, limits=let_through))
    monkeypatch.chdir(Path(__file__).parents[2])
    result = run("--precision", "int8", "--repo", tmp_path / "repo")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "repo" / "fcdd_int8"
    contract = read_contract(folder)
    assert contract.engine_source is None
    assert contract.engine_refusal is not None
    assert contract.engine_refusal.startswith("no engine can be built of this INT8 model: for TensorRT: int8 changes")
    assert contract.engine_refusal in result.stderr
    assert contract.engine_refusal in (folder / "export_report.md").read_text()
    assert contract.notes == ()
    assert not list(folder.rglob("engine_*"))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    refused = run(folder, "--target", "tensorrt-rtx")
    assert refused.exit_code == 2
    assert "no engine can be built" in refused.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def kinds_of_zero_points(path: Path) -> set[int]:
    graph = onnx.load(path).graph
    kinds = {weight.name: weight.data_type for weight in graph.initializer}
    return {kinds[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear" and len(node.input) > 2}


@pytest.mark.parametrize(("count", "words"), [(15, "give at least 16"), (0, "give --calibration-images")])
def test_int8_without_enough_images_is_refused(snapshot: Path, tmp_path: Path, count: int, words: str) -> None:
    images = ["--calibration-images", drawn_folder(tmp_path / "images", count)] if count else []
    result = run(snapshot, "--precision", "int8", *images, "--repo", tmp_path / "repo")
    assert_refused(result, 2, words, tmp_path / "repo")


def test_the_normal_images_are_calibrated_on_where_no_others_are_named(snapshot: Path, tmp_path: Path) -> None:
    images = drawn_folder(tmp_path / "normal", 16)
    options = ["--normal-images", images, "--accept-drift", "random weights", "--repo", tmp_path / "repo"]
    result = run(snapshot, "--precision", "int8", *options)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "repo" / "fcdd_int8" / "export_report.json").read_text())
    assert report["method"]["calibration images"] == 16


def test_an_engine_can_be_the_target_of_an_export(snapshot: Path, tmp_path: Path) -> None:
    assert run(snapshot, "--target", "tensorrt-rtx", "--repo", tmp_path / "repo").exit_code == 0
    contract = read_contract(tmp_path / "repo" / "fcdd_fp16")
    assert (contract.target, contract.artefact) == ("tensorrt-rtx", "1/model.plan")
    assert contract.engine_source is not None
    assert contract.engine_source.file == "engine_source.onnx"


def test_images_beside_the_folders_of_normal_and_anomalous_are_remarked_on(snapshot: Path, tmp_path: Path) -> None:
    images = labelled_images(tmp_path / "images")
    Image.fromarray(drawn_images(1)[0, 0]).save(images / "stray.png")
    result = run(snapshot, "--verify-images", images, "--repo", tmp_path / "repo")
    assert result.exit_code == 0, result.output
    assert "Warning: the AUC is not judged, because not all images lie in folders" in result.stderr


def test_a_repository_that_is_a_file_or_lies_in_one_is_refused_before_anything_is_computed(
    snapshot: Path, tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("kept")
    for repo in (file, file / "repo"):
        result = run(snapshot, "--repo", repo)
        assert (result.exit_code, result.stderr) == (
            2,
            f"Error: {repo} is no folder and lies in none; give a folder as --repo\n",
        )
    assert file.read_text() == "kept"


@pytest.mark.parametrize(("method", "named"), [("fast", True), ("accurate", False)])
def test_a_refused_int8_names_the_method_that_is_left_to_try(
    method: Literal["fast", "accurate"], named: bool, snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing passes: what is refused, and how well INT8 is made, is the business of other tests.
    int8 = PRECISIONS["int8"]
    monkeypatch.setitem(PRECISIONS, "int8", replace(int8, limits=replace(int8.limits, map_of_set=0.0)))
    monkeypatch.setattr(fcdd_export.int8.search, "SCORE_ERROR", 1e9)
    images = drawn_folder(tmp_path / "images", 16)
    options = ["--int8-method", method, "--calibration-images", images, "--repo", tmp_path / "repo"]
    result = run(snapshot, "--precision", "int8", *options)
    assert_refused(result, 3, "limit 0); ", tmp_path / "repo")
    assert ("try --int8-method accurate, use a higher precision, or give a reason" in result.stderr) == named
    assert ("accurate" in result.stderr) == named


@pytest.mark.parametrize("before", [False, True], ids=["new", "present"])
def test_a_full_disk_is_one_sentence_and_leaves_the_repository_as_it_was(
    snapshot: Path, tmp_path: Path, before: bool
) -> None:
    repo = tmp_path / "parent" / "repo"
    if before:
        assert run(snapshot, "--precision", "fp32", "--repo", repo).exit_code == 0
    present = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    folders = {path for path in tmp_path.rglob("*") if path.is_dir()}
    # FP16's 0.6 MB fit, FP32's 1.1 MB do not: the first model must not stay where the second cannot be written.
    done = limited(
        800_000, snapshot, "--precision", "fp16", "--precision", "fp32", "--std", 0.3, "--mean", 0.1, "--repo", repo
    )
    assert (done.returncode, done.stderr) == (
        2,
        f"Error: {repo} has no room for what is exported (File too large); free space on its disk, or give another "
        "folder as --repo\n",
    )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == present
    assert {path for path in tmp_path.rglob("*") if path.is_dir()} == folders


def limited(size: int, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run the command where no file may become larger than so many bytes."""
    lines = (
        "import resource, fcdd_export.convert",
        "from fcdd_export.cli import main",
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))",
        "main()",
    )
    command = [sys.executable, "-c", "\n".join(lines), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write everywhere")
def test_a_repository_that_may_only_be_read_is_one_sentence(snapshot: Path, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir(mode=0o555)
    script = (
        "import sys; from pathlib import Path; from fcdd_export.repository.write import check_repository\n"
        "try: check_repository(Path(sys.argv[1]))\n"
        "except OSError as error: print(type(error).__name__, error)"
    )
    user = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    for folder in (tmp_path, *tmp_path.parents):
        if os.geteuid() == 0 and folder.owner() == "root" and folder != Path("/tmp") and len(folder.parts) > 2:
            folder.chmod(0o755)
    done = subprocess.run([*user, sys.executable, "-c", script, repo], capture_output=True, text=True, check=True)
    assert done.stdout == (
        f"RepositoryError {repo} cannot be written to (Permission denied); give another folder as --repo, or the "
        "right to write there\n"
    )
