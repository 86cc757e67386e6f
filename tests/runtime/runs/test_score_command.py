"""fcdd-score as a user calls it: files, words and exit codes."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from mock_study import MockStudy, breast_phantom, cropped
from PIL import Image
from pydicom import dcmread

from fcdd_export.gate.drawn import drawn_images
from fcdd_runtime.cli import score
from fcdd_runtime.contract import OperatingPoint
from fcdd_runtime.errors import BadAnswerError, FcddError, GateError, ModelChangedError, ServerUnreachableError
from fcdd_runtime.files import locked_folder
from fcdd_runtime.report.write import study_folder_name
from fcdd_runtime.runs import run as run_module
from fcdd_runtime.score_study import finish, infer
from support import rewrite_contract


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(score, [str(argument) for argument in arguments])


@pytest.fixture
def model(repository: Path) -> Path:
    return repository / "small_fp32"


@pytest.fixture
def study(tmp_path: Path) -> MockStudy:
    mock = MockStudy(breast_phantom())
    mock.write(tmp_path / "study")
    return mock


def result_of(out: Path, mock: MockStudy) -> Any:
    return json.loads((out / study_folder_name(mock.study_instance_uid) / "result.json").read_text())


def assert_one_sentence(result: Result, code: int) -> None:
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.output


def test_a_study_gets_its_report_and_a_row_a_breast(model: Path, study: MockStudy, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(tmp_path / "study", "--model", model, "--out", out)
    assert result.exit_code == 0, result.output
    folder = out / study_folder_name(study.study_instance_uid)
    assert {path.name for path in folder.iterdir()} == {"result.json", "report.html", "overlay_R.png", "overlay_L.png"}
    assert f"{folder.name}/report.html" in (out / "index.html").read_text()
    document = result_of(out, study)
    assert document["study_instance_uid"] == study.study_instance_uid
    assert [breast["laterality"] for breast in document["breasts"]] == ["R", "L"]
    assert document["exam_score"] == max(breast["score"] for breast in document["breasts"])
    assert document["model"]["name"] == "small_fp32"
    with (out / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["laterality"], float(row["score"])) for row in rows] == [
        (breast["laterality"], breast["score"]) for breast in document["breasts"]
    ]
    assert f"{folder / 'report.html'}" in result.output


def test_the_server_scores_a_study_as_this_process_does(
    model: Path, server: str, study: MockStudy, tmp_path: Path
) -> None:
    for out, option in (("local", ["--model", model]), ("served", ["--url", f"{server}/small_fp32"])):
        assert run(tmp_path / "study", *option, "--out", tmp_path / out).exit_code == 0
    local, served = (result_of(tmp_path / out, study) for out in ("local", "served"))
    for ours, theirs in zip(local["breasts"], served["breasts"], strict=True):
        assert theirs["score"] == pytest.approx(ours["score"], rel=1e-5)
        assert theirs["peak"] == ours["peak"]


def test_a_bad_study_does_not_stop_the_others(model: Path, study: MockStudy, tmp_path: Path) -> None:
    MockStudy(breast_phantom(phases=1), study="one phase").write(tmp_path / "bad")
    result = run(tmp_path / "bad", tmp_path / "study", "--model", model, "--out", tmp_path / "out")
    assert_one_sentence(result, code=1)
    assert result.stderr.count("Error: ") == 1
    assert result_of(tmp_path / "out", study)["exam_score"] > 0
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == [
        study_folder_name(study.study_instance_uid)
    ]


def index_and_summary(out: Path) -> tuple[str, list[dict[str, str]]]:
    with (out / "summary.csv").open() as file:
        return (out / "index.html").read_text(), list(csv.DictReader(file))


def test_several_inputs_that_all_fail_are_listed_with_their_reasons(model: Path, tmp_path: Path) -> None:
    one_phase(tmp_path / "one")
    no_dicom(tmp_path / "two")
    result = run(tmp_path / "one", tmp_path / "two", "--model", model, "--out", tmp_path / "out")
    assert_one_sentence(result, code=2)
    page, rows = index_and_summary(tmp_path / "out")
    assert rows == []
    for words in ("input 1", "only one phase was found", "input 2", "holds no DICOM file"):
        assert words in page
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"index.html", "summary.csv"}


def test_several_studies_of_one_input_that_all_fail_are_listed(model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        MockStudy(breast_phantom(phases=1), study=name).write(tmp_path / "in" / name)
    assert_one_sentence(run(tmp_path / "in", "--model", model, "--out", tmp_path / "out"), code=2)
    page, _ = index_and_summary(tmp_path / "out")
    assert ("input 1, study 1" in page, "input 1, study 2" in page) == (True, True)


def test_a_failed_input_stands_in_the_index_beside_the_scored_ones(
    model: Path, study: MockStudy, tmp_path: Path
) -> None:
    MockStudy(breast_phantom(phases=1), study="one phase").write(tmp_path / "bad")
    assert run(tmp_path / "bad", tmp_path / "study", "--model", model, "--out", tmp_path / "out").exit_code == 1
    page, rows = index_and_summary(tmp_path / "out")
    assert ("input 1" in page, "only one phase was found" in page) == (True, True)
    assert [row["laterality"] for row in rows] == ["R", "L"]


def test_a_run_that_ends_early_lists_what_it_did_not_reach(
    model: Path, study: MockStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [tmp_path / "study", *(tmp_path / name for name in "bc")]
    for path in inputs[1:]:
        MockStudy(breast_phantom(), study=path.name).write(path)
    left = iter([infer])

    def losing_the_server(*arguments: Any) -> Any:
        for inferring in left:
            return inferring(*arguments)
        raise ServerUnreachableError("the server is gone")

    monkeypatch.setattr("fcdd_runtime.runs.run.infer", losing_the_server)
    assert_one_sentence(run(*inputs, "--model", model, "--out", tmp_path / "out"), code=2)
    page, rows = index_and_summary(tmp_path / "out")
    assert [name in page for name in ("input 1<", "input 2<", "input 3<")] == [False, True, True]
    assert page.count("the run ended before it was scored") == 2
    assert len(rows) == 2


def test_a_run_that_ends_inside_an_input_lists_each_study_that_it_did_not_reach(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcde":
        MockStudy(breast_phantom(), study=name).write(tmp_path / "in" / name)
    MockStudy(breast_phantom(), study="f").write(tmp_path / "f")
    left = iter([infer] * 2)

    def losing_the_server(*arguments: Any) -> Any:
        for inferring in left:
            return inferring(*arguments)
        raise ServerUnreachableError("the server is gone")

    monkeypatch.setattr("fcdd_runtime.runs.run.infer", losing_the_server)
    result = run(tmp_path / "in", tmp_path / "f", "--model", model, "--out", tmp_path / "out")
    assert_one_sentence(result, code=2)
    page, rows = index_and_summary(tmp_path / "out")
    assert len(rows) == 4
    assert page.count("the run ended before it was scored") == 4
    for words in ("input 1, study 3<", "input 1, study 4<", "input 1, study 5<", "input 2<"):
        assert words in page


@pytest.mark.parametrize("error", [BadAnswerError, ServerUnreachableError, ModelChangedError, GateError])
def test_a_fault_of_the_server_leaves_earlier_results_alone(
    error: type[FcddError], model: Path, study: MockStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (tmp_path / "study", "--model", model, "--out", tmp_path / "out")
    assert run(*command).exit_code == 0
    before = result_of(tmp_path / "out", study)

    def failing(*_: Any) -> Any:
        raise error("the server has a fault")

    monkeypatch.setattr("fcdd_runtime.runs.run.infer", failing)
    assert_one_sentence(run(*command), code=error.exit_code)
    assert result_of(tmp_path / "out", study) == before


def test_an_unforeseen_fault_in_one_study_leaves_the_others(
    model: Path, study: MockStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MockStudy(breast_phantom(), study="odd").write(tmp_path / "odd")
    original, left = finish, iter([divide_by_zero])

    def failing_once(*arguments: Any) -> Any:
        return next(left, original)(*arguments)

    monkeypatch.setattr(run_module, "finish", failing_once)
    result = run(tmp_path / "odd", tmp_path / "study", "--model", model, "--out", tmp_path / "out")
    assert_one_sentence(result, code=1)
    assert "a fault of this program (ZeroDivisionError)" in result.stderr
    assert result_of(tmp_path / "out", study)["exam_score"] > 0


@pytest.mark.parametrize("step", ["find_studies", "prepare_study", "write_results"])
def test_an_unforeseen_fault_in_the_worker_is_a_sentence(
    step: str, model: Path, study: MockStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, step, divide_by_zero)
    result = run(tmp_path / "study", "--model", model, "--out", tmp_path / "out")
    assert_one_sentence(result, code=2)
    assert "a fault of this program (ZeroDivisionError" in result.stderr


def divide_by_zero(*_: Any) -> float:
    return 1 / int("0")


def test_a_folder_of_another_study_is_never_touched(model: Path, study: MockStudy, tmp_path: Path) -> None:
    command = (tmp_path / "study", "--model", model, "--out", tmp_path / "out")
    assert run(*command).exit_code == 0
    folder = tmp_path / "out" / study_folder_name(study.study_instance_uid)
    document = json.loads((folder / "result.json").read_text()) | {"study_instance_uid": "1.2.3"}
    for text in (json.dumps(document), "{}", "[" * 100_000):
        (folder / "result.json").write_text(text)
        result = run(*command)
        assert_one_sentence(result, code=2)
        assert "holds something else; move that away, or give another --out" in result.stderr
        assert (folder / "result.json").read_text() == text
    assert len(folder.name) == 32


def test_two_calls_with_one_folder_are_not_written_into_each_other(
    model: Path, study: MockStudy, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    with locked_folder(tmp_path / "out") as ours:
        assert ours
        result = run(tmp_path / "study", "--model", model, "--out", tmp_path / "out")
        assert_one_sentence(result, code=2)
        assert "another fcdd-score writes" in result.stderr
        assert list((tmp_path / "out").iterdir()) == []
    assert run(tmp_path / "study", "--model", model, "--out", tmp_path / "out").exit_code == 0


def test_what_killed_runs_left_is_removed_by_the_next_one(
    model: Path, study: MockStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path / "study")
    (tmp_path / "scratch").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    for function in ("write_summary", "infer"):
        script = (
            "import os, signal\n"
            "import fcdd_runtime.cli as cli, fcdd_runtime.runs.run as run\n"
            f"run.{function} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
            "cli.score()\n"
        )
        arguments = map(str, [tmp_path / "zipped.zip", "--model", model, "--out", tmp_path / "out"])
        done = subprocess.run([sys.executable, "-c", script, *arguments], env=environment, timeout=120, check=False)
        assert done.returncode == -signal.SIGKILL
    assert [len(list(folder.iterdir())) for folder in (tmp_path / "scratch").iterdir()] == [30], "of the last of them"
    (tmp_path / "out" / f".summary.csv.{'a' * 32}").touch()
    (tmp_path / "out" / f".x.{'b' * 32}.new").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    assert run(tmp_path / "study", "--model", model, "--out", tmp_path / "out").exit_code == 0
    assert list((tmp_path / "scratch").iterdir()) == []
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *sorted([study_folder_name(study.study_instance_uid), "index.html", "summary.csv"])
    ]


def unreadable_inputs(folder: Path) -> list[Path]:
    (folder / "JANE_DOE").mkdir()
    (folder / "JANE_DOE" / "JANE_DOE.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
    (folder / "JANE_DOE.zip").write_bytes(b"PK")
    return [
        folder / ("JANE_DOE" * 40),
        folder / "JANE_DOE.zip" / "inside",
        folder / "JANE_DOE\udcff",
        folder / "JANE_DOE.zip",
        folder / "no JANE_DOE",
        folder / "JANE_DOE",
    ]


def test_inputs_that_cannot_be_read_are_not_named_and_stop_no_other(
    model: Path, study: MockStudy, tmp_path: Path
) -> None:
    inputs = unreadable_inputs(tmp_path)
    arguments = [os.fsencode(path) for path in (*inputs, tmp_path / "study")]
    command = [sys.executable, "-c", "from fcdd_runtime.cli import score; score()"]
    options = ["--model", str(model), "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, *arguments, *options], capture_output=True, timeout=120, check=False)
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 1, text
    assert text.count("Error: input ") == len(inputs), text
    assert not any(word in text.replace(str(tmp_path / "out"), "") for word in ("JANE", "DOE", "Traceback")), text
    assert result_of(tmp_path / "out", study)["exam_score"] > 0


def test_lists_of_an_earlier_call_do_not_stay_beside_a_failure(model: Path, study: MockStudy, tmp_path: Path) -> None:
    assert run(tmp_path / "study", "--model", model, "--out", tmp_path / "out").exit_code == 0
    no_dicom(tmp_path / "bad")
    assert run(tmp_path / "bad", "--model", model, "--out", tmp_path / "out").exit_code == 2
    assert not (tmp_path / "out" / "index.html").exists()
    assert not (tmp_path / "out" / "summary.csv").exists()


def empty(folder: Path) -> None:
    folder.mkdir()


def no_dicom(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("nothing to see")


def no_mr(folder: Path) -> None:
    MockStudy(breast_phantom(), attributes={"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}).write(folder)


def truncated_file(folder: Path) -> None:
    path = MockStudy(breast_phantom()).write(folder)[3]
    path.write_bytes(path.read_bytes()[:-200])


def one_phase(folder: Path) -> None:
    MockStudy(breast_phantom(phases=1)).write(folder)


def missing_slice(folder: Path) -> None:
    MockStudy(breast_phantom()).write(folder)[4].unlink()


def mixed_matrix_sizes(folder: Path) -> None:
    files = MockStudy(breast_phantom()).write(folder)
    cropped = breast_phantom()
    object.__setattr__(cropped, "voxels", cropped.voxels[:, :, :-2])
    odd = MockStudy(cropped).write(folder / "odd")
    shutil.copy(odd[4], files[4])
    shutil.rmtree(folder / "odd")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (empty, "is empty"),
        (no_dicom, "no DICOM"),
        (no_mr, "no MR image"),
        (truncated_file, "truncated|shorter|pixel data"),
        (one_phase, "phase"),
        (missing_slice, "slice"),
        (mixed_matrix_sizes, "size|matrix|grid|slice"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_unusable_study_is_one_sentence_and_leaves_nothing(
    make: Any, words: str, model: Path, tmp_path: Path
) -> None:
    make(tmp_path / "input")
    result = run(tmp_path / "input", "--model", model, "--out", tmp_path / "out")
    assert_one_sentence(result, code=2)
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert any(word in result.stderr for word in words.split("|")), result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_the_same_study_twice_is_refused(model: Path, study: MockStudy, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "study", tmp_path / "copy")
    result = run(tmp_path / "study", tmp_path / "copy", "--model", model, "--out", tmp_path / "out")
    assert_one_sentence(result, code=1)
    assert "earlier input" in result.stderr


def test_a_study_may_come_as_a_zip(model: Path, study: MockStudy, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path / "study")
    assert run(tmp_path / "zipped.zip", "--model", model, "--out", tmp_path / "a").exit_code == 0
    assert run(tmp_path / "study", "--model", model, "--out", tmp_path / "b").exit_code == 0
    assert result_of(tmp_path / "a", study) == result_of(tmp_path / "b", study)


def write_images(folder: Path, count: int) -> list[str]:
    names = [f"group{index % 2}/image{index:02d}.png" for index in range(count)]
    for name, image in zip(names, drawn_images(count)[:, 0], strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return sorted(names)


def test_a_folder_of_images_gets_one_list_of_scores(model: Path, tmp_path: Path) -> None:
    names = write_images(tmp_path / "images", 11)
    result = run(tmp_path / "images", "--model", model, "--out", tmp_path / "out", "--save-maps")
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["image"] for row in rows] == names
    assert all(row["flagged"] == (row["score"] >= 0.5) for row in rows)
    with np.load(tmp_path / "out" / "maps.npz") as maps:
        assert maps["names"].tolist() == names
        assert (maps["anomaly_map"].shape, maps["anomaly_map"].dtype) == ((11, 28, 28), np.float32)
        assert (maps["heatmap"].shape, maps["heatmap"].dtype) == ((11, 224, 224), np.float32)
        np.testing.assert_allclose(maps["anomaly_map"].mean((1, 2)), [row["score"] for row in rows], rtol=1e-5)


def test_without_an_operating_point_nothing_is_flagged_or_cleared(repository: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "images", 2)
    assert run(tmp_path / "images", "--model", repository / "small_fp16", "--out", tmp_path / "out").exit_code == 0
    rows = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["flagged"] for row in rows] == [None, None]


def test_a_bad_image_is_reported_and_the_others_are_scored(model: Path, tmp_path: Path) -> None:
    names = write_images(tmp_path / "images", 3)
    (tmp_path / "images" / "broken.png").write_text("no image")
    result = run(tmp_path / "images", "--model", model, "--out", tmp_path / "out")
    assert_one_sentence(result, code=1)
    assert "image 1 cannot be read" in result.stderr
    assert [row["image"] for row in json.loads((tmp_path / "out" / "results.json").read_text())] == names


def test_the_self_test_passes_on_an_untouched_model_over_both_ways(model: Path, server: str) -> None:
    for option in (["--model", model], ["--url", f"{server}/small_fp32"]):
        result = run("--self-test", *option)
        assert (result.exit_code, "3 golden images" in result.output) == (0, True), result.output


def test_a_model_file_that_was_changed_is_not_opened(model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model, tmp_path / "model")
    artefact = folder / "1" / "model.onnx"
    artefact.write_bytes(artefact.read_bytes()[:-1] + b"\0")
    assert_one_sentence(run("--self-test", "--model", folder), code=2)


def test_a_model_that_answers_otherwise_fails_the_self_test_with_exit_code_3(repository: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(repository / "small_fp32", tmp_path / "model")
    shutil.copy(repository / "cnn_fp32" / "golden.npz", folder)
    (folder / "config.pbtxt").unlink()
    result = run("--self-test", "--model", folder)
    assert_one_sentence(result, code=3)
    assert "not the model that was verified" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("study", "--out", "out"),
        ("study", "--model", "m"),
        ("study", "--model", "m", "--url", "grpc://h:1/m", "--out", "out"),
        ("study", "--model", "m", "--self-test"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, "Usage:" in result.stderr) == (2, True)


def test_a_server_out_of_reach_ends_with_2_and_writes_nothing(study: MockStudy, tmp_path: Path) -> None:
    result = run(tmp_path / "study", "--url", "grpc://127.0.0.1:9/m", "--out", tmp_path / "out")
    assert_one_sentence(result, code=2)
    assert not (tmp_path / "out").exists()


def test_a_study_that_now_fails_loses_its_earlier_result(model: Path, study: MockStudy, tmp_path: Path) -> None:
    command = (tmp_path / "study", "--model", model, "--out", tmp_path / "out")
    assert run(*command).exit_code == 0
    for path in sorted((tmp_path / "study").iterdir())[5:]:
        path.unlink()
    result = run(*command)
    assert_one_sentence(result, code=2)
    assert "its earlier result was removed" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_maps_of_an_earlier_call_do_not_stay_beside_other_scores(model: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "images", 2)
    assert run(tmp_path / "images", "--model", model, "--out", tmp_path / "out", "--save-maps").exit_code == 0
    assert run(tmp_path / "images", "--model", model, "--out", tmp_path / "out").exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["results.json"]


@pytest.mark.parametrize("arguments", [("", "--model", "m", "--out", "out"), ("x", "--model", "", "--out", "out")])
def test_an_empty_path_is_not_the_current_folder(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, "empty path" in result.stderr) == (2, True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_an_interrupted_run_leaves_no_unpacked_study(
    number: int, code: int, model: Path, study: MockStudy, tmp_path: Path
) -> None:
    shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path / "study")
    (tmp_path / "scratch").mkdir()
    script = (
        "import os, sys\n"
        "import fcdd_runtime.cli as cli, fcdd_runtime.runs.run as run\n"
        f"run.infer = lambda *_: os.kill(os.getpid(), {int(number)})\n"
        "cli.score()\n"
    )
    arguments = [tmp_path / "zipped.zip", "--model", model, "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "TMPDIR": str(tmp_path / "scratch")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, "")
    assert list((tmp_path / "scratch").glob("fcdd-*")) == []
    assert list((tmp_path / "out").iterdir()) == []


def test_no_line_on_the_terminal_names_a_patient_a_date_or_a_uid(model: Path, tmp_path: Path) -> None:
    identity = {"PatientName": "Doe^Jane", "PatientID": "PID4711", "StudyDate": "20260131", "AccessionNumber": "A99"}
    good, bad = (MockStudy(breast_phantom(phases=count), study=f"{count}", attributes=identity) for count in (3, 1))
    for name, mock in (("20260131_Doe_Jane", good), ("bad_Doe_Jane", bad)):
        for path in mock.write(tmp_path / name):
            path.rename(path.with_name(f"MR.{mock.study_instance_uid}.{path.name}"))
    [broken, *_] = (tmp_path / "20260131_Doe_Jane").iterdir()
    shutil.copy(broken, broken.with_name("1.2.840.99999.20260131.1"))
    broken.with_name("1.2.840.99999.20260131.1").write_bytes(broken.read_bytes()[:700])
    inputs = [tmp_path / "20260131_Doe_Jane", tmp_path / "bad_Doe_Jane", tmp_path / "no_Doe_Jane"]
    result = run(*inputs, "--model", model, "--out", tmp_path / "out", "--dicom")
    assert result.exit_code == 1, result.output
    text = (result.stdout + result.stderr).replace(str(tmp_path / "out"), "")
    assert "input 2" in text
    for secret in ("Doe", "Jane", "4711", "20260131", "A99", good.study_instance_uid, "1.2.840"):
        assert secret not in text, text


def test_dicom_objects_lie_beside_the_report_on_request(model: Path, study: MockStudy, tmp_path: Path) -> None:
    result = run(tmp_path / "study", "--model", model, "--out", tmp_path / "out", "--dicom", "--colormap", "jet")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "out" / study_folder_name(study.study_instance_uid)
    objects = {f"{kind}_{side}.dcm" for kind in ("slices", "mark", "overlay", "map") for side in "LR"} | {"sr.dcm"}
    # Whether a region is above its level is up to the model.
    assert {path.name for path in folder.glob("*.dcm") if not path.name.startswith("region")} == objects


def test_scoring_again_keeps_dicom_objects_as_they_are(model: Path, study: MockStudy, tmp_path: Path) -> None:
    """Further series in the folder change neither their identifiers nor a byte; another choice leaves out the rest."""
    folder = tmp_path / "out" / study_folder_name(study.study_instance_uid)
    written = []
    for _ in range(2):
        result = run(tmp_path / "study", "--model", model, "--out", tmp_path / "out", "--dicom")
        assert result.exit_code == 0, result.output
        written.append({path.name: path.read_bytes() for path in folder.glob("*.dcm")})
        MockStudy(breast_phantom(1), series_number=9, image_type=("DERIVED", "X", "SUB")).write(tmp_path / "study")
        time.sleep(1.1)  # times in DICOM objects are seconds
    assert written[0] == written[1]
    result = run(tmp_path / "study", "--model", model, "--out", tmp_path / "out", "--dicom-objects", "mark,map")
    assert result.exit_code == 0, result.output
    chosen = {path.name: path.read_bytes() for path in folder.glob("*.dcm")}
    assert chosen == {name: data for name, data in written[0].items() if name.startswith(("mark", "map"))}
    for options in ((), ("--dicom",)):
        result = run(tmp_path / "study", "--model", model, "--out", tmp_path / "out", *options)
        assert result.exit_code == 0, result.output
    assert {path.name: path.read_bytes() for path in folder.glob("*.dcm")} == written[0]


@pytest.mark.parametrize("words", ["", "sr,", "SR", "regions", "region=some"])
def test_dicom_objects_that_do_not_exist_are_one_sentence(words: str, model: Path, tmp_path: Path) -> None:
    result = run(tmp_path, "--model", model, "--out", tmp_path / "out", "--dicom-objects", words)
    assert result.exit_code == 2
    assert "give some of sr,region,slices,mark,overlay,map or region=all" in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


def test_phases_may_be_chosen_by_hand(model: Path, study: MockStudy, tmp_path: Path) -> None:
    result = run(tmp_path / "study", "--model", model, "--out", tmp_path / "out", "--pre", "5/1", "--post", "5/3")
    assert result.exit_code == 0, result.output
    phases = result_of(tmp_path / "out", study)["phases"]
    assert ("phase 1" in phases["pre"], "phase 3" in phases["post"]) == (True, True)


def test_phases_of_each_breast_may_be_chosen_by_hand(model: Path, tmp_path: Path) -> None:
    phantom = breast_phantom()
    for number, columns in ((5, (0, 46)), (6, (46, 96))):
        MockStudy(cropped(phantom, *columns), series_number=number).write(tmp_path / "in" / str(number))
    choices = ("--pre", "5/1", "--post", "5/2", "--pre", "6/1", "--post", "6/2")
    documents = []
    for out, options in ((tmp_path / "found", ()), (tmp_path / "chosen", choices)):
        result = run(tmp_path / "in", "--model", model, "--out", out, *options)
        assert result.exit_code == 0, result.output
        documents.append(result_of(out, MockStudy(phantom)))
    found, chosen = documents
    assert (chosen["breasts"], chosen["split"]) == (found["breasts"], found["split"])
    assert chosen["phases"]["method"] == "chosen by hand"


def test_loss_by_compression_is_said_in_the_result_and_on_the_terminal(model: Path, tmp_path: Path) -> None:
    mock = MockStudy(breast_phantom(), attributes={"LossyImageCompression": "01"})
    mock.write(tmp_path / "study")
    result = run(tmp_path / "study", "--model", model, "--out", tmp_path / "out")
    assert result.stderr.startswith("Note: input 1: The images of series 5 were compressed with loss")
    assert "compressed with loss" in result_of(tmp_path / "out", mock)["warnings"][0]


def test_a_study_to_review_is_told_on_the_terminal_and_in_the_lists(model: Path, tmp_path: Path) -> None:
    mock = MockStudy(breast_phantom(), attributes={"PatientPosition": "HFS"})
    mock.write(tmp_path / "study")
    result = run(tmp_path / "study", "--model", model, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert result.stderr == "Warning: input 1: The patient did not lie prone: PatientPosition is HFS.\n"
    assert "not flagged" not in result.output
    assert "review  " in result.output
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        assert [(row["state"], row["review"]) for row in csv.DictReader(file)] == [("review", "supine")] * 2
    document = result_of(tmp_path / "out", mock)
    assert [finding["code"] for finding in document["review"]] == ["supine"]
    assert (document["state"], document["notes"], document["not_used"]) == ("review", [], [])


def test_what_many_studies_have_in_common_is_told_once_and_counted(model: Path, tmp_path: Path) -> None:
    attributes = {"PatientPosition": "HFS", "LossyImageCompression": "01"}
    for number in range(4):
        mock = MockStudy(breast_phantom(), study=str(number), attributes=attributes if number else {})
        mock.write(tmp_path / str(number))
    result = run(*(tmp_path / str(number) for number in range(4)), "--model", model, "--out", tmp_path / "out")
    assert result.exit_code == 0
    loss = "The images of series 5 were compressed with loss; the scores may differ from the original's."
    supine = "The patient did not lie prone: PatientPosition is HFS."
    assert result.stderr.splitlines() == [
        f"Note: input 2: {loss}",
        f"Warning: input 2: {supine}",
        f"Note: 2 more studies (inputs 3-4): {loss}",
        f"Warning: 2 more studies (inputs 3-4): {supine}",
    ]


def test_the_count_of_what_studies_have_in_common_names_their_inputs(model: Path, tmp_path: Path) -> None:
    supine = ["1", "2/a", "2/b", "4", "5", "7"]
    for place in (*supine, "3", "6"):
        attributes = {"PatientPosition": "HFS"} if place in supine else {}
        MockStudy(breast_phantom(), study=place, attributes=attributes).write(tmp_path / "in" / place)
    inputs = [tmp_path / "in" / str(number) for number in range(1, 8)]
    result = run(*inputs, "--model", model, "--out", tmp_path / "out")
    sentence = "The patient did not lie prone: PatientPosition is HFS."
    assert result.stderr.splitlines() == [
        f"Warning: input 1: {sentence}",
        f"Warning: 5 more studies (inputs 2, 4-5, 7): {sentence}",
    ]


def test_nothing_that_is_written_or_said_of_a_study_to_review_calls_it_not_flagged(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    rewrite_contract(copy, operating_point=OperatingPoint(1e9, None, "tests"))

    def words_of(name: str, **attributes: str) -> dict[str, str]:
        MockStudy(breast_phantom(), study=name, attributes=attributes).write(tmp_path / name)
        result = run(tmp_path / name, "--model", copy, "--out", tmp_path / "out" / name, "--dicom")
        assert result.exit_code == 0, result.output
        found = {"terminal": result.output}
        for path in (tmp_path / "out" / name).rglob("*"):
            if path.suffix == ".dcm":
                found[path.name] = str(dcmread(path, stop_before_pixels=True))
            elif path.suffix in (".html", ".csv", ".json"):
                found[path.name] = path.read_text(encoding="utf-8")
        return {place: text for place, text in found.items() if re.search(r"not.?flagged", text, re.IGNORECASE)}

    assert words_of("doubtful", PatientPosition="HFS") == {}
    assert set(words_of("plain")) == {"terminal", "report.html", "index.html", "sr.dcm", "mark_L.dcm", "mark_R.dcm"}


def test_a_list_shows_what_there_is_to_choose_and_why_things_were_ruled_out(tmp_path: Path) -> None:
    MockStudy(breast_phantom(), phase_attribute="AcquisitionTime").write(tmp_path / "study")
    computed = MockStudy(breast_phantom(1), series_number=7, description="DOE JANE", image_type=("DERIVED", "X", "SUB"))
    computed.write(tmp_path / "study")
    result = run("--list", tmp_path / "study")
    assert result.exit_code == 0
    assert "DOE" not in result.output
    title, columns, *rows = (line.strip() for line in result.stdout.splitlines())
    assert title == "input 1"
    assert columns.split("  ")[0] == "choose as"
    assert [(row.split()[0], row.split("  ")[-1].strip()) for row in rows] == [
        ("5/1", "pre-contrast"),
        ("5/2", "post-contrast"),
        ("5/3", "another phase"),
        ("7/1", "computed (SUB) by its ImageType"),
    ]
    assert "64 x 96" in rows[0]
    assert "AcquisitionTime 10:11:20.2" in rows[1]


def test_a_list_says_why_a_study_cannot_be_scored_and_what_cannot_be_read(tmp_path: Path) -> None:
    MockStudy(breast_phantom(1)).write(tmp_path / "study")
    (tmp_path / "empty").mkdir()
    result = run("--list", tmp_path / "study", tmp_path / "empty")
    assert result.exit_code == 1
    assert "! only one phase was found, series 5 (1 phases)" in result.stdout
    assert "Error: input 2: the input is empty" in result.stderr
    assert run("--list", tmp_path / "empty").exit_code == 2
    assert run("--list", tmp_path / "study", "--out", tmp_path / "out").exit_code == 2


@pytest.mark.parametrize(
    "options",
    [
        ("--pre", "5/1"),
        ("--pre", "5/1", "--post", "five"),
        ("--pre", "5/1", "--post", "5/2", "--pre", "6/1"),
        ("--pre", "5/1", "--post", "5/2") * 3,
    ],
)
def test_half_a_choice_of_phases_or_a_wrong_one_ends_with_2(
    options: tuple[str, ...], model: Path, tmp_path: Path
) -> None:
    assert run("x", "--model", model, "--out", tmp_path / "out", *options).exit_code == 2


def test_files_called_by_numbers_leave_the_numbers_of_a_sentence_alone(model: Path, tmp_path: Path) -> None:
    files = MockStudy(breast_phantom(phases=1)).write(tmp_path / "study")
    for number, path in enumerate(files, start=1):
        path.rename(path.with_name(str(number)))
    result = run(tmp_path / "study", "--model", model, "--out", tmp_path / "out")
    assert_one_sentence(result, code=2)
    assert "series 5 (1 phases)" in result.stderr


def test_a_signal_during_an_import_takes_effect_after_it() -> None:
    script = (
        "import os, signal\n"
        "from fcdd_runtime.commands import deferring_signals, ending_in_order\n"
        "with ending_in_order():\n"
        "    with deferring_signals():\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        print('imported', flush=True)\n"
        "    print('never reached')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (143, "imported\n", "")


def test_a_signal_inside_a_destructor_ends_the_program_too() -> None:
    script = (
        "import os, signal, time\n"
        "from fcdd_runtime.commands import ending_in_order\n"
        "class Last:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "with ending_in_order():\n"
        "    Last()\n"
        "    time.sleep(30)\n"
        "    print('never reached')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "")


def test_no_cell_of_the_summary_is_a_formula(model: Path, tmp_path: Path) -> None:
    mock = MockStudy(breast_phantom(), study="x")
    for path in mock.write(tmp_path / "study"):
        header = dcmread(path)
        header.StudyInstanceUID = "=1+2"
        header.save_as(path)
    assert run(tmp_path / "study", "--model", model, "--out", tmp_path / "out").exit_code == 0
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert "'=1+2" in cells
    assert not any(cell.startswith(("=", "+", "@")) for cell in cells)


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_said_in_one_sentence(model: Path, study: MockStudy, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path / "study")
    disk = tmp_path / "disk"
    disk.mkdir()
    program = [sys.executable, "-c", "from fcdd_runtime.cli import score; score()", "--model", str(model)]
    for arguments, words in (
        (f"{tmp_path / 'study'} --out {disk}", "no space is left where files are written; free some"),
        (f"{tmp_path / 'zipped.zip'} --out {tmp_path / 'out'}", "set TMPDIR to another folder"),
    ):
        line = f'mount -t tmpfs -o size=64k tmpfs {disk} && exec "$@" {arguments}'
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", line, "sh", *program],
            env={**os.environ, "TMPDIR": str(disk)} if "zip" in arguments else None,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, words in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr
