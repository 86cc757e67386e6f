"""fcdd-bench: parse, call one function, map known errors to exit codes."""

from pathlib import Path

import click

from fcdd_benchmarks.study import StudyOptions, run_study_benchmark
from fcdd_runtime.commands import PathOption, ending_in_order, reporting_errors

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
@click.option("--out", type=PathOption(file_okay=False), default=Path("bench_out"), show_default=True)
@reporting_errors
def study(slices: int, size: int, phases: int, transfer_syntax: str, repeats: int, out: Path) -> None:
    """Time a study from files to its MIP, beside SimpleITK and the physical limit, each in processes of its own."""
    with ending_in_order():
        report = run_study_benchmark(StudyOptions(slices, size, phases, transfer_syntax, repeats), out)
    click.echo(report)
