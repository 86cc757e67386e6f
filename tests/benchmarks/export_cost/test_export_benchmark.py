"""fcdd-bench export, small: its structure, limits and refusals; times themselves are no test."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.reports import read_back
from fcdd_benchmarks.cli import main
from fcdd_benchmarks.export_cost import measure
from fcdd_benchmarks.export_cost.measure import STAGES, measure_exports, named_networks
from fcdd_benchmarks.export_cost.page import export_page
from fcdd_benchmarks.export_cost.report import LARGE, ExportCost, ExportOptions, ExportReport, ExportRun
from fcdd_benchmarks.report.machine import this_machine
from fcdd_benchmarks.timing.measured_command import CommandFacts
from fcdd_benchmarks.timing.stage_clock import Span
from fcdd_benchmarks.timing.stages import CALIBRATION, WHOLE
from fcdd_export.networks.registry import NETWORKS
from fcdd_runtime.errors import BackendError, GateError

REFUSED = "int8 changes scores by 9 (limit 1)"


def run(out: Path, *options: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["export", "--network", "FCDD_CNN224", "--out", str(out), *options])
    assert result.exit_code == 0, result.output
    assert result.output.strip() == (out / "report.md").read_text().strip()
    return read_back(out)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export")
    run(out, "--precision", "fp32", "--precision", "int8")
    return out


def cost(network: str = "FCDD_CNN224", **changes: Any) -> ExportCost:
    stages = dict.fromkeys(STAGES, 0.0) | {CALIBRATION: 30.0}
    made = ExportRun(seconds=80.0, peak_mb=2000.0, stages=stages, artefact_mb=1.0, refused=None)
    return ExportCost.of(network, "int8", (dataclasses.replace(made, **changes),))


def test_every_precision_has_its_time_memory_and_size(exported: Path) -> None:
    fp32, int8 = read_back(exported)["exports"]
    assert [fp32["precision"], int8["precision"]] == ["fp32", "int8"]
    [made] = fp32["runs"]
    assert made["refused"] is None and made["artefact_mb"] == pytest.approx(1.0, abs=0.1)
    for [made] in (fp32["runs"], int8["runs"]):
        assert 100 < made["peak_mb"] < fp32["limit_mb"]
        assert sum(made["stages"].values()) == pytest.approx(made["seconds"])
        assert (made["artefact_mb"] is None) == (made["refused"] is not None)


def test_every_stage_was_seen_and_calibration_is_int8s_alone(exported: Path) -> None:
    fp32, int8 = (made["runs"][0]["stages"] for made in read_back(exported)["exports"])
    assert fp32[CALIBRATION] == 0 and int8[CALIBRATION] > 0
    unseen = {name for name in STAGES if not fp32[name] > 0}
    assert unseen == {"FP16", CALIBRATION, "engine"}


def test_an_engine_is_built_and_measured(tmp_path: Path) -> None:
    [found] = run(tmp_path, "--precision", "fp16", "--target", "tensorrt-rtx")["exports"]
    [made] = found["runs"]
    assert made["stages"]["engine"] > 0 and made["stages"]["FP16"] > 0
    assert made["artefact_mb"] > 0.4


def test_reports_can_be_compared_and_more_memory_is_drift(exported: Path, tmp_path: Path) -> None:
    same = CliRunner().invoke(main, ["drift", str(exported), str(exported), "--out", str(tmp_path / "same")])
    assert same.exit_code == 0, same.output
    document = read_back(exported)
    for metric in document["metrics"]:
        if metric["unit"] == "MB":
            metric.update({name: metric[name] * 2 for name in ("value", "low", "high")})
    (tmp_path / "report.json").write_text(json.dumps(document))
    more = CliRunner().invoke(main, ["drift", str(exported), str(tmp_path), "--out", str(tmp_path / "more")])
    assert more.exit_code == 3
    worse = json.loads((tmp_path / "more" / "report.json").read_text())["worse"]
    assert worse == [f"FCDD_CNN224 {precision}: peak memory" for precision in ("fp32", "int8")]


@pytest.mark.parametrize(
    ("changes", "within"),
    [
        ({}, True),
        ({"seconds": 91.0}, False),
        ({"peak_mb": 2501.0}, False),
        ({"network": LARGE, "peak_mb": 2501.0}, True),
        ({"network": LARGE, "peak_mb": 6001.0}, False),
    ],
)
def test_limits_are_for_time_without_calibration_and_for_memory(changes: dict[str, Any], within: bool) -> None:
    assert cost(**changes).within == within


def test_a_refusal_and_a_limit_that_is_exceeded_are_said_in_the_report() -> None:
    options = ExportOptions(("FCDD_CNN224",), ("int8",), "python", 1)
    costs = (cost(artefact_mb=None, refused=REFUSED), cost(LARGE, peak_mb=7000.0))
    common: dict[str, Any] = {"title": "", "command": "", "machine": this_machine(()), "metrics": ()}
    [table, _, refused] = export_page(ExportReport(options=options, exports=costs, **common)).sections
    assert [row[-2:] for row in table.rows] == [("refused", "kept"), ("passed", "exceeded")]
    assert refused.rows == (("FCDD_CNN224 int8", REFUSED),)


def command_that(exit_code: int, output: str) -> Any:
    whole = Span(WHOLE, None, 0.0, 1.0, 1.0, 1.0)
    return lambda *_: CommandFacts(exit_code, output, 2.0, (whole,), 90.0, 10.0, 100.0)


@pytest.mark.parametrize(
    ("exit_code", "error", "words"), [(3, GateError, "FP32 is refused"), (2, BackendError, "no room is left")]
)
def test_an_export_that_fails_otherwise_than_int8_can_is_not_reported(
    exit_code: int, error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "measured", command_that(exit_code, "Error: no room is left"))
    with pytest.raises(error, match=words):
        measure_exports(ExportOptions(("FCDD_CNN224",), ("fp32",), "python", 1))


def test_all_architectures_are_exported_by_default() -> None:
    chosen = [NETWORKS[name] for name in named_networks(())]
    assert set(chosen) == set(NETWORKS.values())
    assert len(chosen) == len(set(chosen))


def test_an_unknown_network_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["export", "--network", "RESNET", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert result.output.startswith("Error: no published network") and "FCDD_CNN224" in result.output
    assert not (tmp_path / "out").exists()
