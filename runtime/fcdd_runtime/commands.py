"""What all commands share: known errors become one sentence and an exit code, and signals an orderly end."""

import errno
import functools
import signal
import sys
import tempfile
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
            _end(error, _sentence_of(error), 2)

    return wrapped


def _sentence_of(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            "no space is left where files are written; free some where the results go and in the folder of temporary "
            f"files ({tempfile.gettempdir()}, or what TMPDIR names)"
        )
    return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")


def _end(error: FcddError | OSError, sentence: str, exit_code: int) -> NoReturn:
    LOG.error("command failed", sentence=for_log(error), exit_code=exit_code)
    complain(f"Error: {sentence}")
    sys.exit(exit_code)


_deferred: list[int] | None = None
"""Exit codes of signals that came while they were deferred; None while they take effect at once."""


@contextmanager
def deferring_signals() -> Iterator[None]:
    """Let `ending_in_order` wait until the context ends: inside the import of a C module its exit would be lost."""
    global _deferred  # noqa: PLW0603  (handlers of signals are global too)
    waiting: list[int] = []
    _deferred = waiting
    try:
        yield
    finally:
        _deferred = None
    if waiting:
        sys.exit(waiting[0])


@contextmanager
def ending_in_order(exit_code: int | None = None) -> Iterator[None]:
    """Make SIGTERM, SIGINT and SIGHUP leave through the context managers, which stop servers and remove scratch files.

    Parameters
    ----------
    exit_code : what the program then ends with; None: 128 plus the signal's number, as shells count
    """
    code = 0

    def leave(number: int, _: object) -> None:
        nonlocal code
        for other in ENDING_SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        code = 128 + number if exit_code is None else exit_code
        if _deferred is None:
            sys.exit(code)
        _deferred.append(code)

    def leave_again(lost: "sys.UnraisableHookArgs") -> None:
        # Where the signal came inside a destructor or a callback, Python drops the exit and goes on.
        if isinstance(lost.exc_value, SystemExit):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
        else:
            former_hook(lost)

    former_hook, sys.unraisablehook = sys.unraisablehook, leave_again
    former = {number: signal.signal(number, leave) for number in ENDING_SIGNALS}
    former[signal.SIGALRM] = signal.signal(signal.SIGALRM, lambda *_: sys.exit(code))
    try:
        yield
    finally:
        sys.unraisablehook = former_hook
        for number, handler in former.items():
            signal.signal(number, handler)
