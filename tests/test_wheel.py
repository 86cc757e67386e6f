"""The base install: built as a wheel, installed alone, without torch and with the newest NumPy."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest
from mock_study import MockStudy, breast_phantom

from fcdd_benchmarks.latency.report import LatencyOptions, LatencyReport
from fcdd_benchmarks.report.estimate import Estimate
from fcdd_benchmarks.report.machine import this_machine
from fcdd_benchmarks.report.page import Page, write_report

ROOT = Path(__file__).parent.parent


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel and what it depends on, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    [wheel] = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    commands = folder / "venv" / "bin"
    run(commands / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=folder)
    return commands


def test_the_base_install_scores_a_study_without_torch(installed: Path, server: str, tmp_path: Path) -> None:
    MockStudy(breast_phantom()).write(tmp_path / "study")
    run(installed / "fcdd-score", "study", "--url", f"{server}/small_fp16", "--out", "out", cwd=tmp_path)
    [report] = (tmp_path / "out").glob("*/report.html")
    assert "Research use only" in report.read_text()
    packages = run(installed / "python", "-m", "pip", "list", "--format", "freeze", cwd=tmp_path)
    names = {line.split("==")[0].lower() for line in packages.splitlines()}
    assert not names & {"torch", "onnx", "onnxruntime", "nvidia-pytriton", "scipy"}


def test_numpy_is_the_newest_one_that_installs(installed: Path, tmp_path: Path) -> None:
    version = run(installed / "python", "-c", "import numpy; print(numpy.__version__)", cwd=tmp_path)
    assert int(version.split(".")[0]) >= 2


def test_what_an_extra_would_bring_is_named_where_it_is_missing(installed: Path, repository: Path) -> None:
    done = subprocess.run(
        [installed / "fcdd-score", "--self-test", "--model", repository / "small_fp16"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "Error: running a model folder needs ONNX Runtime: pip install 'fcdd-edge[onnxruntime]'\n"


def test_fcdd_export_without_its_extra_says_which_one_it_needs(installed: Path) -> None:
    done = subprocess.run([installed / "fcdd-export"], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "pip install 'fcdd-edge[export]'" in done.stderr


def test_fcdd_bench_writes_whole_reports_from_the_base_install(installed: Path, tmp_path: Path) -> None:
    report = LatencyReport(
        title="Times",
        command="",
        machine=this_machine(()),
        metrics=(Estimate(1.0, 0.9, 1.1).metric("p50", "lower", "ms"),),
        options=LatencyOptions((), (), (1,), (1,), 1.0),
        models=(),
        points=(),
        open_loops=(),
        rate_limits=(),
    )
    write_report(report, Page("", ()), tmp_path / "base")
    run(installed / "fcdd-bench", "drift", "base", "base", "--out", "out", cwd=tmp_path)
    written = tmp_path / "out"
    assert sorted(path.name for path in written.iterdir()) == ["report.html", "report.json", "report.md"]
    page = (written / "report.html").read_text()
    style = (ROOT / "benchmarks" / "fcdd_benchmarks" / "report" / "templates" / "report.css").read_text()
    assert style.strip() in page and "{{" not in page
