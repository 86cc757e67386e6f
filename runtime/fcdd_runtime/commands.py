"""What all commands share: known errors become one sentence and an exit code, and signals an orderly end."""

import functools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec

import click

from fcdd_runtime.errors import FcddError

P = ParamSpec("P")

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class PathOption(click.Path):
    """A path. The empty string, which a forgotten shell variable leaves, is refused: it would be the current folder."""

    def __init__(self, **options: Any):
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if value == "":
            self.fail("an empty path was given", param, ctx)
        return super().convert(value, param, ctx)


def reporting_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command: an FcddError or an operating system's refusal is printed and ends it, without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except FcddError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(error.exit_code)
        except OSError as error:
            click.echo(f"Error: {error.strerror or error}: {error.filename or 'unknown file'}", err=True)
            sys.exit(2)

    return wrapped


@contextmanager
def ending_in_order(exit_code: int | None = None) -> Iterator[None]:
    """Make SIGTERM, SIGINT and SIGHUP leave through the context managers, which stop servers and remove scratch files.

    Parameters
    ----------
    exit_code : what the program then ends with; None: 128 plus the signal's number, as shells count
    """

    def leave(number: int, _: object) -> None:
        for other in ENDING_SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number if exit_code is None else exit_code)

    former = {number: signal.signal(number, leave) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
