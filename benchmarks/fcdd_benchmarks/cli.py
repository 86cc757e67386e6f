"""fcdd-bench: parse, call one function, map known errors to exit codes."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from fcdd_benchmarks.accuracy.findings import AccuracyOptions
from fcdd_benchmarks.accuracy.run import run_accuracy_benchmark
from fcdd_benchmarks.drift.report import drift_report
from fcdd_benchmarks.drift.run import DriftOptions, find_drift
from fcdd_benchmarks.latency.run import BATCH_SIZES, CONCURRENCIES, LatencyOptions, measure_latency
from fcdd_benchmarks.report.write import write_report
from fcdd_benchmarks.study.drawn_study import StudyShape
from fcdd_benchmarks.study.run import StudyOptions, measure_studies
from fcdd_benchmarks.study.scored_studies import ScoringOptions
from fcdd_runtime.commands import PathOption, ending_in_order, reporting_errors
from fcdd_runtime.errors import GateError, MissingExtraError

PRECISIONS = ("fp32", "fp16", "int8")
SYNTAXES = ["native", "rle", "jpeg-lossless", "jpeg-ls", "jpeg-2000"]


@click.group()
def main() -> None:
    """Measure this machine. Every figure comes with what it was measured on and against."""


@main.command()
@click.option("--slices", type=click.IntRange(8, 1000), default=160, show_default=True, help="Slices a phase.")
@click.option("--size", type=click.IntRange(64, 1024), default=448, show_default=True, help="Rows and columns.")
@click.option(
    "--phases", type=click.IntRange(2, 12), default=2, show_default=True, help="Phases on disk; two are used."
)
@click.option("--transfer-syntax", type=click.Choice(SYNTAXES), default="native", show_default=True)
@click.option("--repeats", type=click.IntRange(1, 100), default=9, show_default=True, help="Processes a contender.")
@click.option("--model", type=PathOption(file_okay=False), help="Exported model folder: score, too.")
@click.option("--url", help="Model on a Triton server, grpc://HOST:PORT/MODEL: score, too.")
@click.option("--studies", type=click.IntRange(2, 1000), default=8, show_default=True, help="Scored in one call.")
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Of scoring.")
@click.option("--dicom", is_flag=True, help="Write DICOM objects, too, as fcdd-score --dicom.")
@click.option("--out", type=PathOption(file_okay=False), default=Path("bench_out"), show_default=True)
@reporting_errors
def study(model: Path | None, url: str | None, rounds: int, dicom: bool, out: Path, **others: Any) -> None:
    """Time studies from files to results by stage, and to the MIP beside SimpleITK and the physical limit."""
    if model is not None and url is not None:
        raise click.UsageError("give --model or --url, not both")
    scoring = None if model is None and url is None else ScoringOptions(model, url, dicom, rounds)
    try:
        from fcdd_benchmarks.study.report import study_report  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{error.name} is not installed; pip install 'fcdd-edge[bench]'") from error
    shape = StudyShape(**{field: others.pop(field) for field in StudyShape.__annotations__})
    options = StudyOptions(shape=shape, scoring=scoring, **others)
    with ending_in_order():
        click.echo(write_report(study_report(options, measure_studies(options), _command_line()), out))


@main.command(context_settings={"show_default": True})
@click.option("--images", required=True, type=PathOption(), help="Folder with `normal` and `anomalous`.")
@click.option(
    "--model", "models", multiple=True, type=PathOption(), help="Exported model folder; the first is compared with."
)
@click.option("--url", "urls", multiple=True, help="Model on a Triton server: grpc://HOST:PORT/MODEL.")
@click.option("--masks", type=PathOption(), help="Lesion masks, named as the anomalous images; default: IMAGES/masks.")
@click.option("--groups", type=PathOption(), help="CSV file image,group, such as patients; default: IMAGES/groups.csv.")
@click.option("--reference", type=PathOption(), help="For networks that compare two images, as in fcdd-score.")
@click.option(
    "--prevalence", type=click.FloatRange(0, 1, True, True), default=0.02, help="That precision is given for."
)
@click.option("--sensitivity", type=click.FloatRange(0, 1, True), default=0.95, help="Of the proposed operating point.")
@click.option("--resamples", type=click.IntRange(100, 100_000), default=2000, help="Of the bootstrap.")
@click.option(
    "--round-fp16", is_flag=True, help="Run FP16 models of --model with every tensor rounded to half, as GPUs do."
)
@click.option("--out", type=PathOption(file_okay=False), default=Path("bench_out"))
@reporting_errors
def accuracy(models: tuple[Path, ...], urls: tuple[str, ...], out: Path, **options: Any) -> None:
    """Judge models on labelled images, and propose an operating point for `fcdd-export --operating-point`."""
    if not models and not urls:
        raise click.UsageError("give --model or --url")
    with ending_in_order():
        report = run_accuracy_benchmark(AccuracyOptions(models=models, urls=urls, **options), _command_line(), out)
    click.echo(report)


@main.command(context_settings={"show_default": True})
@click.argument("base", type=PathOption())
@click.argument("new", type=PathOption())
@click.option(
    "--slower-by", type=click.FloatRange(0), default=0.05, help="Allowed change of figures with a unit, share."
)
@click.option(
    "--less-accurate-by",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Allowed change of the others; at least 0.0001.",
)
@click.option("--out", type=PathOption(file_okay=False), default=Path("bench_out"))
@reporting_errors
def drift(base: Path, new: Path, slower_by: float, less_accurate_by: float, out: Path) -> None:
    """Compare two reports of a kind (report.json, or its folder).

    Ends with 3 if a figure got worse or is gone, or an anomalous image is no longer flagged.
    """
    found = find_drift(base, new, DriftOptions(slower_by, less_accurate_by))
    click.echo(write_report(drift_report(found, _command_line()), out))
    if found.worse:
        raise GateError(f"{len(found.worse)} findings: {'; '.join(found.worse)}")


@main.command()
@click.option("--model", "models", type=PathOption(file_okay=False), multiple=True, help="Exported model folder.")
@click.option("--url", "urls", multiple=True, help="Model on a Triton server, grpc://HOST:PORT/MODEL.")
@click.option("--batch", "batches", type=click.IntRange(1, 1024), multiple=True, default=BATCH_SIZES, show_default=True)
@click.option(
    "--concurrency",
    "concurrencies",
    type=click.IntRange(1, 64),
    multiple=True,
    default=CONCURRENCIES,
    show_default=True,
    help="Requests under way at once.",
)
@click.option("--seconds", type=click.FloatRange(0.05, 3600), default=2.0, show_default=True, help="Each point.")
@click.option(
    "--rate",
    "rates",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    help="Poisson arrivals, requests of the smallest batch a second.",
)
@click.option(
    "--p99-limit-ms",
    type=click.FloatRange(0, min_open=True),
    help="Find the highest rate of Poisson arrivals that keeps p99 under it.",
)
@click.option("--out", type=PathOption(file_okay=False), default=Path("bench_out"), show_default=True)
@reporting_errors
def latency(
    models: tuple[Path, ...],
    urls: tuple[str, ...],
    batches: tuple[int, ...],
    concurrencies: tuple[int, ...],
    seconds: float,
    rates: tuple[float, ...],
    p99_limit_ms: float | None,
    out: Path,
) -> None:
    """Time exported models by batch size and concurrency; --model, --url and other options may be repeated."""
    try:
        from fcdd_benchmarks.latency.report import latency_report  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{error.name} is not installed; pip install 'fcdd-edge[bench]'") from error
    options = LatencyOptions(models, urls, batches, concurrencies, seconds, rates, p99_limit_ms)
    with ending_in_order():
        click.echo(write_report(latency_report(options, measure_latency(options), _command_line()), out))


@main.command()
@click.option("--snapshot", type=PathOption(file_okay=False), help="Default: the phantom-trained one, its images too.")
@click.option("--mean", help="Of the training normals' pixels (0..1), one number or three with commas.")
@click.option("--std", help="As --mean; both, where the snapshot has no normalization.json.")
@click.option("--images", type=PathOption(file_okay=False), help="MIPs to check and time on; default: drawn ones.")
@click.option("--calibration-images", type=PathOption(file_okay=False), help="For INT8; default: drawn ones.")
@click.option("--batch", type=click.IntRange(1, 64), default=8, show_default=True)
@click.option("--repeats", type=click.IntRange(3, 10000), default=20, show_default=True, help="Rounds.")
@click.option("--int8/--no-int8", default=True, help="Whether to make INT8 and let it take part.")
@click.option("--accurate-int8", is_flag=True, help="Let INT8 by the accurate method take part too; minutes to make.")
@click.option("--url", help="Model on a Triton server, grpc://HOST:PORT/MODEL: what a call costs beyond the model.")
@click.option("--out", type=PathOption(file_okay=False), default=Path("bench_out"), show_default=True)
@reporting_errors
def compare(snapshot: Path | None, mean: str | None, std: str | None, out: Path, **others: Any) -> None:
    """Run a snapshot's network through PyTorch, ONNX Runtime, OpenVINO and ours, in turns, as ratios."""
    try:
        from fcdd_benchmarks.compare.command import compare_report_of  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{error.name} is not installed; pip install 'fcdd-edge[bench,export]'") from error
    with ending_in_order():
        click.echo(write_report(compare_report_of(snapshot, mean, std, others, _command_line()), out))


@main.command(context_settings={"show_default": True})
@click.option("--network", "networks", multiple=True, help="Published class name.  [default: one each architecture]")
@click.option(
    "--precision", "precisions", multiple=True, type=click.Choice(PRECISIONS), default=PRECISIONS, help="Repeatable."
)
@click.option("--target", type=click.Choice(["python", "onnxruntime", "tensorrt-rtx", "tensorrt"]), default="python")
@click.option("--repeats", type=click.IntRange(1, 100), default=1, help="Processes for each network and precision.")
@click.option("--out", type=PathOption(file_okay=False), default=Path("bench_out"))
@reporting_errors
def export(networks: tuple[str, ...], out: Path, **others: Any) -> None:
    """Export networks of drawn weights, each in a process of its own: time, peak memory and size against limits."""
    try:
        from fcdd_benchmarks.export_cost.report import export_cost_report  # noqa: PLC0415
        from fcdd_benchmarks.export_cost.run import ExportOptions, measure_exports, named_networks  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{error.name} is not installed; pip install 'fcdd-edge[bench,export]'") from error
    options = ExportOptions(networks=named_networks(networks), **others)
    with ending_in_order():
        click.echo(write_report(export_cost_report(options, measure_exports(options)), out))


def _command_line() -> str:
    return shlex.join(["fcdd-bench", *sys.argv[1:]])
