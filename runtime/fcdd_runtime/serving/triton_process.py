"""Runs a Triton Inference Server on a model repository, and knows whether it really answers.

Triton's own ready flag stays up after a model's process has died, so health here means: every model answers its
golden image as it did when it was verified.
"""

import contextlib
import ctypes
import ipaddress
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path

from fcdd_runtime.backends import open_url
from fcdd_runtime.backends.copies import check_config
from fcdd_runtime.backends.golden import read_golden
from fcdd_runtime.contract import ModelContract, read_contract
from fcdd_runtime.errors import BackendError, FcddError, GateError, MissingExtraError, ServerUnreachableError
from fcdd_runtime.files import owner_in, remove_left_by_killed, scratch_folder, scratch_prefix
from fcdd_runtime.log_lines import EventLog

LOG = EventLog("fcdd_runtime")
START_LIMIT_S = 180.0
"""For loading and warming up all models; TensorRT engines of several gigabytes take a minute."""
STOP_LIMIT_S = 20.0
POLL_S = 0.2
CANARY_DEADLINE_S = 20.0
PR_SET_PDEATHSIG = 1
"""From Linux's prctl.h."""
PURPOSE = "fcdd-serve"
"""Begins the names of scratch folders and of regions of shared memory."""
SHARED_MEMORY = Path("/dev/shm")
RESTRICTED_APIS = "shared-memory,model-repository,logging,trace"
"""What can read memory, swap models or write files: closed to everyone over HTTP and gRPC."""
_NO_HEADER_HOLDS = "\x01"
"""Triton takes the key of closed interfaces on its command line only, which every user of the machine can read. With
this character in it no header can carry it, so that knowing it opens nothing."""


@dataclass(frozen=True)
class ServerOptions:
    """What to serve, and where."""

    repository: Path
    host: str
    """Name or address to bind to; anything but loopback is the operator's decision."""
    grpc_port: int
    metrics_port: int
    log: Path
    """Where Triton's own output goes; kept after the server has stopped."""
    http_port: int | None = None
    """None: no HTTP, which scoring does not need, and whose parser ends the server on what a stranger sends."""

    @property
    def url_host(self) -> str:
        """The host as addresses write it: IPv6 in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host


@dataclass(frozen=True)
class Installation:
    """A tritonserver that can be started."""

    command: tuple[str, ...]
    library_path: str | None
    """Folder that LD_LIBRARY_PATH must begin with, if any."""


@dataclass
class ServedModel:
    """A model that has to answer."""

    url: str
    """`grpc://HOST:PORT/MODEL`."""
    contract: ModelContract
    """Of the folder that the server was started with."""
    answered: int = 0
    """How many requests the server had answered when the last check began."""


@dataclass
class RunningServer:
    """A server that has passed its first canary."""

    process: "subprocess.Popen[bytes]"
    models: list[ServedModel]
    log: Path
    log_start: int
    """Where this start's output begins in the log, bytes: an earlier start's is kept before it."""
    busy: set[str] = field(default_factory=set)
    """Addresses of models that answered others, but not their golden image in time, at the last check."""

    def check(self) -> None:
        """Send every model its golden image, before whatever else waits for it.

        A model that does not answer in time, and has answered other requests meanwhile, is busy and not dead.

        Raises
        ------
        BackendError
            If the server has ended, or a model does not answer.
        GateError
            If a model does not answer as it did when it was verified, or the server holds another than the folder did.
        """
        if self.process.poll() is not None:
            raise self.ended()
        for model in self.models:
            self._check_model(model)

    def _check_model(self, model: ServedModel) -> None:
        before = model.answered
        with contextlib.suppress(BackendError):
            model.answered = answered_requests(model.url)
        try:
            # A connection of its own each time: an open one would hold up the server's stop.
            with open_url(model.url, deadline_s=CANARY_DEADLINE_S, urgent=True) as backend:
                served = backend.contract
        except ServerUnreachableError:
            if answered_requests(model.url) <= max(before, model.answered):
                raise
            self.busy.add(model.url)
            LOG.info("busy")
            return
        self.busy.discard(model.url)
        if served != model.contract:
            raise GateError(
                f"the server holds another {served.name} than its folder did when it was started: contract "
                f"{served.sha256[:12]} instead of {model.contract.sha256[:12]}; start it again"
            )

    def ended(self) -> BackendError:
        """Return the error that says why the process is no more: the model that it could not load, or its last line."""
        log = self.log.read_bytes()[self.log_start :]
        lines = log.decode("utf-8", errors="replace").splitlines() or ["nothing"]
        reasons = [line for line in lines if line.startswith("E") and "failed to load" in line] or lines[-1:]
        reason = reasons[0].split("] ", 1)[-1].strip('"').split("\\n")[0]
        return BackendError(f"tritonserver ended by itself; its log {self.log} says: {reason}")


def answered_requests(url: str) -> int:
    """Return how many requests a model has answered since it was loaded.

    Raises
    ------
    BackendError
        If the server does not say so.
    """
    from fcdd_runtime.backends.triton import answered_requests as counted  # noqa: PLC0415

    return counted(url, CANARY_DEADLINE_S)


@contextlib.contextmanager
def running_server(options: ServerOptions) -> Iterator[RunningServer]:
    """Start a server, wait until every model answers, and stop it when the context ends.

    What a killed program of ours left, processes and shared memory, is removed first.

    Raises
    ------
    MissingExtraError
        If there is no tritonserver.
    ContractError
        If a model's contract or golden vectors are damaged, or its files disagree.
    BackendError
        If the repository holds no model, a port is taken, or the server does not come up in time.
    """
    started = time.monotonic()
    folders = complete_models(options.repository)
    models = []
    for folder in folders:
        contract = read_contract(folder)
        check_config(folder, contract)
        read_golden(folder)
        models.append(ServedModel(f"grpc://{options.url_host}:{options.grpc_port}/{folder.name}", contract))
    remove_leftovers()
    for port in (options.http_port, options.grpc_port, options.metrics_port):
        if port is not None:
            _check_free(options.host, port)
    with scratch_folder(PURPOSE) as scratch, options.log.open("ab") as log:
        # A repository of the complete models alone: Triton refuses to start where one folder is none.
        repository = scratch / "models"
        repository.mkdir()
        for folder in folders:
            (repository / folder.name).symlink_to(folder.resolve())
        process = _start(_find_installation(scratch), repository, options, log.fileno())
        server = RunningServer(process, models, options.log, log_start=log.tell())
        try:
            _wait_until_ready(server)
            # Triton makes its regions readable for everybody, whatever the umask; no patient's image was there yet.
            for region in SHARED_MEMORY.glob(f"{scratch_prefix(PURPOSE)}*"):
                region.chmod(0o600)
            LOG.info("server started", models=len(models), seconds=round(time.monotonic() - started, 3))
            yield server
        finally:
            _stop(process)
            for region in SHARED_MEMORY.glob(f"{scratch_prefix(PURPOSE)}*"):
                region.unlink(missing_ok=True)
            LOG.info("server stopped", exit_code=process.returncode)


def remove_leftovers() -> None:
    """End the server processes of programs of ours that were killed, and remove what they left in shared memory."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # A stub is started from the scratch folder, and so knows it by name; so does the server.
            command = process.joinpath("cmdline").read_bytes().decode(errors="replace")
            for name in re.findall(rf"/({PURPOSE}-\d+-\d+-\w+)/", command):
                if owner_in(name, PURPOSE) is None:
                    os.kill(int(process.name), signal.SIGKILL)
                    break
    remove_left_by_killed(SHARED_MEMORY, PURPOSE)


def _check_free(host: str, port: int) -> None:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise BackendError(f"{host} is no address of this machine ({error.strerror}); give 127.0.0.1") from error
    except OSError as error:
        raise BackendError(f"cannot listen on {host}:{port} ({error.strerror}); choose another port") from error


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach a host's name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
    closed = f"{RESTRICTED_APIS}:fcdd-admin={secrets.token_urlsafe(32)}{_NO_HEADER_HOLDS}"
    # Triton's two libraries write IPv6 in two ways.
    http_host = f"ipv6:{options.host}" if ":" in options.host else options.host
    flags = [
        f"--model-repository={repository}",
        "--model-control-mode=none",
        f"--grpc-address={options.url_host}",
        f"--grpc-port={options.grpc_port}",
        f"--grpc-restricted-protocol={closed}",
        f"--metrics-address={http_host}",
        f"--metrics-port={options.metrics_port}",
        f"--backend-config=python,shm-region-prefix-name={scratch_prefix(PURPOSE)}",
        "--exit-timeout-secs=10",
    ]
    if options.http_port is None:
        flags.append("--allow-http=false")
    else:
        flags += [
            f"--http-address={http_host}",
            f"--http-port={options.http_port}",
            f"--http-restricted-api={closed}",
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
        # A terminal's Ctrl-C reaches this program alone, which then stops the server in order. The models' processes
        # are of the same group, so that none of them outlives it.
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
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_LIMIT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
