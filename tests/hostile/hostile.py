"""`make hostile`: families of inputs that try to do harm, through the commands as a user runs them.

Each case runs a command in a process of its own and says what may come of it: an error of one sentence, a study to
review, or a score that is right. A table shows outcome, wall time and peak memory of each family. A finding is whatever
is not foreseen: a traceback, a score without a word where there must be a doubt, more than 1.5 GB or 60 s.
"""

import argparse
import contextlib
import csv
import dataclasses
import gzip
import http.client
import io
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "runtime")]

from mock_study import MockStudy, breast_phantom  # noqa: E402
from pydicom import dcmread  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.uid import UID  # noqa: E402
from result_builders import make_contract  # noqa: E402
from scripted_server import answer, good, scripted  # noqa: E402

from fcdd_export.repository.config_pbtxt import config_text  # noqa: E402
from fcdd_runtime.backends.copies import CONFIG_FILE  # noqa: E402
from fcdd_runtime.backends.golden import read_golden  # noqa: E402
from fcdd_runtime.contract import CONTRACT_FILE, ModelContract, read_contract  # noqa: E402
from fcdd_runtime.files import locked_folder  # noqa: E402
from fcdd_runtime.report.write import study_folder_name  # noqa: E402
from support import free_ports  # noqa: E402

MEMORY_LIMIT, TIME_LIMIT_S = 1.5e9, 60.0
BIN = Path(sys.executable).parent
NOT_SILENT = frozenset({"error", "review"})
SECRETS = ("DOE", "JANE")


@dataclass
class Case:
    """One try."""

    family: str
    command: list[str]
    allowed: frozenset[str]
    """Outcomes: `score` (all studies plain), `review` (one at least), `error` (one sentence an input), `refused`."""
    also: Callable[[str], str] = field(default=lambda _: "")
    """Takes what was printed, and says what is wrong with what was left; empty if nothing is."""


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    name: str
    seconds: float
    peak_bytes: int
    problem: str
    """Empty if this was foreseen."""


def run(case: Case, out: Path) -> Outcome:
    """Run a case and watch the memory of its processes."""
    started = time.monotonic()
    process = subprocess.Popen(
        case.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", cwd=out.parent
    )
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, memory_of(process.pid))
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        text, _ = process.communicate(timeout=2 * TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        text, _ = process.communicate()
    done.set()
    watcher.join()
    seconds = time.monotonic() - started
    name = outcome_of(process.returncode, text, out)
    problem = ""
    if name not in case.allowed:
        problem = f"{name} is none of {sorted(case.allowed)}: {text[-300:]}"
    elif peak > MEMORY_LIMIT:
        problem = f"{peak / 1e9:.1f} GB"
    elif seconds > TIME_LIMIT_S:
        problem = f"{seconds:.0f} s"
    else:
        problem = case.also(text)
    return Outcome(name, seconds, peak, problem)


def memory_of(pid: int) -> int:
    """Resident memory of a process and of all below it, bytes; pages that they share count for each."""
    total = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            total += sum(memory_of(int(child)) for child in task.read_text().split())
    return total


def outcome_of(code: int, text: str, out: Path) -> str:
    """Name what a command did."""
    if "Traceback" in text or code < 0 or "Exception ignored" in text:
        return "traceback"
    if "Usage:" in text or code == 3:
        return "refused"
    states = [json.loads(path.read_text())["state"] for path in out.glob("*/result.json")]
    if code:
        sentences = [line for line in text.splitlines() if line.startswith("Error: ")]
        return "error" if sentences else "nothing said"
    return "review" if "review" in states else "score"


Cases = Iterator[tuple[Callable[[Path], Case], ...]]


class Families:
    """Makes the cases. Each maker gets an empty folder, writes its input there, and returns the case."""

    def __init__(self, model: Path, long: bool):
        self.model, self.long = model, long
        self.random = np.random.default_rng(0)

    def score(self, folder: Path, *inputs: Path, url: str | None = None, model: Path | None = None) -> list[str]:
        """Return the command line of fcdd-score on inputs below the folder."""
        source = ["--url", url] if url else ["--model", str(model or self.model)]
        paths = [os.fsdecode(path) for path in (inputs or [folder / "study"])]
        return [str(BIN / "fcdd-score"), *paths, *source, "--out", str(folder / "out")]

    def all(self) -> list[Callable[[Path, ExitStack], Case]]:
        """Return the makers of all cases."""
        makers: list[Callable[[Path, ExitStack], Case]] = []
        for family in (
            self.harmless, self.vanished, self.contracts, self.answers, self.replaced_models, self.patients,
            self.folders, self.names, self.codecs, self.geometry, self.pictures, self.texts, self.archives,
            self.headers, self.servers,
        ):  # fmt: skip
            makers += list(family())
        return makers

    def harmless(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        """Ordinary studies: were they put to review too, no other family would show anything."""
        for enhanced in (False, True):

            def make(folder: Path, _: ExitStack, enhanced: bool = enhanced) -> Case:
                MockStudy(breast_phantom(), enhanced=enhanced).write(folder / "study")
                return Case("ordinary studies", self.score(folder), frozenset({"score"}))

            yield make

    def vanished(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        damages: dict[str, Callable[[bytes], bytes]] = {
            "empty": lambda _: b"",
            "zeroed": lambda data: bytes(len(data)),
            "cut": lambda data: data[: int(self.random.integers(1, 2000))],
            "shifted": lambda data: bytes(3) + data,
            "pixels zeroed": lambda data: data[:-8000] + bytes(8000),
            "header lost": lambda data: data[132:],
            "mark lost": lambda data: data[:128] + b"\1\2\3\4" + data[132:],
        }
        counts = range(1, 5) if self.long else (3,)
        for damage in damages.values():
            for count in counts:

                def make(folder: Path, _: ExitStack, damage: Any = damage, count: int = count) -> Case:
                    for number, path in enumerate(MockStudy(breast_phantom()).write(folder / "study")):
                        if number % 10 >= 10 - count:
                            path.write_bytes(damage(path.read_bytes()))
                    return Case("files that vanish", self.score(folder), NOT_SILENT)

                yield make

    def contracts(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        def edit(contract: dict[str, Any], entry: str) -> None:
            if entry == "threshold":
                contract["operating_point"] = {"threshold": 100.0, "sensitivity": None, "source": ""}
            elif entry == "window":
                contract["recipe"]["window_high_quantile"] = 0.5
            elif entry == "depth":
                contract["notes"] = json.loads("[" * 900 + "]" * 900)
            elif entry == "digits":
                contract["max_batch_size"] = int("9" * 400)
            else:
                contract["resize"]["size"] = 10**9

        for entry in ("threshold", "window", "depth", "digits", "size"):
            for rehashed in (False, True):
                for test in (False, True):

                    def make(
                        folder: Path, _: ExitStack, entry: str = entry, rehashed: bool = rehashed, test: bool = test
                    ) -> Case:
                        MockStudy(breast_phantom()).write(folder / "study")
                        model = Path(shutil.copytree(self.model, folder / "model"))
                        document = json.loads((model / "contract.json").read_text())
                        edit(document, entry)
                        text = json.dumps(document)
                        if rehashed:  # as somebody would who knows how; config.pbtxt still says otherwise
                            with contextlib.suppress(Exception):
                                document.pop("sha256")
                                text = ModelContract.from_json(json.dumps(document | {"schema_version": 1})).to_json()
                        (model / "contract.json").write_text(text)
                        command = self.score(folder, model=model)
                        if test:
                            command = [command[0], "--self-test", "--model", str(model)]
                        return Case("contracts that can be edited", command, frozenset({"error"}))

                    yield make

    def answers(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        maps = np.ones((1, 1, 28, 28), np.float32)
        wrong: list[tuple[float, Any]] = [
            (-1e30, maps), (0, maps * 50), (0, maps * 0), (1, -maps), (float("nan"), maps), (2, maps),
            (1, maps * np.float32("inf")), (1, maps[..., :27]), (1.01, maps),
        ]  # fmt: skip
        for score, anomaly_map in wrong:

            def make(folder: Path, stack: ExitStack, score: float = score, anomaly_map: Any = anomaly_map) -> Case:
                MockStudy(breast_phantom()).write(folder / "study")
                calls = iter([good])  # the golden image comes out right

                def infer(request: Any, context: Any) -> Any:
                    for right in calls:
                        return right(request)
                    count = request.inputs[0].shape[0]
                    shape = (count, *anomaly_map.shape[1:])
                    scores = np.full((count, 1), score, np.float32)
                    return answer(scores, np.ascontiguousarray(np.broadcast_to(anomaly_map, shape)))

                url, _ = stack.enter_context(scripted(infer))
                return Case("impossible answers", self.score(folder, url=url), frozenset({"error"}))

            yield make

    def replaced_models(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        for change in ({"operating_point": None}, {"name": "other"}, {"max_batch_size": 1}):

            def make(folder: Path, stack: ExitStack, change: dict[str, Any] = change) -> Case:
                for name in "abc":
                    MockStudy(breast_phantom(), study=name).write(folder / "study" / name)
                other = dataclasses.replace(make_contract(), **change).to_json()
                calls = 0

                def infer(request: Any, _: Any) -> Any:
                    nonlocal calls
                    calls += 1
                    if calls == 3:
                        servicer.contract = other
                    return good(request)

                url, servicer = stack.enter_context(scripted(infer))

                def also(text: str) -> str:
                    done = len(list((folder / "out").glob("*/result.json")))
                    page = (folder / "out" / "index.html").read_text()
                    left = page.count("the run ended before it was scored")
                    named = make_contract().sha256[:12] in text and ModelContract.from_json(other).sha256[:12] in text
                    return "" if (done, left, named) == (1, 2, True) else f"{done} scored, {left} left over"

                return Case("another model under way", self.score(folder, url=url), frozenset({"error"}), also)

            yield make

    def patients(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        for keyword, value, allowed in (
            ("PatientID", "B", "error"),
            ("PatientBirthDate", "19990101", "error"),
            ("IssuerOfPatientID", "X", "error"),
            ("PatientName", "Doe^Jane", "review"),
            ("PatientID", "", "review"),
        ):

            def make(
                folder: Path, _: ExitStack, keyword: str = keyword, value: str = value, allowed: str = allowed
            ) -> Case:
                own = {"PatientID": "A", "PatientName": "Roe^Anne", "PatientBirthDate": "19700101"}
                mock = MockStudy(breast_phantom(), attributes={**own, "IssuerOfPatientID": "H"})
                for path in mock.write(folder / "study")[10:]:
                    header = dcmread(path)
                    setattr(header, keyword, value)
                    header.save_as(path)
                return Case("two patients in one study", self.score(folder), frozenset({allowed}))

            yield make

    def folders(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        def other_study(folder: Path, _: ExitStack) -> Case:
            mock = MockStudy(breast_phantom())
            mock.write(folder / "study")
            place = folder / "out" / study_folder_name(mock.study_instance_uid)
            place.mkdir(parents=True)
            (place / "result.json").write_text('{"study_instance_uid": "1.2.3", "state": "review"}')
            before = (place / "result.json").read_text()
            return Case(
                "folders of others",
                self.score(folder),
                frozenset({"error"}),
                lambda _: "" if (place / "result.json").read_text() == before else "the other's result was replaced",
            )

        def two_calls(folder: Path, stack: ExitStack) -> Case:
            MockStudy(breast_phantom()).write(folder / "study")
            (folder / "out").mkdir()
            stack.enter_context(locked_folder(folder / "out"))
            return Case("folders of others", self.score(folder), frozenset({"error"}))

        def server_fault(folder: Path, stack: ExitStack) -> Case:
            mock = MockStudy(breast_phantom())
            mock.write(folder / "study")
            url, servicer = stack.enter_context(scripted())
            subprocess.run(self.score(folder, url=url), check=True, capture_output=True)
            place = folder / "out" / study_folder_name(mock.study_instance_uid) / "report.html"
            servicer.infer = lambda request, context: (
                good(request) if servicer.calls % 2 else answer(np.zeros((0,), np.float32), np.zeros((0,), np.float32))
            )
            servicer.calls = 0
            return Case(
                "folders of others",
                self.score(folder, url=url),
                frozenset({"error"}),
                lambda _: "" if place.exists() else "the server's fault removed a result",
            )

        yield from (other_study, two_calls, server_fault)

    def names(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        def unsaid(folder: Path, text: str) -> str:
            shown = text.replace(str(folder), "")
            return "a name is printed" if any(secret in shown for secret in SECRETS) else ""

        def unreadable(folder: Path, _: ExitStack) -> Case:
            MockStudy(breast_phantom()).write(folder / "study")
            (folder / "JANE_DOE.zip").write_bytes(b"PK\3\4 broken")
            (folder / "images_DOE").mkdir()
            (folder / "images_DOE" / "JANE.png").write_bytes(b"no image")
            inputs = [
                folder / ("JANE_DOE" * 60), folder / "JANE_DOE.zip" / "x", folder / "JANE_DOE.zip",
                folder / "images_DOE", folder / "no JANE", Path(os.fsdecode(bytes(folder) + b"/JANE\xff")),
            ]  # fmt: skip
            command = self.score(folder, *inputs, folder / "study")

            def also(text: str) -> str:
                scored = list((folder / "out").glob("*/result.json"))
                return unsaid(folder, text) or ("" if len(scored) == 1 else "the good study was not scored")

            return Case("names on the terminal", command, frozenset({"error"}), also)

        def formula(folder: Path, _: ExitStack) -> Case:
            for path in MockStudy(breast_phantom()).write(folder / "study"):
                header = dcmread(path)
                header.StudyInstanceUID = "=HYPERLINK(1)"
                header.save_as(path)

            def also(_: str) -> str:
                rows = csv.reader(io.StringIO((folder / "out" / "summary.csv").read_text()))
                return "a formula" if any(cell.startswith(("=", "+", "@")) for row in rows for cell in row) else ""

            return Case("names on the terminal", self.score(folder), frozenset({"score", "review", "error"}), also)

        yield from (unreadable, formula)

    def codecs(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        import imagecodecs  # noqa: PLC0415

        side = 20_000 if self.long else 12_000
        encoders: dict[str, Callable[[Any], bytes]] = {
            "1.2.840.10008.1.2.4.70": lambda image: bytes(imagecodecs.ljpeg_encode(image)),
            "1.2.840.10008.1.2.4.80": lambda image: bytes(imagecodecs.jpegls_encode(image)),
            "1.2.840.10008.1.2.4.90": lambda image: bytes(imagecodecs.jpeg2k_encode(image, codecformat="j2k")),
            "1.2.840.10008.1.2.4.51": lambda image: bytes(imagecodecs.jpeg_encode(image, bitspersample=12)),
            "1.2.840.10008.1.2.4.201": lambda image: bytes(imagecodecs.htj2k_encode(image)),
            "1.2.840.10008.1.2.5": lambda _: struct.pack("<16L", 2, 64, 64 + 2**22, *[0] * 13) + b"\x81\0" * 2**22,
        }
        for syntax, encode in encoders.items():

            def make(folder: Path, _: ExitStack, syntax: str = syntax, encode: Any = encode) -> Case:
                frame = encode(np.zeros((side, side), np.uint16))
                for path in MockStudy(breast_phantom()).write(folder / "study"):
                    header = dcmread(path)
                    header.file_meta.TransferSyntaxUID = UID(syntax)
                    header.PixelData = encapsulate([frame])
                    header["PixelData"].VR = "OB"
                    header["PixelData"].is_undefined_length = True
                    header.save_as(path)
                return Case("codecs", self.score(folder), frozenset({"error"}))

            yield make

    def geometry(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        values = [1e-9, 1e9, 1e30, 0.0, -1.0] + ([1e-3, 1e4, 1e-300, 5e-324, 1e300] if self.long else [])
        for keyword, count in (
            ("PixelSpacing", 2), ("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("SliceThickness", 1),
            ("SpacingBetweenSlices", 1), ("RescaleSlope", 1), ("RescaleIntercept", 1), ("Rows", 0), ("Columns", 0),
        ):  # fmt: skip
            for value in values:

                def make(
                    folder: Path, _: ExitStack, keyword: str = keyword, count: int = count, value: float = value
                ) -> Case:
                    for path in MockStudy(breast_phantom()).write(folder / "study"):
                        header = dcmread(path)
                        odd: Any = [value] * count if count > 1 else value
                        setattr(header, keyword, odd if count else min(int(abs(value)), 65535))
                        header.save_as(path)
                    harmless = keyword in ("SliceThickness", "SpacingBetweenSlices")
                    scaled = keyword in ("RescaleIntercept", "RescaleSlope") and abs(value) <= 1e12
                    return Case(
                        "geometry", self.score(folder), NOT_SILENT | ({"score"} if harmless or scaled else set())
                    )

                yield make

    def pictures(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        def bombs(folder: Path, _: ExitStack, side: int, count: int) -> Case:
            (folder / "study").mkdir()
            row = zlib.compress(bytes((side + 1) * side), 9)
            head = struct.pack(">LLBBBBB", side, side, 8, 0, 0, 0, 0)
            chunks = ((b"IHDR", head), (b"IDAT", row), (b"IEND", b""))
            picture = b"\x89PNG\r\n\x1a\n" + b"".join(
                struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))
                for kind, body in chunks
            )
            for number in range(count):
                (folder / "study" / f"{number:03d}.png").write_bytes(picture)
            return Case("pictures", self.score(folder), frozenset({"score", "error"}))

        for side, count in ((8000, 33), (4000, 33), (30_000, 2)):
            yield partial(bombs, side=side, count=count)

    def texts(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        texts = {"deep": "[" * 100_000, "digits": '{"threshold": ' + "9" * 400 + "}", "half": '{"threshold": ', "": ""}
        for text in texts.values():

            def point(folder: Path, _: ExitStack, text: str = text) -> Case:
                (folder / "point.json").write_text(text)
                command = [str(BIN / "fcdd-export"), "--operating-point", str(folder / "point.json")]
                return Case("texts", [*command, "--repo", str(folder / "repo")], frozenset({"error"}))

            def recipe(folder: Path, _: ExitStack, text: str = text) -> Case:
                (folder / "recipe.toml").write_text(f"post_contrast_phase = {text or '['}")
                command = [str(BIN / "fcdd-export"), "--recipe", str(folder / "recipe.toml")]
                return Case("texts", [*command, "--repo", str(folder / "repo")], frozenset({"error"}))

            yield from (point, recipe)

        def snapshot(folder: Path, _: ExitStack) -> Case:
            source = Path(shutil.copytree(ROOT / "examples" / "phantom" / "snapshot", folder / "snapshot"))
            with (
                zipfile.ZipFile(source / "snapshot.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
                archive.open("archive/data.pkl", "w", force_zip64=True) as file,
            ):
                for _megabyte in range(4096 if self.long else 512):
                    file.write(bytes(2**20))
            return Case(
                "texts", [str(BIN / "fcdd-export"), str(source), "--repo", str(folder / "repo")], frozenset({"error"})
            )

        yield snapshot

    def archives(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        def bomb(folder: Path, _: ExitStack, size: int) -> Case:
            with zipfile.ZipFile(folder / "study.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                archive.writestr("a.dcm", bytes(size))
            return Case("archives", self.score(folder, folder / "study.zip"), frozenset({"error"}))

        def outside(folder: Path, _: ExitStack) -> Case:
            with zipfile.ZipFile(folder / "study.zip", "w") as archive:
                for number, path in enumerate(MockStudy(breast_phantom()).write(folder / "files")):
                    archive.write(path, f"../../evil{number}")

            def also(_: str) -> str:
                return "it wrote outside" if list(folder.parent.glob("evil*")) else ""

            return Case("archives", self.score(folder, folder / "study.zip"), frozenset({"score"}), also)

        yield partial(bomb, size=2**28)
        yield outside

    def headers(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        for _ in range(200 if self.long else 12):
            seed = int(self.random.integers(2**31))

            def make(folder: Path, _: ExitStack, seed: int = seed) -> Case:
                random = np.random.default_rng(seed)
                for path in MockStudy(breast_phantom()).write(folder / "study"):
                    if random.random() < 0.5:
                        data = bytearray(path.read_bytes())
                        for place in random.integers(132, 1500, random.integers(1, 20)):
                            data[place] = random.integers(256)
                        path.write_bytes(data)
                return Case("damaged headers", self.score(folder), frozenset({"score", "review", "error"}))

            yield make

    def servers(self) -> Iterator[Callable[[Path, ExitStack], Case]]:
        """Requests that try to end or swell a real server; it has to score afterwards as before."""
        attacks: dict[str, Callable[[Ports, int], None]] = {
            "nothing": lambda _, pid: None,
            "5 MB to the metrics": lambda ports, _: post(ports.metrics, bytes(5_000_000)),
            "nested JSON to the metrics": lambda ports, _: post(ports.metrics, b"[" * 97_000),
            "a packed gigabyte to the metrics": lambda ports, _: post(ports.metrics, gzip.compress(bytes(2**28), 1)),
            "5 MB to the health port": lambda ports, _: post(ports.health, bytes(5_000_000)),
            "a long line to the health port": lambda ports, _: send(ports.health, b"GET /" + b"x" * 10**6),
            "random bytes to gRPC": lambda ports, _: send(ports.grpc, self.random.bytes(10**6)),
            "HTTP to gRPC": lambda ports, _: post(ports.grpc, bytes(5_000_000)),
            "a killed model": lambda _, pid: kill_below(pid, "python_backend_stub"),
            "a killed server": lambda _, pid: kill_below(pid, "tritonserver"),
        }
        for attack in attacks.values():

            def make(folder: Path, stack: ExitStack, attack: Any = attack) -> Case:
                MockStudy(breast_phantom()).write(folder / "study")
                ports, pid = stack.enter_context(serving(self.model.parent, folder / "serve.log"))
                attack(ports, pid)
                ready_again(ports)

                def also(_: str) -> str:
                    peak = memory_of(pid)
                    return "" if peak < MEMORY_LIMIT else f"the server holds {peak / 1e9:.1f} GB"

                url = f"grpc://127.0.0.1:{ports.grpc}/{self.model.name}"
                return Case("servers", self.score(folder, url=url), frozenset({"score"}), also)

            yield make

        for name in ("golden.npz", "contract.json", "config.pbtxt"):

            def damaged(folder: Path, _: ExitStack, name: str = name) -> Case:
                repo = folder / "repo"
                path = Path(shutil.copytree(self.model, repo / self.model.name)) / name
                path.write_bytes(path.read_bytes()[:-100])
                command = [str(BIN / "fcdd-serve"), "--repo", str(repo), "--log", str(folder / "log")]
                return Case("servers", command, frozenset({"error"}))

            yield damaged


@dataclass(frozen=True)
class Ports:
    """Where a server listens."""

    grpc: int
    metrics: int
    health: int


@contextlib.contextmanager
def serving(repo: Path, log: Path) -> Iterator[tuple[Ports, int]]:
    """Run fcdd-serve; yield its ports and its process."""
    ports = Ports(*free_ports(3))
    numbers = [f"--{name}-port={number}" for name, number in dataclasses.asdict(ports).items()]
    command = [str(BIN / "fcdd-serve"), "--repo", str(repo), "--log", str(log), "--canary-interval", "1", *numbers]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield ports, process.pid
    finally:
        process.terminate()
        process.wait()


def post(port: int, body: bytes) -> None:
    """Send a POST; whatever is answered, or nothing."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/metrics", body, {"Content-Encoding": "gzip"})
        connection.getresponse().read()


def send(port: int, data: bytes) -> None:
    """Send bytes and wait for an answer or an end."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        connection.recv(1000)


def kill_below(pid: int, name: str) -> None:
    """Kill the processes of a name below another, and wait until the death was noticed."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            if name in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[0].decode():
                os.kill(child, signal.SIGKILL)
                time.sleep(4)
                return
            kill_below(child, name)


def ready_again(ports: Ports) -> None:
    """Wait for a server that says that it is ready, for at most half a minute."""
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        with contextlib.suppress(OSError, urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{ports.health}/ready", timeout=5).read()
            return
        time.sleep(0.2)


def main() -> int:
    """Run all cases, print the table, and return 1 if there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="many more of each kind")
    options = parser.parse_args()
    rows: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory(prefix="fcdd-hostile-") as scratch:
        repo = Path(scratch) / "repo"
        export = [str(BIN / "fcdd-export"), "--precision", "fp32", "--repo", str(repo)]
        subprocess.run(export, check=True, capture_output=True)
        forget_grey(repo / "fcdd_fp32")
        for number, make in enumerate(Families(repo / "fcdd_fp32", options.long).all()):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            with ExitStack() as stack:
                case = make(folder, stack)
                outcome = run(case, folder / "out")
            rows.setdefault(case.family, []).append(outcome)
            if outcome.problem:
                print(f"FINDING {case.family}, case {number}: {outcome.problem}", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
    print(table(rows))
    return int(any(outcome.problem for found in rows.values() for outcome in found))


def forget_grey(model: Path) -> None:
    """Let a model take studies of any grey: drawn ones are all unlike its own, and each would be put to review."""
    contract = dataclasses.replace(read_contract(model), grey=None)
    (model / CONTRACT_FILE).write_text(contract.to_json())
    (model / CONFIG_FILE).write_text(config_text(contract, read_golden(model), version=1))


def table(rows: dict[str, list[Outcome]]) -> str:
    """Return a line a family: cases, outcomes, longest time, largest memory, findings."""
    lines: list[tuple[str, ...]] = [("family", "cases", "score", "review", "error", "longest", "memory", "findings")]
    for family, found in rows.items():
        names = [outcome.name for outcome in found]
        longest, peak = max(outcome.seconds for outcome in found), max(outcome.peak_bytes for outcome in found)
        counts = [str(names.count(name)) for name in ("score", "review", "error")]
        findings = sum(bool(outcome.problem) for outcome in found)
        lines.append((family, str(len(found)), *counts, f"{longest:.1f} s", f"{peak / 1e6:.0f} MB", str(findings)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
