"""fcdd-serve with the real Triton server, as a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from fcdd_export.gate.drawn import drawn_images
from fcdd_runtime.backends import open_url
from fcdd_runtime.errors import ServerUnreachableError
from support import free_ports

T = TypeVar("T")

COMMAND = str(Path(sys.executable).parent / "fcdd-serve")


@dataclass(frozen=True)
class Served:
    process: "subprocess.Popen[str]"
    ready: str
    http: int
    log: Path


@pytest.fixture
def small_repository(repository: Path, tmp_path: Path) -> Path:
    shutil.copytree(repository / "small_fp16", tmp_path / "repo" / "small_fp16")
    return tmp_path / "repo"


@contextmanager
def serving(repo: Path, *options: str) -> Iterator[Served]:
    http, grpc, metrics = free_ports(3)
    log = repo.parent / "serve.log"
    ports = ["--http-port", str(http), "--grpc-port", str(grpc), "--metrics-port", str(metrics)]
    process = subprocess.Popen(
        [COMMAND, "--repo", str(repo), "--log", str(log), *ports, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Served(process, process.stdout.readline().strip(), http, log)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def children(pid: int) -> list[int]:
    """Processes below `pid`, at any depth, as the kernel lists them."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()


def test_it_says_ready_answers_and_stops_cleanly_on_sigterm(small_repository: Path) -> None:
    with serving(small_repository) as served:
        address = served.ready.removeprefix("ready ")
        assert served.ready.startswith("ready grpc://127.0.0.1:")
        with open_url(f"{address}/small_fp16") as backend:
            scores, _ = backend.infer({"mip": drawn_images(2)})
        assert np.isfinite(scores).all()
        below = children(served.process.pid)
        served.process.send_signal(signal.SIGTERM)
        output, errors = served.process.communicate(timeout=60)
        assert (served.process.returncode, output, errors) == (0, "", "")
    assert not [pid for pid in below if alive(pid)]
    with pytest.raises(ServerUnreachableError):
        open_url(f"{address}/small_fp16")
    assert "Started GRPCInferenceService" in served.log.read_text()


def test_its_log_lines_tell_start_and_stop(small_repository: Path) -> None:
    with serving(small_repository, "--log-format", "json") as served:
        served.process.send_signal(signal.SIGTERM)
        output, errors = served.process.communicate(timeout=60)
    assert output == ""
    started, stopped = (json.loads(line) for line in errors.splitlines())
    assert (started["event"], started["models"], stopped["event"]) == ("server started", 1, "server stopped")


def test_it_ends_when_the_models_process_has_died(small_repository: Path) -> None:
    with serving(small_repository, "--canary-interval", "1") as served:
        [stub] = [pid for pid in children(served.process.pid) if "python_backend_stub" in name_of(pid)]
        os.kill(stub, signal.SIGKILL)
        _, errors = served.process.communicate(timeout=90)
        assert served.process.returncode == 2
        assert errors.startswith("Error: ")
        assert "Traceback" not in errors


def get(port: int, path: str, method: str = "GET") -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0  # nobody listens there yet


def test_what_could_change_models_or_read_memory_is_closed(small_repository: Path) -> None:
    with serving(small_repository) as served:
        assert eventually(lambda: get(served.http, "/v2/health/live"), lambda status: status == 200) == 200
        for path, method in (
            ("/v2/repository/index", "POST"),
            ("/v2/repository/models/small_fp16/unload", "POST"),
            ("/v2/systemsharedmemory/status", "GET"),
            ("/v2/logging", "GET"),
            ("/v2/trace/setting", "GET"),
        ):
            assert get(served.http, path, method) == 403, path


def test_it_listens_on_loopback_alone(small_repository: Path) -> None:
    with serving(small_repository) as served:
        local = eventually(lambda: listening_addresses(served.process.pid), lambda found: len(found) == 3)
    assert len(local) == 3  # gRPC, HTTP, metrics
    assert all(address.split(":")[0].endswith("0100007F") for address in local), local  # 127.0.0.1, also in IPv6


def listening_addresses(pid: int) -> list[str]:
    """Local addresses, as the kernel writes them, on which a process or one below it listens."""
    pids = [pid, *children(pid)]
    inodes = {str(link.readlink()) for pid in pids for link in open_files(pid)}
    tables = (Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()).splitlines()
    rows = [line.split() for line in tables]
    return [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]


def eventually(value: Callable[[], T], wanted: Callable[[T], bool]) -> T:
    """Ask until the answer is the wanted one, for at most half a minute; return the last answer."""
    limit = time.monotonic() + 30
    while not wanted(found := value()) and time.monotonic() < limit:
        time.sleep(0.2)
    return found


def open_files(pid: int) -> list[Path]:
    try:
        return [link for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    except OSError:
        return []


def run_and_fail(*arguments: str) -> str:
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_repository_without_models_is_refused(tmp_path: Path) -> None:
    assert "holds no model" in run_and_fail("--repo", str(tmp_path), "--log", str(tmp_path / "log"))


def test_a_configuration_without_its_weights_is_no_model(small_repository: Path, tmp_path: Path) -> None:
    shutil.rmtree(small_repository / "small_fp16" / "1")
    message = run_and_fail("--repo", str(small_repository), "--log", str(tmp_path / "log"))
    assert "holds the weights of no model" in message


def test_models_are_served_beside_what_is_none(small_repository: Path) -> None:
    shutil.copytree(small_repository / "small_fp16", small_repository / "bare")
    shutil.rmtree(small_repository / "bare" / "1")
    shutil.copytree(small_repository / "small_fp16", small_repository / ".draft")
    with serving(small_repository) as served:
        assert served.ready.startswith("ready ")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_triton_does_not_outlive_the_program_that_watches_it(number: int, small_repository: Path) -> None:
    with serving(small_repository) as served:
        below = children(served.process.pid)
        served.process.send_signal(number)
        served.process.wait(timeout=60)
        assert eventually(lambda: [pid for pid in below if alive(pid)], lambda left: not left) == []


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and only waits to be collected does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_the_log_of_an_earlier_start_is_kept(small_repository: Path) -> None:
    log = small_repository.parent / "serve.log"
    log.write_text("an earlier start\n")
    with serving(small_repository):
        pass
    assert log.read_text().startswith("an earlier start\n")
    assert "Started GRPCInferenceService" in log.read_text()


def test_a_taken_port_is_named(small_repository: Path, server: str, tmp_path: Path) -> None:
    port = server.rsplit(":", 1)[1]
    message = run_and_fail("--repo", str(small_repository), "--grpc-port", port, "--log", str(tmp_path / "log"))
    assert f"cannot listen on 127.0.0.1:{port}" in message


def test_a_model_file_that_was_changed_is_not_served(small_repository: Path) -> None:
    artefact = small_repository / "small_fp16" / "1" / "model.onnx"
    artefact.write_bytes(artefact.read_bytes() + b"\0")
    with serving(small_repository) as served:
        _, errors = served.process.communicate(timeout=120)
    assert (served.ready, served.process.returncode) == ("", 2)
    assert "not the one that was verified" in errors
