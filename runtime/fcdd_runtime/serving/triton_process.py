"""Runs a Triton Inference Server on a model repository, and knows whether it really answers.

Triton's own ready flag stays up after a model's process has died, so health here means: every model answers its
golden image as it did when it was verified.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from fcdd_runtime.backends import open_url
from fcdd_runtime.backends.golden import self_test
from fcdd_runtime.errors import BackendError, FcddError, GateError, MissingExtraError
from fcdd_runtime.log_lines import EventLog

LOG = EventLog("fcdd_runtime")
START_LIMIT_S = 180.0
"""For loading and warming up all models; TensorRT engines of several gigabytes take a minute."""
STOP_LIMIT_S = 20.0
POLL_S = 0.2
CANARY_DEADLINE_S = 20.0
PR_SET_PDEATHSIG = 1
"""From Linux's prctl.h."""
RESTRICTED_APIS = "shared-memory,model-repository,logging,trace"
"""What can read memory, swap models or write files: closed to everyone over HTTP and gRPC."""


@dataclass(frozen=True)
class ServerOptions:
    """What to serve, and where."""

    repository: Path
    host: str
    """Address to bind to; anything but loopback is the operator's decision."""
    http_port: int
    grpc_port: int
    metrics_port: int
    log: Path
    """Where Triton's own output goes; kept after the server has stopped."""


@dataclass(frozen=True)
class Installation:
    """A tritonserver that can be started."""

    command: tuple[str, ...]
    library_path: str | None
    """Folder that LD_LIBRARY_PATH must begin with, if any."""


@dataclass(frozen=True)
class RunningServer:
    """A server that has passed its first canary."""

    process: "subprocess.Popen[bytes]"
    urls: tuple[str, ...]
    """Address of every model, `grpc://HOST:PORT/MODEL`."""
    log: Path
    log_start: int
    """Where this start's output begins in the log, bytes: an earlier start's is kept before it."""

    def check(self) -> None:
        """Send every model its golden image.

        Raises
        ------
        BackendError, GateError
            If the server has ended, or a model does not answer, or not as it did when it was verified.
        """
        if self.process.poll() is not None:
            raise self.ended()
        for url in self.urls:
            # A connection of its own each time: an open one would hold up the server's stop.
            with open_url(url, deadline_s=CANARY_DEADLINE_S) as backend:
                self_test(backend, backend.golden().first())

    def ended(self) -> BackendError:
        """Return the error that says why the process is no more: the model that it could not load, or its last line."""
        log = self.log.read_bytes()[self.log_start :]
        lines = log.decode("utf-8", errors="replace").splitlines() or ["nothing"]
        reasons = [line for line in lines if line.startswith("E") and "failed to load" in line] or lines[-1:]
        reason = reasons[0].split("] ", 1)[-1].strip('"').split("\\n")[0]
        return BackendError(f"tritonserver ended by itself; its log {self.log} says: {reason}")


@contextlib.contextmanager
def running_server(options: ServerOptions) -> Iterator[RunningServer]:
    """Start a server, wait until every model answers, and stop it when the context ends.

    Raises
    ------
    MissingExtraError
        If there is no tritonserver.
    BackendError
        If the repository holds no model, a port is taken, or the server does not come up in time.
    """
    started = time.monotonic()
    models = complete_models(options.repository)
    for port in (options.http_port, options.grpc_port, options.metrics_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((options.host, port))
            except OSError as error:
                raise BackendError(
                    f"cannot listen on {options.host}:{port} ({error.strerror}); choose another port"
                ) from error
    with tempfile.TemporaryDirectory(prefix="fcdd-serve-") as scratch, options.log.open("ab") as log:
        # A repository of the complete models alone: Triton refuses to start where one folder is none.
        repository = Path(scratch) / "models"
        repository.mkdir()
        for model in models:
            (repository / model.name).symlink_to(model.resolve())
        process = _start(_find_installation(Path(scratch)), repository, options, log.fileno())
        urls = tuple(f"grpc://{options.host}:{options.grpc_port}/{model.name}" for model in models)
        server = RunningServer(process, urls, options.log, log_start=log.tell())
        try:
            _wait_until_ready(server)
            LOG.info("server started", models=len(models), seconds=round(time.monotonic() - started, 3))
            yield server
        finally:
            _stop(process)
            LOG.info("server stopped", exit_code=process.returncode)


def complete_models(repository: Path) -> list[Path]:
    """Return the folders of a repository that hold a model with its weights, sorted by name.

    A configuration alone, as version control keeps it, is no model; neither is what an interrupted export left.

    Raises
    ------
    BackendError
        If there is none.
    """
    models = sorted(path.parent for path in repository.glob("[!.]*/config.pbtxt"))
    complete = [model for model in models if any(model.glob("[0-9]*/*"))]
    if not complete:
        what = "the weights of no model" if models else "no model"
        raise BackendError(f"{repository} holds {what}; write one with fcdd-export --repo {repository}")
    return complete


def _find_installation(scratch: Path) -> Installation:
    """Find an installed tritonserver, else the one inside nvidia-pytriton.

    The latter's Python backend is laid out in `scratch` with the stub of this Python beside it, as the server expects.
    """
    if installed := shutil.which("tritonserver"):
        return Installation((installed,), None)
    package = util.find_spec("pytriton")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("there is no tritonserver here; install one, or: pip install 'fcdd-edge[serve]'")
    if int(metadata.version("numpy").split(".")[0]) >= 2:
        raise MissingExtraError(
            "the tritonserver in nvidia-pytriton answers with empty tensors under numpy 2; pip install 'numpy<2'"
        )
    folder = Path(package.submodule_search_locations[0])
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = folder / "tritonserver" / "python_backend_stubs" / python / "triton_python_backend_stub"
    if not stub.is_file():
        raise MissingExtraError(f"nvidia-pytriton has no tritonserver for Python {python}; use another")
    backends = scratch / "backends"
    (backends / "python").mkdir(parents=True)
    for part in (folder / "tritonserver" / "backends" / "python").iterdir():
        if part.is_file():
            (backends / "python" / part.name).symlink_to(part)
    shutil.copy2(stub, backends / "python")
    (backends / "python" / stub.name).chmod(0o755)
    server = folder / "tritonserver" / "bin" / "tritonserver"
    return Installation((str(server), f"--backend-directory={backends}"), str(folder.parent / "nvidia_pytriton.libs"))


def _start(installation: Installation, repository: Path, options: ServerOptions, log: int) -> "subprocess.Popen[bytes]":
    closed = f"{RESTRICTED_APIS}:fcdd-admin={secrets.token_urlsafe(32)}"
    flags = [
        f"--model-repository={repository}",
        "--model-control-mode=none",
        f"--http-address={options.host}",
        f"--http-port={options.http_port}",
        f"--grpc-address={options.host}",
        f"--grpc-port={options.grpc_port}",
        f"--metrics-address={options.host}",
        f"--metrics-port={options.metrics_port}",
        f"--http-restricted-api={closed}",
        f"--grpc-restricted-protocol={closed}",
        "--exit-timeout-secs=10",
    ]
    environment = dict(os.environ)
    if installation.library_path:
        parts = [installation.library_path, environment.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = ":".join(part for part in parts if part)
    # The bundled server's stub finds this environment's packages by the first python3 on the path.
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', '')}"
    return subprocess.Popen(
        [*installation.command, *flags],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        # A terminal's Ctrl-C reaches this program alone, which then stops the server in order.
        start_new_session=True,
        # The kernel stops the server when this program is killed: nobody would watch it any more.
        preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509 (no lock is taken)
    )


def _wait_until_ready(server: RunningServer) -> None:
    limit = time.monotonic() + START_LIMIT_S
    while True:
        try:
            return server.check()
        except GateError:
            raise
        except FcddError as error:
            if server.process.poll() is not None:
                raise server.ended() from error
            if time.monotonic() > limit:
                raise BackendError(f"tritonserver is not ready after {START_LIMIT_S:g} s ({error})") from error
        time.sleep(POLL_S)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
