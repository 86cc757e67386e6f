"""What `fcdd-bench export` measured -> its report."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from fcdd_benchmarks.export_cost.run import (
    LIMIT_LARGE_MB,
    LIMIT_MB,
    LIMIT_S,
    STAGES,
    ExportCost,
    ExportOptions,
    middle,
)
from fcdd_benchmarks.report.write import Metric, Plot, Report, Section
from fcdd_benchmarks.timing.machine import machine_facts
from fcdd_benchmarks.timing.stage_plots import stacked_bars
from fcdd_benchmarks.timing.stages import CALIBRATION

PACKAGES = ("fcdd-edge", "numpy", "torch", "onnx", "onnxscript", "onnxruntime", "tensorrt-rtx")
MEDIANS = "; medians, with the smallest and largest"
LARGE_STAGE_S = 0.5
OTHERS = "others"
"""Stages that take less everywhere."""
LIMITS = (
    f"Limits: {LIMIT_S:g} s without calibration; {LIMIT_MB / 1000:g} GB, for the network of two images "
    f"{LIMIT_LARGE_MB / 1000:g} GB."
)


def export_cost_report(options: ExportOptions, costs: Sequence[ExportCost]) -> Report:
    """Put figures, plot and what they were measured on together."""
    return Report(
        benchmark="export",
        title=_title(costs),
        lead=f"fcdd-export as it is, for target {options.target}, in a fresh process for each network and precision, "
        f"{options.repeats} each{MEDIANS if options.repeats > 1 else ''}. Networks have drawn random weights, so that "
        f"the gate may refuse INT8 of them; time and memory count up to there. {LIMITS}",
        command=_command(options),
        machine=machine_facts(PACKAGES),
        sections=(_cost_section(costs), _stage_section(costs), _refused_section(costs)),
        plots=tuple(_plot(costs, precision) for precision in options.precisions),
        metrics=tuple(metric for cost in costs for metric in _metrics(cost)),
        document={"options": dataclasses.asdict(options), "exports": [_document(cost) for cost in costs]},
    )


def _title(costs: Sequence[ExportCost]) -> str:
    over = sum(not cost.within for cost in costs)
    return f"Export: {f'{over} of {len(costs)} beyond' if over else f'all {len(costs)} within'} the limits"


def _command(options: ExportOptions) -> str:
    words = ["fcdd-bench export", *(f"--network {network}" for network in options.networks)]
    words += [f"--precision {precision}" for precision in options.precisions]
    return " ".join([*words, f"--target {options.target} --repeats {options.repeats}"])


def _cost_section(costs: Sequence[ExportCost]) -> Section:
    headers = ("", "s, calibration apart", "s of INT8 calibration", "peak MB", "artefact MB", "gate", "limits")
    text = (
        "Seconds are those of the whole command, start and imports included. INT8 for a CPU calibrates twice: for the "
        "CPU and for the TensorRT engine that an appliance may build."
    )
    return Section("Time, memory and size", text, headers, tuple(_cost_row(cost) for cost in costs))


def _cost_row(cost: ExportCost) -> tuple[str, ...]:
    calibration = middle([run.stages[CALIBRATION] for run in cost.runs])
    sizes = [run.artefact_mb for run in cost.runs if run.artefact_mb is not None]
    return (
        _name(cost),
        _range(middle(cost.seconds_to_limit), "{:.1f}"),
        _range(calibration, "{:.1f}") if calibration[2] else "",
        _range(middle([run.peak_mb for run in cost.runs]), "{:.0f}"),
        f"{sizes[0]:.1f}" if sizes else "none",
        "passed" if sizes else "refused",
        "kept" if cost.within else "exceeded",
    )


def _stage_section(costs: Sequence[ExportCost]) -> Section:
    text = "Means, s. Verification runs the artefact, and for FP16 a simulation of it, on the same images as torch."
    stages = _large_stages(costs)
    rows = tuple((_name(cost), *(f"{length:.1f}" for length in _lengths(cost, stages))) for cost in costs)
    return Section("Where the time goes", text, ("", *stages, OTHERS), rows)


def _large_stages(costs: Sequence[ExportCost]) -> list[str]:
    return [stage for stage in STAGES if max(_mean_stage(cost, stage) for cost in costs) >= LARGE_STAGE_S]


def _lengths(cost: ExportCost, stages: Sequence[str]) -> list[float]:
    """Return the mean time of some stages and, last, of all others together."""
    others = sum(_mean_stage(cost, stage) for stage in STAGES if stage not in stages)
    return [*(_mean_stage(cost, stage) for stage in stages), others]


def _refused_section(costs: Sequence[ExportCost]) -> Section:
    reasons = [(_name(cost), next((run.refused for run in cost.runs if run.refused), None)) for cost in costs]
    rows = tuple((name, reason) for name, reason in reasons if reason)
    return Section("Refused by the gate", "", ("", "reason"), rows) if rows else Section("", "No export was refused.")


def _plot(costs: Sequence[ExportCost], precision: str) -> Plot:
    stages = _large_stages(costs)  # of all precisions, so that colours mean the same in all plots
    shown = [cost for cost in costs if cost.precision == precision]
    columns = zip(*(_lengths(cost, stages) for cost in shown), strict=True)
    segments = list(zip([*stages, OTHERS], columns, strict=True))
    return Plot(
        f"Where the time of an export to {precision.upper()} goes",
        stacked_bars([cost.network for cost in shown], segments, "s"),
        "png",
        "Mean wall time of the command by stage, from left to right.",
    )


def _mean_stage(cost: ExportCost, stage: str) -> float:
    return sum(run.stages[stage] for run in cost.runs) / len(cost.runs)


def _metrics(cost: ExportCost) -> tuple[Metric, Metric]:
    seconds, peak = middle(cost.seconds_to_limit), middle([run.peak_mb for run in cost.runs])
    return (
        Metric(f"{_name(cost)}: time without calibration", *seconds, "lower", "s"),
        Metric(f"{_name(cost)}: peak memory", *peak, "lower", "MB"),
    )


def _name(cost: ExportCost) -> str:
    return f"{cost.network} {cost.precision}"


def _range(value: tuple[float, float, float], form: str) -> str:
    median, low, high = (form.format(one) for one in value)
    return median if low == high else f"{median} ({low} to {high})"


def _document(cost: ExportCost) -> dict[str, Any]:
    return {
        "network": cost.network,
        "precision": cost.precision,
        "limit_s": LIMIT_S,
        "limit_mb": cost.limit_mb,
        "within": cost.within,
        "runs": [dataclasses.asdict(run) for run in cost.runs],
    }
