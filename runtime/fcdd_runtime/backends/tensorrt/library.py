"""TensorRT in its two flavours, imported on demand, and the one log that a process has for each."""

import functools
import importlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from typing import Any, Literal, NamedTuple, get_args

from fcdd_runtime.errors import MissingExtraError, one_line

Flavour = Literal["tensorrt", "tensorrt-rtx"]
FLAVOURS: tuple[Flavour, ...] = get_args(Flavour)
ERROR_LEVELS = ("INTERNAL_ERROR", "ERROR")


@dataclass(frozen=True)
class Package:
    """Where a flavour comes from."""

    title: str
    """NVIDIA's name for it."""
    module: str
    extra: str
    """The extra of this distribution that installs it."""


PACKAGES: dict[str, Package] = {
    "tensorrt": Package("TensorRT", "tensorrt", "tensorrt"),
    "tensorrt-rtx": Package("TensorRT-RTX", "tensorrt_rtx", "rtx"),
}


class Message(NamedTuple):
    """A line of the library's log."""

    level: str
    """`INTERNAL_ERROR`, `ERROR`, `WARNING`, `INFO` or `VERBOSE`."""
    text: str


class LibraryLog:
    """Receives all that one flavour says in this process; its threads may all write here at once.

    TensorRT keeps the first logger that it is given and ignores later ones, so there is one for the process.
    """

    def __init__(self, library: Any):
        self._kept: list[list[Message]] = []
        self._errors: deque[str] = deque(maxlen=1)
        note = self._note

        class Logger(library.ILogger):  # type: ignore[misc]  # the base class is known at run time only
            def __init__(self) -> None:
                library.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                note(severity.name, message)

        self.logger = Logger()
        """The library's `ILogger`."""

    @contextmanager
    def kept(self) -> Iterator[list[Message]]:
        """Give a list that receives all messages until the context ends."""
        messages: list[Message] = []
        self._kept.append(messages)
        try:
            yield messages
        finally:
            self._kept = [others for others in self._kept if others is not messages]

    def last_error(self) -> str:
        """Return the last error in one line, or that none was logged."""
        return one_line(self._errors[-1]) if self._errors else "no reason given"

    def _note(self, level: str, text: str) -> None:
        if level in ERROR_LEVELS:
            self._errors.append(text)
        for messages in self._kept:
            messages.append(Message(level, text))


def installed_flavours() -> list[Flavour]:
    """Return the flavours whose packages are installed."""
    return [flavour for flavour in FLAVOURS if util.find_spec(PACKAGES[flavour].module) is not None]


@functools.cache
def load_library(flavour: Flavour) -> Any:
    """Import a flavour.

    Raises
    ------
    MissingExtraError
        If it is not installed, or its shared libraries cannot be loaded.
    """
    package = PACKAGES[flavour]
    try:
        return importlib.import_module(package.module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{package.title} is not installed: pip install 'fcdd-edge[{package.extra}]'"
        ) from error
    except (ImportError, OSError) as error:
        raise MissingExtraError(
            f"{package.title} cannot be loaded ({one_line(error)}); install it again: "
            f"pip install --force-reinstall 'fcdd-edge[{package.extra}]'"
        ) from error


@functools.cache
def library_log(flavour: Flavour) -> LibraryLog:
    """Return the process's log of a flavour."""
    return LibraryLog(load_library(flavour))
