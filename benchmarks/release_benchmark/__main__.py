"""`python -m release_benchmark`: all benchmarks of a release, step by step, and the pages that show them."""

import os
import time

import click

from fcdd_runtime.commands import ending_in_order, reporting_errors
from release_benchmark.setting import Setting
from release_benchmark.steps import STEPS

MINUTES = 20
"""That all steps together should take on two cores."""


@click.command()
@click.option(
    "--from", "first", type=click.Choice(list(STEPS)), help="Begin with this step; the former ones' files are kept."
)
@click.option("--step", "chosen", multiple=True, type=click.Choice(list(STEPS)), help="Run only this; repeatable.")
@click.option(
    "--small", is_flag=True, help="Few images and rounds, into bench_out/small: to try the steps, not to quote."
)
@reporting_errors
def main(first: str | None, chosen: tuple[str, ...], small: bool) -> None:
    """Run the benchmarks of a release from the root of a checkout; the steps are run in order."""
    setting = Setting.of(small=small, reference_data=os.environ.get("FCDD_REFERENCE_DATA"))
    names = list(STEPS)[list(STEPS).index(first) if first else 0 :]
    with ending_in_order():
        taken_s: dict[str, float] = {}
        for name in names:
            if not chosen or name in chosen:
                click.echo(f"== {name}: {STEPS[name].__doc__}")
                started = time.perf_counter()
                STEPS[name](setting)
                taken_s[name] = time.perf_counter() - started
    for name, seconds in taken_s.items():
        click.echo(f"{name:20} {seconds:6.0f} s")
    click.echo(
        f"{'all':20} {sum(taken_s.values()):6.0f} s; everything should take less than {MINUTES * 60} s on two cores"
    )


if __name__ == "__main__":
    main(prog_name="python -m release_benchmark")
