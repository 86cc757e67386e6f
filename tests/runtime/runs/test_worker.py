"""The worker: what goes wrong in it costs one call, and says what it was."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fcdd_runtime.errors import ImageError, StudyError
from fcdd_runtime.runs.worker import Limits, Worker

LIMITS = Limits(memory_bytes=600 * 2**20, cpu_s=2, wall_s=8.0)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker(LIMITS) as worker:
        yield worker


def double(value: int) -> int:
    return 2 * value


def refuse(kind: type[Exception], sentence: str) -> None:
    raise StudyError(sentence, "damaged") if kind is StudyError else kind(sentence)


def swell(_: int) -> int:
    return int(np.ones(2**30, np.uint8).sum())


def loop(_: int) -> None:
    while True:
        pass


def sleep(_: int) -> None:
    time.sleep(60)


def end(number: int) -> None:
    os.kill(os.getpid(), number)


def leave(code: int) -> None:
    os._exit(code)


def index_nothing(_: int) -> int:
    return [1][int("5")]


def print_something(_: int) -> None:
    os.write(1, b"DOE JANE")
    os.write(2, b"DOE JANE")


@pytest.mark.parametrize(
    ("function", "argument", "words"),
    [
        (swell, 0, "needs more than 0.6 GB of memory"),
        (loop, 0, "took more than 2 s of the processor"),
        (sleep, 0, "took longer than 8 s"),
        (end, signal.SIGSEGV, "ended the process that read it .SIGSEGV"),
        (end, signal.SIGKILL, "SIGKILL"),
        (leave, 3, "exit code 3"),
        (index_nothing, 0, r"a fault of this program \(IndexError\)"),
    ],
)
def test_a_call_that_goes_wrong_is_an_error_and_the_next_one_is_answered(
    worker: Worker, function: object, argument: int, words: str
) -> None:
    with pytest.raises(StudyError, match=words) as caught:
        worker.call(function, argument)  # type: ignore[arg-type]
    assert caught.value.code == "limits"
    assert worker.call(double, 21) == 42


@pytest.mark.parametrize("kind", [StudyError, ImageError, FileNotFoundError])
def test_known_errors_come_back_as_they_are(worker: Worker, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="as it is") as caught:
        worker.call(refuse, kind, "as it is")
    assert getattr(caught.value, "code", "damaged") == "damaged"


def test_what_is_printed_there_reaches_nobody(worker: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    worker.call(print_something, 0)
    assert capfd.readouterr() == ("", "")


def test_no_process_is_left() -> None:
    with Worker(LIMITS) as worker:
        process = worker.call(os.getpid)
        assert Path(f"/proc/{process}").exists()
    assert not Path(f"/proc/{process}").exists()
    assert multiprocessing.active_children() == [] or process not in [
        child.pid for child in multiprocessing.active_children()
    ]


def test_a_worker_ends_with_a_program_that_is_killed(tmp_path: Path) -> None:
    """A program that is killed stops nothing in order: the kernel has to."""
    program = (
        "import os, signal, time\n"
        "from fcdd_runtime.runs.worker import Worker\n"
        "worker = Worker()\n"
        "print(worker.call(os.getpid), flush=True)\n"
        "worker._connection.send((time.sleep, (60,)))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    with os.popen(f"{sys.executable} {script} 2>/dev/null") as output:
        process = int(output.readline())
    limit = time.monotonic() + 10
    while Path(f"/proc/{process}").exists() and time.monotonic() < limit:
        time.sleep(0.05)
    assert not Path(f"/proc/{process}").exists()
