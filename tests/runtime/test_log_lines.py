"""Log lines: their forms, what they say of a run, and that they name nobody."""

import contextlib
import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mock_study import MockStudy, breast_phantom
from PIL import Image

from fcdd_export.gate.drawn import drawn_images
from fcdd_runtime.cli import score
from fcdd_runtime.contract import read_contract
from fcdd_runtime.errors import ImageError, StudyError
from fcdd_runtime.log_lines import LINE_FORMS, EventLog, LineForm, writing_log_lines
from fcdd_runtime.redaction import Redacted, for_log, quoted

LOG = EventLog("fcdd_runtime")


def lines_of(form: LineForm, write: Callable[[], object]) -> list[str]:
    """What reaches standard error meanwhile."""
    with contextlib.redirect_stderr(io.StringIO()) as stream, writing_log_lines(form):
        write()
    return stream.getvalue().splitlines()


def run(*arguments: Any) -> tuple[int, str, list[dict[str, Any]]]:
    """Exit code of fcdd-score, standard output, and standard error, of which every line is JSON."""
    result = CliRunner().invoke(score, [*map(str, arguments), "--log-format", "json"])
    return result.exit_code, result.stdout, [json.loads(line) for line in result.stderr.splitlines()]


def test_a_json_line_has_time_level_logger_event_and_fields() -> None:
    [line] = lines_of("json", lambda: LOG.warning("study scored", input=1, study=None, seconds=0.25))
    document = json.loads(line)
    assert document.pop("time").endswith("+00:00")
    head = {"level": "warning", "logger": "fcdd_runtime", "event": "study scored"}
    assert document == {**head, "input": 1, "study": None, "seconds": 0.25}


def test_a_text_line_says_the_same() -> None:
    [line] = lines_of("text", lambda: LOG.error("not scored", input=1, sentence=Redacted('a "b"\nc')))
    assert line.split(" ", 1)[1] == r'ERROR fcdd_runtime: not scored input=1 sentence="a \"b\"\nc"'


def test_nothing_is_written_outside_the_context(capsys: pytest.CaptureFixture[str]) -> None:
    LOG.error("not scored", input=1)
    assert lines_of("text", lambda: None) == []
    LOG.error("not scored", input=1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("form", LINE_FORMS)
@pytest.mark.parametrize("secret", ["ROE^JANE", "1.2.840.4711.1931", "/data/ROE JANE 1931/study"])
def test_a_name_a_uid_and_a_path_do_not_get_out(form: LineForm, secret: str) -> None:
    logger = logging.getLogger("fcdd_runtime")

    def write() -> None:
        values: dict[str, Any] = {"sentence": secret, "path": Path(secret), "error": StudyError(secret, "damaged")}
        LOG.info("study scored", **values)
        LOG.error("not scored", sentence=for_log(StudyError(f"the file {quoted(secret)} is truncated", "damaged")))
        LOG.error("not scored", sentence=for_log(ImageError(f"image {quoted(secret)} has colours")))
        LOG.error("not scored", sentence=for_log(OSError(2, "No such file", secret)))
        logger.warning("study of %s", secret)
        logger.warning("study of %(name)s", {"name": secret})
        try:
            int(secret)
        except ValueError:
            logger.exception("not scored")

    lines = lines_of(form, write)
    assert len(lines) == 7
    assert [line for line in lines if secret in line or "ROE" in line or "1931" in line] == []


def test_a_run_logs_its_model_its_studies_by_number_and_its_end(repository: Path, tmp_path: Path) -> None:
    model = repository / "small_fp32"
    attributes = {"SeriesDescription": "ROE^JANE", "PatientName": "Roe^Jane", "PatientPosition": "HFS"}
    MockStudy(breast_phantom(), attributes=attributes).write(tmp_path / "ROE JANE")
    MockStudy(breast_phantom(), attributes=attributes).write(tmp_path / "ROE JANE 2")
    inputs = (tmp_path / "ROE JANE", tmp_path / "ROE JANE 2", tmp_path / "ROE JANE 3")
    exit_code, output, lines = run(*inputs, "--model", model, "--out", tmp_path / "out")
    assert exit_code == 1
    assert output.count("report.html") == 1
    events = ["backend opened", "run started", "input read", "study scored", "input read", "not scored", "not scored"]
    assert [line["event"] for line in lines if line["level"] != "warning"] == [*events, "run ended"]
    assert lines[0]["artefact_sha256"] == read_contract(model).artefact_sha256
    scored = next(line for line in lines if line["event"] == "study scored")
    assert (scored["input"], scored["study"], scored["seconds"] > 0, scored["state"]) == (1, None, True, "review")
    failed = [line for line in lines if line["event"] == "not scored"]
    assert [line["input"] for line in failed] == [2, 3]
    assert "in an earlier input already" in failed[0]["sentence"]
    counts = {"scored": 1, "to_review": 1, "failed": 2, "left_over": 0}
    assert counts.items() <= lines[-1].items()
    assert "ROE" not in json.dumps(lines)


def test_images_are_counted_and_their_names_stay_out(repository: Path, tmp_path: Path) -> None:
    Image.fromarray(drawn_images(1)[0, 0]).save(tmp_path / "ROE_JANE.png")
    (tmp_path / "ROE_DAMAGED.png").write_bytes(b"no image")
    exit_code, _, lines = run(tmp_path, "--model", repository / "small_fp32", "--out", tmp_path / "out")
    assert exit_code == 1
    assert [line["images"] for line in lines if line["event"] == "images scored"] == [1]
    assert [line["sentence"] for line in lines if line["event"] == "not scored"] == [
        "image 1 cannot be read as an image; save it again as PNG or TIFF"
    ]
    assert "ROE" not in json.dumps(lines)


def test_what_ends_a_command_is_a_log_line_too(tmp_path: Path) -> None:
    exit_code, _, lines = run(tmp_path, "--model", tmp_path / "none", "--out", tmp_path / "out")
    assert exit_code == 2
    assert [(line["event"], line["exit_code"]) for line in lines] == [("command failed", 2)]
    assert "contract.json" in lines[0]["sentence"]


def test_without_the_option_people_read_sentences(tmp_path: Path) -> None:
    done = CliRunner().invoke(score, [str(tmp_path), "--model", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
