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
_DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
DICOMWEB_URL = "http://127.0.0.1:8042/dicom-web"
_DICOM_PORT, _HTTP_PORT = 4242, 8042


@dataclass(frozen=True)
class Orthanc:
    """A running server, which is reached from inside its namespace only."""

    namespace: str

    def store(self, folder: Path, names: str = "*") -> None:
        """Send the files of a folder by C-STORE, and fail unless each is accepted."""
        peer = ["-aec", "ORTHANC", "127.0.0.1", str(_DICOM_PORT)]
        self._run("storescu", "-R", *peer, *map(str, sorted(folder.glob(names))))

    def rest(self, path: str) -> bytes:
        """Answer of the REST API."""
        return self._run("curl", "--fail", "--silent", f"http://127.0.0.1:{_HTTP_PORT}{path}")

    def stow(self, path: Path) -> bytes:
        """Store a file by STOW-RS; return the answer in DICOM JSON."""
        boundary = uuid.uuid4().hex
        body = path.with_suffix(".stow")
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body.write_bytes(head + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode())
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        headers = ["-H", f"Content-Type: {kind}", "-H", "Accept: application/dicom+json"]
        try:
            return self._run(
                "curl", "--fail", "--silent", *headers, "--data-binary", f"@{body}", f"{DICOMWEB_URL}/studies"
            )
        finally:
            body.unlink()

    def dicomweb(self, path: str, accept: str) -> bytes:
        """Answer of the DICOMweb plugin (QIDO, WADO)."""
        return self._run("curl", "--fail", "--silent", "-H", f"Accept: {accept}", f"{DICOMWEB_URL}{path}")

    def _run(self, *command: str) -> bytes:
        done = subprocess.run(
            ["ip", "netns", "exec", self.namespace, *command], capture_output=True, timeout=120, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {(done.stdout + done.stderr).decode(errors='replace')[-2000:]}")
        return done.stdout


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """Start Orthanc with DICOMweb and an empty database in a folder; skip the test where that is not possible."""
    missing = sorted({package for program, package in _PROGRAMS.items() if shutil.which(program) is None})
    missing += [] if _DICOMWEB.exists() else ["orthanc-dicomweb"]
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
        "Plugins": [str(_DICOMWEB)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
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
