"""fcdd-export on an exported model's folder: the engine is built from the graph that was verified."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fcdd_export.cli import main
from fcdd_export.engine import build, model
from fcdd_runtime.backends import open_folder
from fcdd_runtime.backends.golden import read_golden, self_test
from fcdd_runtime.backends.gpu import Gpu
from fcdd_runtime.contract import OperatingPoint, read_contract
from fcdd_runtime.files import sha256_of
from support import ExportSnapshot, WriteSnapshot

WITHOUT_TORCH = """
import sys
for name in ("torch", "onnx", "onnxruntime", "onnxscript", "rich"):
    sys.modules[name] = None  # importing it fails
from fcdd_export.cli import main
main()
"""


ALL_OF_A_REBUILD = """
import importlib, pkgutil, sys
import fcdd_export.engine, fcdd_export.gate, fcdd_export.rebuild, fcdd_export.repository
for package in (fcdd_export.engine, fcdd_export.repository):
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if module.name != "fcdd_export.repository.python_backend":  # runs inside Triton only
            importlib.import_module(module.name)
print(*sorted({"torch", "onnx", "onnxruntime", "onnxscript"} & {*sys.modules}))
"""


def test_engine_repository_and_gate_import_neither_torch_nor_onnx() -> None:
    done = subprocess.run([sys.executable, "-c", ALL_OF_A_REBUILD], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, write_snapshot: WriteSnapshot, export: ExportSnapshot) -> Path:
    snapshot = write_snapshot(tmp_path_factory.mktemp("snapshot"))
    return export(snapshot, "fcdd", "fp16", tmp_path_factory.mktemp("exported"))


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "repo" / exported.name))


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_an_engine_becomes_the_next_version_and_needs_no_torch(folder: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, str(folder), "--target", "tensorrt-rtx"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fp16  tensorrt-rtx  ")
    contract = read_contract(folder)
    assert (contract.target, contract.artefact) == ("tensorrt-rtx", "2/model.plan")
    assert {"model.plan", "engine.json", "engine_build.log", "engine_source.onnx"} < {
        path.name for path in (folder / "2").iterdir()
    }


def test_the_engine_is_of_the_verified_graph_and_says_that_it_is_unproven(folder: Path) -> None:
    before = (folder / "1" / "model.onnx").read_bytes()
    assert run(folder, "--target", "tensorrt-rtx").exit_code == 0
    identity = json.loads((folder / "2" / "engine.json").read_text())
    source = read_contract(folder).engine_source
    assert source is not None
    assert identity["onnx_sha256"] == sha256_of(before) == source.sha256
    assert identity["engine_sha256"] == sha256_of((folder / "2" / "model.plan").read_bytes())
    assert identity["proven"] is False
    assert identity["profile"] == {"smallest": 1, "best": 2, "largest": 8}


def test_an_engine_for_all_gpus_is_built_but_not_proven_on_one_that_it_is_not_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hopper = Gpu("NVIDIA H200", "9.0", "580.159.04", "13.0")
    for module in (build, model):
        monkeypatch.setattr(module, "find_gpu", lambda: hopper)
    refused = run(folder, "--target", "tensorrt-rtx")
    assert refused.exit_code == 2 and "does not run on compute capability 9.0" in refused.output
    assert run(folder, "--target", "tensorrt-rtx", "--hardware-compatible").exit_code == 0
    identity = json.loads((folder / "2" / "engine.json").read_text())
    assert (identity["proven"], identity["gpu"]["compute_capability"]) == (False, "9.0")
    assert "not run" in json.loads((folder / "export_report.json").read_text())["engine"]["golden vectors"]


def test_the_report_keeps_what_was_measured_of_the_graph(folder: Path) -> None:
    former = json.loads((folder / "export_report.json").read_text())
    assert run(folder, "--target", "tensorrt-rtx").exit_code == 0
    report = json.loads((folder / "export_report.json").read_text())
    assert (report["drifts"], report["verification"]) == (former["drifts"], former["verification"])
    assert former["verification"]["images"] == 16
    assert "tensorrt_rtx" in report["contract"]["versions"]


def test_an_engine_can_be_rebuilt_from_an_engines_folder_into_another_repository(folder: Path, tmp_path: Path) -> None:
    assert run(folder, "--target", "tensorrt-rtx").exit_code == 0
    result = run(folder, "--target", "tensorrt-rtx", "--repo", tmp_path / "other")
    assert result.exit_code == 0, result.output
    assert read_contract(tmp_path / "other" / folder.name).artefact == "1/model.plan"


def test_without_a_target_the_flavour_that_is_installed_is_taken(folder: Path) -> None:
    assert run(folder).exit_code == 0
    assert read_contract(folder).target in ("tensorrt", "tensorrt-rtx")


def assert_refused_and_unchanged(result: Result, words: str, folder: Path) -> None:
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert not (folder / "2").exists()


def test_a_graph_that_is_not_the_verified_one_is_refused(folder: Path) -> None:
    graph = folder / "1" / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b" ")
    assert_refused_and_unchanged(run(folder, "--target", "tensorrt-rtx"), "is not the graph that was verified", folder)


def test_a_missing_graph_is_refused(folder: Path) -> None:
    (folder / "1" / "model.onnx").unlink()
    assert_refused_and_unchanged(run(folder, "--target", "tensorrt-rtx"), "export the model again", folder)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [("its layers drift", "Error: its layers drift; export"), (None, "holds no graph that an engine can be built of;")],
)
def test_a_model_without_a_graph_for_engines_says_why(folder: Path, refusal: str | None, words: str) -> None:
    contract = replace(read_contract(folder), engine_source=None, engine_refusal=refusal)
    (folder / "contract.json").write_text(contract.to_json(), encoding="utf-8")
    assert_refused_and_unchanged(run(folder, "--target", "tensorrt-rtx"), words, folder)


def test_an_exported_model_cannot_become_another_onnx_form(folder: Path) -> None:
    assert_refused_and_unchanged(run(folder, "--target", "python"), "give --target tensorrt", folder)


def test_a_flavour_that_is_not_installed_is_named_with_its_extra(folder: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    try:
        import tensorrt  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        assert_refused_and_unchanged(run(folder, "--target", "tensorrt"), "fcdd-edge[tensorrt]", folder)
    else:
        pytest.skip("full TensorRT is installed here")


def test_a_renamed_folder_does_not_replace_the_model_whose_name_it_still_bears(folder: Path) -> None:
    before = (folder / "contract.json").read_bytes()
    renamed = Path(shutil.copytree(folder, folder.with_name("other_fp16")))
    result = run(renamed, "--target", "tensorrt-rtx")
    assert_refused_and_unchanged(result, "give the folder its model's name", renamed)
    assert (folder / "contract.json").read_bytes() == before


def test_options_that_an_exported_model_cannot_follow_are_refused(folder: Path) -> None:
    result = run(folder, "--target", "tensorrt-rtx", "--max-batch-size", 4, "--precision", "int8")
    assert_refused_and_unchanged(result, "--max-batch-size, --precision cannot change a model", folder)


def write_point(path: Path, **values: Any) -> Path:
    point = {"threshold": 0.123, "sensitivity": 0.97, "source": "the site's own exams"}
    path.write_text(json.dumps(point | values), encoding="utf-8")
    return path


def test_a_threshold_becomes_the_next_version_of_the_same_artefact_without_torch(folder: Path, tmp_path: Path) -> None:
    point = write_point(tmp_path / "point.json")
    former, names = read_contract(folder), {path.name for path in (folder / "1").iterdir()}
    command = [sys.executable, "-c", WITHOUT_TORCH, str(folder), "--operating-point", str(point)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    contract = read_contract(folder)
    assert contract == replace(
        former, operating_point=OperatingPoint(0.123, 0.97, "the site's own exams"), artefact="2/model.onnx"
    )
    assert {path.name for path in (folder / "2").iterdir()} == names
    assert (folder / "2" / "model.onnx").read_bytes() == (folder / "1" / "model.onnx").read_bytes()
    assert re.search(r"specific\W+versions\W+2\b", (folder / "config.pbtxt").read_text())
    report = json.loads((folder / "export_report.json").read_text())
    assert report["drifts"] == json.loads((folder / "1" / "export_report.json").read_text())["drifts"]
    with open_folder(folder) as backend:
        assert self_test(backend, read_golden(folder)).images > 0


def test_a_threshold_that_cannot_be_used_leaves_the_model_as_it_is(folder: Path, tmp_path: Path) -> None:
    point = write_point(tmp_path / "point.json", threshold="high")
    assert_refused_and_unchanged(run(folder, "--operating-point", point), "give a finite `threshold`", folder)
    good = write_point(tmp_path / "good.json")
    both = run(folder, "--operating-point", good, "--target", "tensorrt-rtx")
    assert_refused_and_unchanged(both, "--target cannot change a model that was exported together with", folder)
    graph = folder / "1" / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b" ")
    assert_refused_and_unchanged(run(folder, "--operating-point", good), "not the artefact that was verified", folder)
