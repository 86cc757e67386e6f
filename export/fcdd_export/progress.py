"""Progress of the steps that take more than a moment, on a terminal only: a log gets no bars."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Sequence[Item], label: str) -> Iterable[Item]:
    """Return the items, and draw a bar of how many were taken where standard error is a terminal."""
    if not sys.stderr.isatty():
        return items
    # Imported on demand: an appliance builds engines without it, and says what else is missing.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import track as rich_track  # noqa: PLC0415

    console = Console(stderr=True)
    return rich_track(items, description=label, console=console, transient=True)


@contextmanager
def build_progress(label: str) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that takes a phase's name, its steps done and their number, and draws a bar for each phase."""
    if not sys.stderr.isatty():
        yield lambda phase, done, steps: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress, TaskID  # noqa: PLC0415

    console = Console(stderr=True)
    tasks: dict[str, TaskID] = {}
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:

        def show(phase: str, done: int, steps: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(f"{label}: {phase}")
            bars.update(tasks[phase], completed=done, total=steps)

        yield show
