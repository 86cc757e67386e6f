"""Time by stage, taken from outside: functions of the product are wrapped by name while a block runs.

So the product holds no timing code. A name that is no longer there ends the block at its start.
"""

import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Watched:
    """A function whose calls belong to a stage."""

    stage: str
    module: str
    name: str
    """In that module, where it is called from, not where it is defined; of a method `Class.method`."""


@dataclass(frozen=True)
class Span:
    """One call. What other watched functions took inside it, in the same thread, is left out."""

    stage: str
    under: str | None
    """In another thread than the clock's own: the stage that the clock's thread was in; None in the clock's thread."""
    started_s: float
    """By `time.perf_counter`."""
    whole_s: float
    """Wall time with what was inside."""
    wall_s: float
    """Wall time without it."""
    cpu_s: float
    """CPU time without it; in the clock's thread that of the whole process, in others that of the thread."""


@dataclass
class _OpenCall:
    stage: str
    inside_wall_s: float = 0.0
    inside_cpu_s: float = 0.0


class StageClock:
    """Takes the time of watched functions in all threads; the thread that makes the clock is its own.

    In its own thread spans partition the wall time. Other threads' spans overlap with the stage that they name.
    """

    spans: list[Span]
    """Of calls that ended, in that order."""

    def __init__(self) -> None:
        self.spans = []
        self._own_thread = threading.get_ident()
        self._own_calls: list[_OpenCall] = []
        self._others = threading.local()

    @contextmanager
    def watching(self, functions: Sequence[Watched]) -> Iterator[None]:
        """Watch functions while the block runs.

        Raises
        ------
        AttributeError, ModuleNotFoundError
            If one of them is not there: it was renamed, and its stage would silently be missing.
        """
        with ExitStack() as stack:
            for watched in functions:
                timed = functools.partial(self._timed, watched.stage)
                stack.enter_context(replaced(watched.module, watched.name, timed))
            yield

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self._span(stage):
                return function(*args, **kwargs)

        return timed

    @contextmanager
    def _span(self, stage: str) -> Iterator[None]:
        own = threading.get_ident() == self._own_thread
        calls: list[_OpenCall] = self._own_calls if own else self._others.__dict__.setdefault("calls", [])
        cpu_time = time.process_time if own else time.thread_time
        under = None if own else next((call.stage for call in self._own_calls[-1:]), "")
        call = _OpenCall(stage)
        calls.append(call)
        started_s, cpu_at_start_s = time.perf_counter(), cpu_time()
        try:
            yield
        finally:
            wall, cpu = time.perf_counter() - started_s, cpu_time() - cpu_at_start_s
            calls.pop()
            if calls:
                calls[-1].inside_wall_s += wall
                calls[-1].inside_cpu_s += cpu
            own_wall, own_cpu = wall - call.inside_wall_s, cpu - call.inside_cpu_s
            self.spans.append(Span(stage, under, started_s, wall, own_wall, own_cpu))


@contextmanager
def replaced(module: str, name: str, wrap: Wrap) -> Iterator[None]:
    """Put a wrapped function in a function's place while the block runs; AttributeError if it is not there."""
    *outer, last = name.split(".")
    holder: Any = functools.reduce(getattr, outer, import_module(module))
    function = getattr(holder, last)
    setattr(holder, last, wrap(function))
    try:
        yield
    finally:
        setattr(holder, last, function)
