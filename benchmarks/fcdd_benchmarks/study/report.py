"""What `fcdd-bench study` measured -> its report."""

import dataclasses
from typing import Any

from fcdd_benchmarks.report.write import Metric, Plot, Report, Section
from fcdd_benchmarks.study.figures import StageFigures, StudyFigures, figures_of
from fcdd_benchmarks.study.mip_contest import CONTENDERS, MipTiming
from fcdd_benchmarks.study.run import StudyOptions, StudyTimes
from fcdd_benchmarks.study.scored_studies import Scoring
from fcdd_benchmarks.study.stage_times import QUEUE
from fcdd_benchmarks.timing.machine import machine_facts
from fcdd_benchmarks.timing.plots import ratio_bars
from fcdd_benchmarks.timing.stage_plots import stacked_bars
from fcdd_benchmarks.timing.summary import FEW_ROUNDS, NOISY, ROUGH, Percentile
from fcdd_benchmarks.timing.timed_model import IDENTITY_HEADERS

PACKAGES = ("fcdd-edge", "numpy", "pydicom", "onnxruntime", "tritonclient", "SimpleITK", "imagecodecs")
PLOT_NAMES = {"ours": "fcdd-edge", "simpleitk": "SimpleITK", "limit": "limit: read and one maximum"}
SMALL_STAGE = 0.02
"""Stages with a smaller share are one segment of the plot."""
SHOWN_MS = 0.05
"""Less is no row of its own: it did not take part, as a queue in this process."""


def study_report(options: StudyOptions, times: StudyTimes, command: str) -> Report:
    """Put figures, plots and what they were measured on together."""
    figures = figures_of(times.scoring) if times.scoring else None
    scored = [] if times.scoring is None or figures is None else [(times.scoring, figures)]
    return Report(
        benchmark="study",
        title=_title(options, figures),
        lead=_lead(options, figures),
        command=command,
        machine=machine_facts(PACKAGES),
        sections=(
            *(section for pair in scored for section in _scoring_sections(*pair)),
            _contest(options, times),
            *_models(times),
        ),
        plots=(*(_stage_plot(figures) for _, figures in scored), _ratio_plot(times.timings)),
        metrics=(*(metric for pair in scored for metric in _metrics(*pair)), *map(_ratio, times.timings[1:])),
        document={
            "options": _options(options),
            "models": [dataclasses.asdict(one.model) for one, _ in scored],
            "timings": [dataclasses.asdict(timing) for timing in times.timings],
            "scoring": dataclasses.asdict(figures) | {"model": scored[0][0].label} if figures else None,
        },
    )


def _title(options: StudyOptions, figures: StudyFigures | None) -> str:
    what = (
        f"{options.shape.slices} slices of {options.shape.size} x {options.shape.size}, {options.shape.transfer_syntax}"
    )
    if figures is None:
        return f"Study to MIP: {what}"
    return f"{figures.studies_per_hour.value:,.0f} studies an hour: {what}"


def _lead(options: StudyOptions, figures: StudyFigures | None) -> str:
    drawn = f"Drawn studies with {options.shape.phases} phases on disk, read from the page cache. "
    checked = "The MIPs equal those of pydicom and plain NumPy bit for bit"
    if figures is None:
        return f"{drawn}{checked}."
    state = (
        f"The machine was too noisy: from round to round the mean moved by {figures.spread:.0%}. Measure again."
        if figures.noisy
        else f"The machine held still: from round to round the mean moved by {figures.spread:.1%} (noisy: {NOISY:.0%})."
    )
    return f"{drawn}{checked}, and every timed run wrote the result.json files that fcdd-score writes. {state}"


def _scoring_sections(scoring: Scoring, figures: StudyFigures) -> tuple[Section, Section, Section]:
    rows = (
        ("studies an hour", _interval(figures.studies_per_hour, "{:,.0f}")),
        (f"ms a study, {figures.studies} studies one after the other", _interval(figures.many_ms)),
        ("ms a study, a process for one study, without its start", _interval(figures.one_ms)),
        ("ms for start and end of a process: imports, opening the model", _interval(figures.start_ms)),
    )
    headline = Section(
        "DICOM to result",
        f"{scoring.label}. fcdd-score as it is, in fresh processes, {len(scoring.many)} rounds; means with 95 % "
        "intervals (the start: median and range). Studies an hour are those of one process without its start.",
        ("", "value (interval)"),
        rows,
    )
    return headline, _stage_section(scoring, figures), _memory_section(figures)


def _stage_section(scoring: Scoring, figures: StudyFigures) -> Section:
    rest = figures.stages[-1]
    return Section(
        "Stages",
        f"Wall times add up to the whole; {rest.many_share:.1%} lies between the stages. Decoding overlaps with "
        "finding the phases, and with subtraction and MIP: it runs in "
        f"{_counted(scoring.threads, 'thread')} while the flow waits in that stage, and of the stage's wall time it "
        "gets what the threads spent in it, divided by their number. All else runs one after the other. CPU time is "
        "that of all threads of the process, so it exceeds wall time where several compute; a server's is not in it. "
        f"{_about_queue(scoring, figures)} Taking the times made the runs {figures.clock_share:+.1%} longer; the "
        "figures above are of runs without.",
        ("", "one study, ms", "CPU ms", "of many, ms a study", "CPU ms", "share"),
        tuple(
            _stage_row(stage) for stage in (*figures.stages, _total(figures.stages)) if stage.many_ms or stage.one_ms
        ),
    )


def _about_queue(scoring: Scoring, figures: StudyFigures) -> str:
    if any(stage.stage == QUEUE and stage.many_ms for stage in figures.stages):
        return (
            "Queue is Triton's own count of how long requests waited for a batch or the model; infer is the rest of "
            "the call, the way to the server included."
        )
    return "No request waits in a queue: both breasts of a study are one batch, and the model runs in this process."


def _total(stages: tuple[StageFigures, ...]) -> StageFigures:
    numbers = [dataclasses.astuple(stage)[1:] for stage in stages]
    return StageFigures("whole", *(sum(column) for column in zip(*numbers, strict=True)))


def _stage_row(stage: StageFigures) -> tuple[str, ...]:
    times = (stage.one_ms, stage.one_cpu_ms, stage.many_ms, stage.many_cpu_ms)
    return (stage.stage, *(f"{value:.1f}" for value in times), f"{stage.many_share:.1%}")


def _memory_section(figures: StudyFigures) -> Section:
    rows = (
        ("everything imported, model opened", _interval(figures.ready_mb, "{:.0f}")),
        ("over that, one study", _interval(figures.one_over_mb)),
        (f"over that, {figures.studies} studies", _interval(figures.many_over_mb)),
        (f"peak of the process, {figures.studies} studies", _interval(figures.peak_mb, "{:.0f}")),
    )
    text = "Resident memory of the process, without the page cache of the files: median and range of the rounds."
    return Section("Memory", text, ("", "MB (range)"), rows)


def _contest(options: StudyOptions, times: StudyTimes) -> Section:
    rough = f" {ROUGH}" if options.repeats < FEW_ROUNDS else ""
    return Section(
        "Study to MIP, beside others",
        f"From a folder to the MIP of one study, {_counted(options.repeats, 'process')} a contender, in turns, each "
        f"the median of three passes.{rough}",
        ("", "median ms", "lowest to highest", "MB over imports", "peak MB", "times ours (95 % interval)"),
        tuple(_contest_row(timing) for timing in times.timings),
    )


def _models(times: StudyTimes) -> tuple[Section, ...]:
    return () if times.scoring is None else (Section("Model", "", IDENTITY_HEADERS, (times.scoring.model.row(),)),)


def _contest_row(timing: MipTiming) -> tuple[str, ...]:
    return (
        CONTENDERS[timing.name],
        f"{timing.median_ms:.0f}",
        f"{timing.lowest_ms:.0f} to {timing.highest_ms:.0f}",
        f"{timing.over_mb:.0f}",
        f"{timing.peak_mb:.0f}",
        _interval(timing.ratio, "{:.2f}"),
    )


def _interval(value: Percentile, form: str = "{:.1f}") -> str:
    return f"{form.format(value.value)} ({form.format(value.low)} to {form.format(value.high)})"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "es" if what.endswith("s") else "s")


def _stage_plot(figures: StudyFigures) -> Plot:
    large = [stage for stage in figures.stages if stage.many_share >= SMALL_STAGE]
    small = [stage for stage in figures.stages if stage.many_share < SMALL_STAGE]
    segments = [(stage.stage, (stage.one_ms, stage.many_ms)) for stage in large]
    rest = (sum(stage.one_ms for stage in small), sum(stage.many_ms for stage in small))
    bars = ("one study", f"of {figures.studies}, each")
    return Plot(
        "Where the time of a study goes",
        stacked_bars(bars, [*segments, (f"others, each under {SMALL_STAGE:.0%}", rest)], "ms a study"),
        "png",
        "Mean wall time a study by stage, without start and end of the process; from left to right in the order of "
        "the flow.",
    )


def _ratio_plot(timings: list[MipTiming]) -> Plot:
    return Plot(
        "Study to MIP against fcdd-edge",
        ratio_bars([PLOT_NAMES[one.name] for one in timings], [one.ratio for one in timings], "times ours"),
        "png",
        "Ratio of the median times with 95 % bootstrap intervals; less is faster.",
    )


def _metrics(scoring: Scoring, figures: StudyFigures) -> tuple[Metric, ...]:
    rate, one, memory = figures.studies_per_hour, figures.one_ms, figures.many_over_mb
    return (
        Metric(f"{scoring.label}: studies an hour", rate.value, rate.low, rate.high, "higher", "studies/h"),
        Metric(f"{scoring.label}: one study", one.value, one.low, one.high, "lower", "ms"),
        Metric(f"{scoring.label}: memory of scoring", memory.value, memory.low, memory.high, "lower", "MB"),
    )


def _ratio(timing: MipTiming) -> Metric:
    """Compare by ratios, in which the machine's speed cancels: a contender should stay as much slower as it was."""
    ratio = timing.ratio
    return Metric(f"{timing.name}, times ours", ratio.value, ratio.low, ratio.high, "higher", "times")


def _options(options: StudyOptions) -> dict[str, Any]:
    plain = dataclasses.asdict(options)
    shape, scoring = plain.pop("shape"), plain.pop("scoring") or {}
    model = {"model": scoring["model"].name} if scoring.get("model") else {}
    return {**shape, **plain, **scoring, **model}
