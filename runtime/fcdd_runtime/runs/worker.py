"""A process for what needs files from outside, within limits, so that no study costs another one anything.

Files from outside can make a reader crash, loop or swell, whatever was thought of. So reading, preparing and writing
run in a process of their own; when it ends, or meets a limit, that study has an error and the next one a new process.
"""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar, cast

from fcdd_runtime.errors import FcddError, StudyError

T = TypeVar("T")

PR_SET_PDEATHSIG = 1
"""From Linux's prctl.h."""
M_ARENA_MAX = -8
"""From glibc's malloc.h."""
_WITH_THREADS = ("grpc", "onnxruntime", "pycuda", "torch")
"""Once one of these is imported, threads may hold locks that a copy of this process would wait for."""


@dataclass(frozen=True)
class Limits:
    """What one call may take."""

    memory_bytes: int = 1300 * 2**20
    """Of data: heap, stacks and anonymous memory. Two phases of 200 slices of 512 x 512 pixels take 0.3 GB."""
    cpu_s: int = 600
    """Of all threads. 1,200 slices in JPEG 2000, the slowest, take 30 s on two cores of a server."""
    wall_s: float = 1800.0
    """For files that come over a slow network too."""


@dataclass(frozen=True)
class _Raised:
    error: Exception


@dataclass(frozen=True)
class _Broken:
    """What a call ended with that is not foreseen."""

    what: str
    """Kind of the error, and where in our code it left it: no text of its own, which may repeat what is in a header."""


class Worker:
    """A process beside this one that calls functions, one at a time.

    Made before a model is opened it is a copy of this process and ready at once; later, and after a study has ended it,
    it is a new one that imports for half a second.
    """

    def __init__(self, limits: Limits | None = None):
        self._limits = limits or Limits()
        self._process: BaseProcess | None = None
        self._connection: Connection
        self._start()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function of a module there, and return what it returns. Everything goes through pickle.

        Raises
        ------
        StudyError
            With the code `limits`, if the call took more than it may, the process ended, or something unforeseen was
            raised.
        FcddError, OSError
            What the function raised.
        """
        if self._process is None:
            self._start()
        try:
            self._connection.send((function, arguments))
            in_time = self._connection.poll(self._limits.wall_s)
            answer = self._connection.recv() if in_time else None
        except (EOFError, ConnectionError) as error:
            raise self._ended("") from error
        except BaseException:
            # A signal, for one: whatever the process still does is of no use.
            self._stop()
            raise
        if not in_time:
            raise self._ended(f"took longer than {self._limits.wall_s:g} s")
        if isinstance(answer, _Raised):
            raise answer.error
        if isinstance(answer, _Broken):
            raise _over_limits(answer.what)
        return cast(T, answer)

    def _start(self) -> None:
        way = "spawn" if any(name in sys.modules for name in _WITH_THREADS) else "fork"
        context = multiprocessing.get_context(way)
        ours, theirs = context.Pipe()
        with theirs:
            self._process = context.Process(  # type: ignore[attr-defined]  # of either kind
                target=_serve, args=(theirs, ours if way == "fork" else None, self._limits), daemon=True
            )
            self._process.start()
        self._connection = ours

    def _ended(self, why: str) -> StudyError:
        code = self._stop()
        if not why and code == -signal.SIGXCPU:
            why = f"took more than {self._limits.cpu_s} s of the processor"
        return _over_limits(why or f"ended the process that read it ({_exit_words(code)})")

    def _stop(self) -> int:
        if self._process is None:
            return 0
        self._connection.close()
        process, self._process = self._process, None
        # One that has ended by itself says why; any other has nothing left to do.
        process.join(0.1)
        process.kill()
        process.join()
        return process.exitcode or 0


def _over_limits(what: str) -> StudyError:
    return StudyError(f"this input {what}; check its files with another viewer, and report it to us", "limits")


def _exit_words(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _serve(connection: Connection, other_end: Connection | None, limits: Limits) -> None:
    """Be the worker: call what is asked for until the other side closes the connection."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Else each small allocation at the limit tries a new arena for itself, and the call crawls on instead of failing.
    libc.mallopt(M_ARENA_MAX, 1)
    if other_end is not None:
        other_end.close()
    # Ctrl-C on a terminal reaches every process; the program ends this one in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Decoders print what they like, values of headers included.
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silence, descriptor)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    memory = limits.memory_bytes if hard == resource.RLIM_INFINITY else min(limits.memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, hard))
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            function, arguments = connection.recv()
            used = resource.getrusage(resource.RUSAGE_SELF)
            allowed = int(used.ru_utime + used.ru_stime) + limits.cpu_s
            resource.setrlimit(resource.RLIMIT_CPU, (allowed, resource.getrlimit(resource.RLIMIT_CPU)[1]))
            connection.send(_answer(function, arguments, limits))


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...], limits: Limits) -> Any:
    try:
        return function(*arguments)
    except (FcddError, OSError) as error:
        # Only the sentence travels: what it came from can hold anything.
        error.__cause__ = error.__context__ = error.__traceback__ = None
        return _Raised(error)
    except MemoryError:
        return _Broken(f"needs more than {limits.memory_bytes / 2**30:.1f} GB of memory")
    except Exception as error:  # whatever it is, it belongs to this call alone
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames[1:] if "fcdd_runtime" in frame.filename][-1:]
        where = "".join(f" in {Path(frame.filename).name}, line {frame.lineno}" for frame in ours)
        return _Broken(f"met a fault of this program ({type(error).__name__}{where})")
