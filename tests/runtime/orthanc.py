"""A real Orthanc for tests, in a network namespace of its own: its release in Debian listens on all addresses."""

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_PROGRAMS = {"Orthanc": "orthanc", "storescu": "dcmtk", "ip": "iproute2", "curl": "curl"}
_DICOM_PORT, _HTTP_PORT = 4242, 8042


@dataclass(frozen=True)
class Orthanc:
    """A running server, which is reached from inside its namespace only."""

    namespace: str

    def store(self, folder: Path) -> None:
        """Send all files of a folder by C-STORE, and fail unless each is accepted."""
        peer = ["-aec", "ORTHANC", "127.0.0.1", str(_DICOM_PORT)]
        self._run("storescu", "-R", "--scan-directories", *peer, str(folder))

    def rest(self, path: str) -> bytes:
        """Answer of the REST API."""
        return self._run("curl", "--fail", "--silent", f"http://127.0.0.1:{_HTTP_PORT}{path}")

    def _run(self, *command: str) -> bytes:
        done = subprocess.run(
            ["ip", "netns", "exec", self.namespace, *command], capture_output=True, timeout=120, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {(done.stdout + done.stderr).decode(errors='replace')[-2000:]}")
        return done.stdout


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """Start Orthanc with an empty database in an existing folder; skip the test where that is not possible."""
    missing = sorted({package for program, package in _PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        pytest.skip(f"programs are missing; they are in the Debian packages {', '.join(missing)}")
    with _namespace() as namespace, (folder / "log").open("wb") as log:
        command = ["ip", "netns", "exec", namespace, "Orthanc", str(_configuration(folder))]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            server = Orthanc(namespace)
            _wait(server, process, folder / "log")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _namespace() -> Iterator[str]:
    name = f"fcdd-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no network namespace can be made, which takes root and CAP_SYS_ADMIN: {made.stderr.strip()}")
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)


def _configuration(folder: Path) -> Path:
    path = folder / "orthanc.json"
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomPort": _DICOM_PORT,
        "HttpPort": _HTTP_PORT,
        "AuthenticationEnabled": False,
        "Plugins": [],
    }
    path.write_text(json.dumps(settings))
    return path


def _wait(server: Orthanc, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(150):
        if process.poll() is not None:
            raise RuntimeError(f"Orthanc ended: {log.read_text(errors='replace')[-2000:]}")
        try:
            server.rest("/system")
        except RuntimeError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"Orthanc does not answer: {log.read_text(errors='replace')[-2000:]}")
