"""The export report as people see it."""

from fcdd_benchmarks.export_cost.report import LIMIT_LARGE_MB, LIMIT_MB, LIMIT_S, ExportReport
from fcdd_benchmarks.report.estimate import Estimate
from fcdd_benchmarks.report.page import Page, Section
from fcdd_benchmarks.timing.stages import CALIBRATION

LARGE_STAGE_S = 0.5
"""Stages that take less in every export share a column."""


def export_page(report: ExportReport) -> Page:
    """Put everything into tables."""
    options = report.options
    medians = "; medians, with the smallest and largest" if options.repeats > 1 else ""
    lead = (
        f"fcdd-export as it is, for target {options.target}, in a fresh process for each network and precision, "
        f"{options.repeats} each{medians}. Networks have drawn random weights, so that the gate may refuse INT8 of "
        f"them; time and memory count up to there. Limits: {LIMIT_S:g} s without calibration; {LIMIT_MB / 1000:g} GB, "
        f"for the network of two images {LIMIT_LARGE_MB / 1000:g} GB."
    )
    rows = []
    for cost in report.exports:
        calibration = Estimate.of_runs([run.stages[CALIBRATION] for run in cost.runs])
        sizes = [run.artefact_mb for run in cost.runs if run.artefact_mb is not None]
        found = (
            _range(cost.seconds, ".1f"),
            _range(calibration, ".1f") if calibration.high else "",
            _range(cost.peak_mb, ".0f"),
            f"{sizes[0]:.1f}" if sizes else "none",
        )
        rows.append((cost.name, *found, "passed" if sizes else "refused", "kept" if cost.within else "exceeded"))
    headers = ("", "s, calibration apart", "s of INT8 calibration", "peak MB", "artefact MB", "gate", "limits")
    text = (
        "Seconds are those of the whole command, start and imports included. INT8 for a CPU calibrates twice: for the "
        "CPU and for the TensorRT engine that an appliance may build."
    )
    costs = Section("Time, memory and size", text, headers, tuple(rows))
    refusals = tuple((cost.name, cost.refused) for cost in report.exports if cost.refused)
    refused = Section("Refused by the gate", "", ("", "reason"), refusals)
    return Page(lead, (costs, _stage_section(report), refused if refusals else Section("", "No export was refused.")))


def _range(runs: Estimate, form: str) -> str:
    return f"{runs.value:{form}}" if f"{runs.low:{form}}" == f"{runs.high:{form}}" else runs.text(form)


def _stage_section(report: ExportReport) -> Section:
    stages = report.exports[0].runs[0].stages
    means = {
        cost.name: {stage: sum(run.stages[stage] for run in cost.runs) / len(cost.runs) for stage in stages}
        for cost in report.exports
    }
    large = [stage for stage in stages if max(found[stage] for found in means.values()) >= LARGE_STAGE_S]
    rows = []
    for name, found in means.items():
        others = sum(seconds for stage, seconds in found.items() if stage not in large)
        rows.append((name, *(f"{found[stage]:.1f}" for stage in large), f"{others:.1f}"))
    text = "Means, s. Verification runs the artefact, and for FP16 a simulation of it, on the same images as torch."
    return Section("Where the time goes", text, ("", *large, "others"), tuple(rows))
