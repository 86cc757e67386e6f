"""fcdd-serve with the real Triton server, as a process of its own."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from tritonclient import grpc as grpc_client

from fcdd_export.gate.drawn import drawn_images
from fcdd_runtime.backends import open_url
from fcdd_runtime.contract import read_contract
from fcdd_runtime.errors import BackendError, GateError, ServerUnreachableError
from fcdd_runtime.serving import supervise, triton_process
from fcdd_runtime.serving.health import MAX_CONNECTIONS, Health, health_port
from fcdd_runtime.serving.triton_process import RunningServer, ServedModel, ServerOptions
from support import free_ports

T = TypeVar("T")

COMMAND = str(Path(sys.executable).parent / "fcdd-serve")


@dataclass(frozen=True)
class Served:
    process: "subprocess.Popen[str]"
    ready: str
    health: int
    log: Path

    @property
    def url(self) -> str:
        return f"{self.ready.removeprefix('ready ')}/small_fp16"


@pytest.fixture
def small_repository(repository: Path, tmp_path: Path) -> Path:
    shutil.copytree(repository / "small_fp16", tmp_path / "repo" / "small_fp16")
    return tmp_path / "repo"


@contextmanager
def serving(repo: Path, *options: str) -> Iterator[Served]:
    health, grpc, metrics = free_ports(3)
    log = repo.parent / "serve.log"
    ports = ["--health-port", str(health), "--grpc-port", str(grpc), "--metrics-port", str(metrics)]
    process = subprocess.Popen(
        [COMMAND, "--repo", str(repo), "--log", str(log), *ports, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Served(process, process.stdout.readline().strip(), health, log)
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


def scores_of(url: str) -> "np.ndarray[Any, Any]":
    with open_url(url) as backend:
        scores, _ = backend.infer({"mip": drawn_images(1)})
    return scores


def processes_named(pid: int, name: str) -> list[int]:
    return [child for child in children(pid) if name in name_of(child)]


@pytest.mark.parametrize("name", ["python_backend_stub", "bin/tritonserver"])
def test_what_was_killed_is_started_again_and_leaves_nothing(name: str, small_repository: Path) -> None:
    with serving(small_repository, "--canary-interval", "1") as served:
        assert get(served.health, "/ready") == 200
        before = children(served.process.pid)
        [victim] = processes_named(served.process.pid, name)
        os.kill(victim, signal.SIGKILL)
        assert eventually(lambda: get(served.health, "/ready"), lambda status: status == 503) == 503
        assert get(served.health, "/live") == 200
        assert eventually(lambda: get(served.health, "/ready"), lambda status: status == 200) == 200
        assert [pid for pid in before if alive(pid)] == [], "not even the model's own process"
        assert np.isfinite(scores_of(served.url)).all()
        served.process.send_signal(signal.SIGTERM)
        output, errors = served.process.communicate(timeout=60)
    assert (served.process.returncode, output) == (0, "")
    said, again = errors.splitlines()
    assert said.startswith("Warning: ")
    assert said.endswith("it is started again in 1 s")
    assert again == f"Warning: the server at {served.ready.removeprefix('ready ')} answers again"
    assert regions(served.process.pid) == []


def test_a_server_that_dies_again_and_again_is_given_up_with_the_reason(
    small_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real loop, and a server that only says that it has died."""
    monkeypatch.setattr(supervise, "FIRST_WAIT_S", 0.001)
    started = []

    @contextmanager
    def dying(options: ServerOptions) -> Iterator[RunningServer]:
        started.append(options)
        process = subprocess.Popen(["sh", "-c", "exit 1"])
        process.wait()
        options.log.write_text("no more memory\n")
        yield RunningServer(process, [], options.log, 0)

    monkeypatch.setattr(supervise, "running_server", dying)
    log = small_repository.parent / "log"
    options, health = ServerOptions(small_repository, "127.0.0.1", 1, 2, log), Health()
    said: list[str] = []
    with pytest.raises(BackendError, match=r"died 6 times within 10 minutes, last because .*no more memory"):
        supervise.supervise(options, 1, health, said.append, said.append)
    assert (len(started), said[0], health.ready) == (6, "ready grpc://127.0.0.1:1", False)
    assert sum("started again in" in sentence for sentence in said) == 5


def regions(pid: int) -> list[str]:
    """Shared memory of a server that was started by a process; others may run beside it."""
    return [path.name for path in Path("/dev/shm").glob(f"fcdd-serve-{pid}-*")]


def test_images_in_shared_memory_are_for_nobody_else_and_go_with_the_server(small_repository: Path) -> None:
    with serving(small_repository) as served:
        found = list(Path("/dev/shm").glob(f"fcdd-serve-{served.process.pid}-*"))
        assert found != []
        assert {path.stat().st_mode & 0o777 for path in found} == {0o600}
        served.process.send_signal(signal.SIGTERM)
        served.process.communicate(timeout=60)
        assert [path for path in found if path.exists()] == []


def test_what_a_killed_program_left_is_removed_by_the_next_one(small_repository: Path, tmp_path: Path) -> None:
    with serving(small_repository) as served:
        below = children(served.process.pid)
        [server] = processes_named(served.process.pid, "bin/tritonserver")
        served.process.kill()
        os.kill(server, signal.SIGKILL)
        served.process.wait()
        left = [pid for pid in below if pid != server]
        assert [pid for pid in left if alive(pid)] != [], "the model's process knows nothing of its server's end"
        assert regions(served.process.pid) != []
    with serving(small_repository):
        assert [pid for pid in left if alive(pid)] == []
        assert regions(served.process.pid) == []


def test_a_server_under_load_is_not_taken_for_dead(small_repository: Path) -> None:
    """As many clients as keep the queue longer than the canary's patience, were it to wait in the queue."""
    with serving(small_repository, "--canary-interval", "1") as served:
        images = {"mip": drawn_images(8)}
        until = time.monotonic() + 12

        def load() -> int:
            count = 0
            with open_url(served.url) as backend:
                while time.monotonic() < until:
                    backend.infer(images)
                    count += 1
            return count

        with ThreadPoolExecutor(26) as clients:
            running = [clients.submit(load) for _ in range(26)]
            assert all(future.result() > 0 for future in running)
        served.process.send_signal(signal.SIGTERM)
        _, errors = served.process.communicate(timeout=60)
    assert (served.process.returncode, errors) == (0, "")


def test_a_model_that_answers_nobody_in_time_is_dead_and_one_that_answers_others_is_busy(
    server: str, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{server}/small_fp32"
    process = subprocess.Popen(["sleep", "60"])
    try:
        model = ServedModel(url, read_contract(repository / "small_fp32"))
        running = RunningServer(process, [model], tmp_path / "log", 0)
        running.check()

        def late(*_: Any, **__: Any) -> Any:
            raise ServerUnreachableError("late")

        monkeypatch.setattr(triton_process, "open_url", late)
        with pytest.raises(ServerUnreachableError):
            running.check()

        def late_while_others_are_answered(*_: Any, **__: Any) -> Any:
            scores_of(url)
            return late()

        monkeypatch.setattr(triton_process, "open_url", late_while_others_are_answered)
        running.check()
        assert running.busy == {url}
    finally:
        process.kill()
        process.wait()


def test_a_server_of_another_contract_than_the_folders_is_refused(
    server: str, repository: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(["sleep", "60"])
    try:
        contract = dataclasses.replace(read_contract(repository / "small_fp32"), operating_point=None)
        running = RunningServer(process, [ServedModel(f"{server}/small_fp32", contract)], tmp_path / "log", 0)
        with pytest.raises(GateError, match="another small_fp32 than its folder"):
            running.check()
    finally:
        process.kill()
        process.wait()


def get(port: int, path: str, method: str = "GET") -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0  # nobody listens there yet


def test_there_is_no_http_unless_it_is_asked_for(small_repository: Path) -> None:
    [http] = free_ports(1)
    with serving(small_repository, "--http-port", str(http)) as served:
        assert eventually(lambda: get(http, "/v2/health/live"), lambda status: status == 200) == 200
        for path, method in (
            ("/v2/repository/index", "POST"),
            ("/v2/repository/models/small_fp16/unload", "POST"),
            ("/v2/systemsharedmemory/status", "GET"),
            ("/v2/logging", "GET"),
            ("/v2/trace/setting", "GET"),
        ):
            assert get(http, path, method) == 403, path
        served.process.send_signal(signal.SIGTERM)
        _, errors = served.process.communicate(timeout=60)
        assert errors.startswith("Warning: Triton's HTTP ends the server")


def test_the_key_of_closed_interfaces_opens_nothing_though_every_user_can_read_it(small_repository: Path) -> None:
    with serving(small_repository) as served:
        [pid] = processes_named(served.process.pid, "bin/tritonserver")
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        [flag] = [part for part in command if part.startswith("--grpc-restricted-protocol=")]
        name, key = flag.rsplit(":", 1)[1].split("=", 1)
        region = f"/{regions(served.process.pid)[0]}"
        with closing(grpc_client.InferenceServerClient(served.url.split("/")[2])) as client:
            for header in ({}, {f"triton-grpc-protocol-{name}": key}, {f"triton-grpc-protocol-{name}": key[:-1]}):
                for call in (
                    lambda header: client.update_log_settings({"log_verbose_level": 1}, headers=header),
                    lambda header: client.update_trace_settings(settings={"trace_rate": "1"}, headers=header),
                    lambda header: client.register_system_shared_memory("x", region, 64, headers=header),
                    lambda header: client.unload_model("small_fp16", headers=header),
                ):
                    with pytest.raises(Exception, match=r"restricted|[Ii]llegal|metadata"):
                        call(header)  # type: ignore[no-untyped-call]


def test_it_listens_on_loopback_alone(small_repository: Path) -> None:
    with serving(small_repository) as served:
        local = eventually(lambda: listening_addresses(served.process.pid), lambda found: len(found) == 3)
    assert len(local) == 3  # gRPC, metrics, health
    assert all(address.split(":")[0].endswith("0100007F") for address in local), local  # 127.0.0.1, also in IPv6


def test_it_listens_on_ipv6_too(small_repository: Path) -> None:
    with serving(small_repository, "--host", "::1") as served:
        assert served.ready.startswith("ready grpc://[::1]:")
        assert np.isfinite(scores_of(served.url)).all()


def test_an_address_that_others_reach_is_warned_of(small_repository: Path) -> None:
    with serving(small_repository, "--host", "0.0.0.0") as served:
        served.process.send_signal(signal.SIGTERM)
        _, errors = served.process.communicate(timeout=60)
    assert errors.startswith("Warning: everybody who reaches 0.0.0.0 can score")


@pytest.mark.parametrize("host", ["no such host", "203.0.113.1"])
def test_an_address_of_another_machine_is_refused_with_the_reason(host: str, small_repository: Path) -> None:
    message = run_and_fail("--repo", str(small_repository), "--host", host)
    assert ("is no address of this machine" in message) or ("cannot listen on 203.0.113.1" in message)


@pytest.mark.parametrize("request_text", ["GET / HTTP/1.0", "POST /ready HTTP/1.0", "x" * 100_000, ""])
def test_the_health_port_answers_what_it_knows_and_nothing_else(request_text: str) -> None:
    [port] = free_ports(1)
    with health_port(Health(), "127.0.0.1", port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client, suppress(OSError):
            client.sendall(request_text.encode() + b"\r\n\r\n")
            assert not client.recv(1000).startswith(b"HTTP/1.0 200")
        assert (get(port, "/live"), get(port, "/ready")) == (200, 503)


def test_clients_that_hold_the_health_port_are_bounded() -> None:
    [port] = free_ports(1)
    with health_port(Health(), "127.0.0.1", port), ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS + 20):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        stack.close()
        assert eventually(lambda: get(port, "/live"), lambda status: status == 200) == 200


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


@pytest.mark.parametrize("name", ["golden.npz", "contract.json", "config.pbtxt"])
def test_a_damaged_file_of_a_model_is_said_at_once(name: str, small_repository: Path, tmp_path: Path) -> None:
    path = small_repository / "small_fp16" / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    message = run_and_fail("--repo", str(small_repository), "--log", str(tmp_path / "log"))
    assert "export the model again" in message
    assert not (tmp_path / "log").exists(), "before the server is started"


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
