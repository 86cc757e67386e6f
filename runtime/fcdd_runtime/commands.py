"""What all commands share: known errors become one sentence and an exit code, and signals an orderly end."""

import functools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, ParamSpec

import click

from fcdd_runtime.errors import FcddError
from fcdd_runtime.log_lines import LINE_FORMS, EventLog, LineForm, writing_log_lines
from fcdd_runtime.redaction import for_log

P = ParamSpec("P")

LOG = EventLog("fcdd_runtime")
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


def log_format_option(command: Callable[P, None]) -> Callable[P, None]:
    """Add the option `--log-format` to a command that runs long."""

    def start(context: click.Context, _: click.Parameter, form: LineForm | None) -> None:
        if form is not None:
            context.meta[__name__] = form
            context.with_resource(writing_log_lines(form))

    return click.option(
        "--log-format",
        type=click.Choice(LINE_FORMS),
        expose_value=False,
        callback=start,
        help="Write log lines to standard error, instead of sentences for people; they name nobody.",
    )(command)


def complain(sentence: str) -> None:
    """Print a sentence for people to standard error, unless log lines go there."""
    context = click.get_current_context(silent=True)
    if context is None or __name__ not in context.meta:
        click.echo(sentence, err=True)


def reporting_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command: an FcddError or an operating system's refusal is printed and ends it, without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except FcddError as error:
            _end(error, str(error), error.exit_code)
        except OSError as error:
            _end(error, f"{error.strerror or error}: {error.filename or 'unknown file'}", 2)

    return wrapped


def _end(error: FcddError | OSError, sentence: str, exit_code: int) -> NoReturn:
    LOG.error("command failed", sentence=for_log(error), exit_code=exit_code)
    complain(f"Error: {sentence}")
    sys.exit(exit_code)


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
