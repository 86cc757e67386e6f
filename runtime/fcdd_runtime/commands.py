"""What all commands share: known errors become one sentence and an exit code."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import click

from fcdd_runtime.errors import FcddError

P = ParamSpec("P")


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
