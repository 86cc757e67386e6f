"""The study report as people see it."""

import dataclasses

from matplotlib import colormaps
from matplotlib.axes import Axes

from fcdd_benchmarks.report.page import Page, Plot, Section
from fcdd_benchmarks.report.plots import plot, ratio_plot
from fcdd_benchmarks.study.report import ScoringFigures, StageFigures, StudyReport
from fcdd_benchmarks.study.stage_times import QUEUE
from fcdd_benchmarks.timing.summary import FEW_ROUNDS, NOISY, ROUGH
from fcdd_benchmarks.timing.timed_model import model_section

READERS = {
    "ours": "fcdd-edge: read_studies, split_phases, project",
    "simpleitk": "SimpleITK: its own series ordering, then slice by slice",
    "limit": "limit: the same bytes read, one subtraction and one running maximum",
}
SMALL_STAGE = 0.02
"""Stages with a smaller share are one segment of the plot."""
NUMBERED_SHARE = 0.07
"""Of the longest bar: a segment that is narrower bears no number."""


def study_page(report: StudyReport) -> Page:
    """Put everything into tables and plots."""
    lead = (
        f"Drawn studies with {report.options.phases} phases on disk, read from the page cache. The MIPs equal those of "
        "pydicom and plain NumPy bit for bit"
    )
    ratios = [(READERS[timing.name].split(":")[0], timing.ratio) for timing in report.timings]
    beside = ratio_plot("Study to MIP against fcdd-edge", ratios, "times ours")
    scoring = report.scoring
    if scoring is None:
        return Page(f"{lead}.", (_mip_section(report),), (beside,))
    state = (
        f"The machine was too noisy: from round to round the mean moved by {scoring.spread:.0%}. Measure again."
        if scoring.spread > NOISY
        else f"The machine held still: from round to round the mean moved by {scoring.spread:.1%} (noisy: {NOISY:.0%})."
    )
    lead = f"{lead}, and every timed run wrote the result.json files that fcdd-score writes. {state}"
    result = Section(
        "DICOM to result",
        f"{scoring.model}. fcdd-score as it is, in fresh processes, {report.options.rounds} rounds; means with 95 % "
        "intervals (the start: median and range). Studies an hour are those of one process without its start.",
        ("", "value (interval)"),
        (
            ("studies an hour", scoring.studies_per_hour.text(",.0f")),
            (f"ms a study, {scoring.studies} studies one after the other", scoring.many_ms.text(".1f")),
            ("ms a study, a process for one study, without its start", scoring.one_ms.text(".1f")),
            ("ms for start and end of a process: imports, opening the model", scoring.start_ms.text(".1f")),
        ),
    )
    memory = Section(
        "Memory",
        "Resident memory of the process, without the page cache of the files: median and range of the rounds.",
        ("", "MB (range)"),
        (
            ("everything imported, model opened", scoring.ready_mb.text(".0f")),
            ("over that, one study", scoring.one_over_mb.text(".1f")),
            (f"over that, {scoring.studies} studies", scoring.many_over_mb.text(".1f")),
            (f"peak of the process, {scoring.studies} studies", scoring.peak_mb.text(".0f")),
        ),
    )
    models = model_section("Model", report.models)
    sections = (result, _stage_section(scoring), memory, _mip_section(report), models)
    return Page(lead, sections, (_stage_plot(scoring), beside))


def _stage_section(scoring: ScoringFigures) -> Section:
    queue = (
        "Queue is Triton's own count of how long requests waited for a batch or the model; infer is the rest of the "
        "call, the way to the server included."
        if any(stage.stage == QUEUE and stage.many_ms for stage in scoring.stages)
        else "No request waits in a queue: both breasts of a study are one batch, and the model runs in this process."
    )
    text = (
        f"Wall times add up to the whole; {scoring.stages[-1].many_share:.1%} lies between the stages. Decoding "
        "overlaps with finding the phases, and with subtraction and MIP: it runs in several threads while the flow "
        "waits in that stage, and of the stage's wall time it gets what the threads spent in it, divided by their "
        "number. All else runs one after the other. CPU time is that of all threads of the process, so it exceeds wall "
        f"time where several compute; a server's is not in it. {queue} Taking the times made the runs "
        f"{scoring.clock_share:+.1%} longer; the figures above are of runs without."
    )
    columns = zip(*(dataclasses.astuple(stage)[1:] for stage in scoring.stages), strict=True)
    whole = StageFigures("whole", *(sum(column) for column in columns))
    rows = []
    for stage in (*scoring.stages, whole):
        if stage.one_ms or stage.many_ms:
            times = (stage.one_ms, stage.one_cpu_ms, stage.many_ms, stage.many_cpu_ms)
            rows.append((stage.stage, *(f"{time:.1f}" for time in times), f"{stage.many_share:.1%}"))
    headers = ("", "one study, ms", "CPU ms", "of many, ms a study", "CPU ms", "share")
    return Section("Stages", text, headers, tuple(rows))


def _mip_section(report: StudyReport) -> Section:
    repeats = report.options.repeats
    rows = []
    for timing in report.timings:
        spread = f"{timing.lowest_ms:.0f} to {timing.highest_ms:.0f}"
        memory = (f"{timing.over_mb:.0f}", f"{timing.peak_mb:.0f}")
        rows.append((READERS[timing.name], f"{timing.median_ms:.0f}", spread, *memory, timing.ratio.text()))
    return Section(
        "Study to MIP, beside others",
        f"From a folder to the MIP of one study, {repeats} process{'es' if repeats > 1 else ''} a contender, in turns, "
        f"each the median of three passes.{f' {ROUGH}' if repeats < FEW_ROUNDS else ''}",
        ("", "median ms", "lowest to highest", "MB over imports", "peak MB", "times ours (95 % interval)"),
        tuple(rows),
    )


def _stage_plot(scoring: ScoringFigures) -> Plot:
    small = [stage for stage in scoring.stages if stage.many_share < SMALL_STAGE]
    segments = [(stage.stage, (stage.one_ms, stage.many_ms)) for stage in scoring.stages if stage not in small]
    rest = (sum(stage.one_ms for stage in small), sum(stage.many_ms for stage in small))
    segments.append((f"others, each under {SMALL_STAGE:.0%}", rest))
    longest = max(sum(lengths[place] for _, lengths in segments) for place in (0, 1))

    def draw(axes: Axes) -> None:
        starts = [0.0, 0.0]
        for index, (name, lengths) in enumerate(segments):
            color = colormaps["tab20"](index % 20)
            drawn = axes.barh((0, 1), lengths, left=starts, label=name, color=color, edgecolor="white")
            numbers = [f"{ms:.{0 if ms >= 10 else 1}f}" if ms >= NUMBERED_SHARE * longest else "" for ms in lengths]
            axes.bar_label(drawn, numbers, label_type="center", fontsize=10)
            starts = [start + ms for start, ms in zip(starts, lengths, strict=True)]
        axes.set_yticks((0, 1), ("one study", f"of {scoring.studies}, each"), fontsize=12)
        axes.invert_yaxis()
        axes.set_xlabel("ms a study", fontsize=12)
        axes.figure.legend(fontsize=10, ncols=4, loc="outside lower center", frameon=False)

    caption = (
        "Mean wall time a study by stage, without start and end of the process; from left to right in the order of the "
        "flow."
    )
    return plot("Where the time of a study goes", caption, draw, (8, 3.1))
