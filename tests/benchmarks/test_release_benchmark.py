"""What `make bench` runs and writes: README equals its reports, and its steps are the commands that exist."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from fcdd_benchmarks.report.read import ReportError
from fcdd_benchmarks.report.write import Metric, Report, write_report
from fcdd_benchmarks.timing.machine import machine_facts
from fcdd_export.networks.snapshot import load_snapshot
from fcdd_runtime.errors import FcddError
from release_benchmark.headline import NOTHING, headline
from release_benchmark.headline_plot import HASH_KEY, plot_of, shown
from release_benchmark.random_network import write_random_vgg
from release_benchmark.readme import BEGIN, END, PLOT, README, with_figures
from release_benchmark.setting import RESULTS, Setting
from release_benchmark.steps import STEPS

ROOT = Path(__file__).parents[2]
STALE = "run `python -m release_benchmark --step readme`"


def test_readme_says_what_the_committed_reports_say() -> None:
    text = (ROOT / README).read_text(encoding="utf-8")
    assert with_figures(text, ROOT / RESULTS) == text, STALE


def test_the_plot_in_the_docs_shows_the_committed_reports() -> None:
    figures = shown(ROOT / RESULTS)
    if figures is None:
        assert not (ROOT / PLOT).exists(), STALE
        return
    with Image.open(ROOT / PLOT) as plot:
        assert plot.info[HASH_KEY] == figures.sha256(), STALE


def estimate(name: str, value: float) -> dict[str, Any]:
    return {"name": name, "value": value, "low": value - 0.01, "high": value + 0.01}


def accuracy_document() -> dict[str, Any]:
    models = [
        {
            "name": f"m_{precision}",
            "network": "FCDD_CNN224",
            "precision": precision,
            "snapshot_sha256": "",
            "artefact_sha256": "",
            "notes": ["accepted"] if precision == "int8" else [],
            "estimates": [estimate("ROC AUC", 0.9)],
            "changes": [] if precision == "fp32" else [estimate("ROC AUC", 0.001)],
            "scores": [0.1, 0.2],
            "pixel_aucs": [None, None],
        }
        for precision in ("fp32", "fp16", "int8")
    ]
    point = {"wanted_sensitivity": 0.95, "threshold": estimate("threshold", 1.0), "held_out": None, "folds": 0}
    options = {"prevalence": 0.02, "sensitivity": 0.95, "resamples": 100}
    images = {"sha256": "", "labels": [0, 1], "groups": None}
    return {"options": options, "images": images, "models": models, "operating_point": point}


def compare_document(noisy: bool = False) -> dict[str, Any]:
    interval = {"value": 80.0, "low": 79.0, "high": 81.0}
    names = ("fcdd-edge FP32", "OpenVINO FP32")
    checked: dict[str, Any] = {"precision": "fp32", "drift": {}, "refused": None}
    timing = {"median_ms": interval, "noisy": noisy}
    contenders = [checked | {"name": name, "timing": timing} for name in names]
    figure = {"value": 1.01, "low": 1.0, "high": 1.02}
    target = {"name": "FP32, times OpenVINO FP32", "target": "at most 1.05", "figure": figure, "verdict": "met"}
    return {
        "options": {"net": "n", "snapshot_sha256": "", "batch": 8, "repeats": 3, "int8": False},
        "contenders": contenders,
        "absent": {},
        "int8_forms": [],
        "targets": [target],
        "images": 16,
        "multiply_adds": 1,
        "products_ms": {"fp32": 1.0, "int8": 1.0},
        "torch_threads": 1,
        "heatmaps": {"ms": {}, "ratio": interval, "error": 0.0},
        "client_overhead_ms": None,
    }


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two small reports."""
    machine = machine_facts(())
    for name, benchmark, document in (
        ("phantom/prevalence_50", "accuracy", accuracy_document()),
        ("vgg/compare", "compare", compare_document()),
    ):
        metrics = (Metric("m", 1.0, 1.0, 1.0, "lower", "ms"),)
        report = Report(benchmark, "A title", "", "fcdd-bench", machine, (), (), metrics, document)
        write_report(report, tmp_path / name)
    return tmp_path


def test_figures_and_verdicts_are_those_of_the_reports_with_the_hardware_named(results: Path) -> None:
    text = headline(results)
    assert machine_facts(())["processor"] in text
    folder = "benchmarks/results/phantom/prevalence_50/report.md"
    changes = "+0.0010 (-0.0090 to +0.0110) | +0.0010 (-0.0090 to +0.0110), refused |"
    assert f"| [phantom breasts, half anomalous]({folder}), 2 | ROC AUC | 0.900 (0.890 to 0.910) | {changes}" in text
    assert "| at most 1.05 | 1.01 (1.00 to 1.02) | met |" in text
    ours = "fcdd-edge FP32, ms an image, batch 8](benchmarks/results/vgg/compare/report.md)"
    assert f"| [{ours} |  | 10.0 (9.9 to 10.1) |" in text


def test_a_study_is_shown_by_its_rate_its_time_and_beside_simpleitk(tmp_path: Path) -> None:
    metrics = (
        Metric("fcdd_fp16: studies an hour", 9000.0, 8000.0, 9100.0, "higher", "studies/h"),
        Metric("SimpleITK: its own way, times ours", 5.2, 5.1, 5.3, "higher", "times"),
        Metric("fcdd_fp16: memory of scoring", 300.0, 299.0, 301.0, "lower", "MB"),
    )
    # Any report will do: only the metrics are read, which all kinds have.
    report = Report("compare", "", "", "", machine_facts(()), (), (), metrics, compare_document())
    write_report(report, tmp_path / "study" / "native")
    link = "[uncompressed](benchmarks/results/study/native/report.md)"
    text = headline(tmp_path)
    assert f"| {link}: fcdd_fp16: studies an hour | 9,000 (8,000 to 9,100) studies/h |" in text
    assert f"| {link}: SimpleITK: its own way, times ours | 5.20 (5.10 to 5.30) |" in text
    assert "memory" not in text


@pytest.mark.parametrize("noisy", [False, True])
def test_ratios_of_a_noisy_machine_are_marked(noisy: bool, tmp_path: Path) -> None:
    report = Report("compare", "", "", "", machine_facts(()), (), (), (), compare_document(noisy))
    write_report(report, tmp_path / "vgg" / "compare")
    assert ("was noisy" in headline(tmp_path)) == noisy


def test_another_figure_makes_another_text_and_another_plot(results: Path) -> None:
    before, figures = headline(results), shown(results)
    path = results / "vgg" / "compare" / "report.json"
    path.write_text(path.read_text().replace("80.0", "88.0"))
    after = shown(results)
    assert headline(results) != before
    assert figures is not None and after is not None and figures.sha256() != after.sha256()


def test_the_plot_carries_the_hash_of_what_it_shows(results: Path) -> None:
    figures = shown(results)
    assert figures is not None
    assert [change.refused for change in figures.changes] == [False, True]
    with Image.open(io.BytesIO(plot_of(figures))) as plot:
        assert plot.info[HASH_KEY] == figures.sha256()


def test_only_what_stands_between_the_markers_is_replaced(results: Path) -> None:
    text = with_figures(f"before {BEGIN} old {END} after", results)
    assert text.startswith(f"before {BEGIN}") and text.endswith(f"{END} after") and " old " not in text
    with pytest.raises(FcddError, match="put both back"):
        with_figures("no markers", results)


def test_without_reports_nothing_is_claimed_and_a_damaged_one_is_refused(tmp_path: Path, results: Path) -> None:
    assert headline(tmp_path / "none") == NOTHING
    path = results / "vgg" / "compare" / "report.json"
    document = json.loads(path.read_text())
    del document["targets"]
    path.write_text(json.dumps(document))
    with pytest.raises(ReportError, match="targets"):
        headline(results)


def test_a_small_run_and_random_weights_leave_the_committed_reports_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = Setting.of(small=True, reference_data=None)
    assert RESULTS not in (small.results, *small.results.parents)
    full = Setting.of(small=False, reference_data=None)
    trained = dataclasses.replace(full, trained_vgg=Path("trained_vgg"))
    assert full.vgg_results != trained.vgg_results
    with pytest.raises(FcddError, match="FCDD_REFERENCE_DATA"):
        Setting.of(small=False, reference_data=str(tmp_path))


def test_the_random_network_is_a_snapshot_and_the_same_every_time(tmp_path: Path) -> None:
    hashes = []
    for name in ("one", "other"):
        write_random_vgg(tmp_path / name)
        snapshot = load_snapshot(tmp_path / name)
        assert snapshot.normalization is not None
        hashes.append([float(weight.double().sum()) for weight in snapshot.network.state_dict().values()])
    assert hashes[0] == hashes[1]


def test_a_step_that_there_is_not_is_refused() -> None:
    from release_benchmark.__main__ import main  # noqa: PLC0415

    result = CliRunner().invoke(main, ["--step", "nothing"])
    assert result.exit_code == 2
    assert all(name in result.output for name in STEPS)
