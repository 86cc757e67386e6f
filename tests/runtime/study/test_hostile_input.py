"""Input that is made to break readers: the process survives, memory stays bounded, the good study is scored."""

import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from mock_study import MockStudy, breast_phantom
from pydicom import dcmread

MEMORY_MB = 1024

RUNNER = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps({"code": done.returncode, "errors": done.stderr, "peak_mb": peak}))
"""


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    if vr in {b"OB", b"OW", b"SQ", b"UN"}:
        return head + struct.pack("<HI", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def preamble(syntax: str) -> bytes:
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = element(0x00020002, b"UI", b"1.2.840.10008.5.1.4.1.1.4\0") + element(0x00020010, b"UI", uid)
    return bytes(128) + b"DICM" + element(0x00020000, b"UL", struct.pack("<I", len(meta))) + meta


def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            with archive.open(str(number), "w") as file:
                for _ in range(1024):
                    file.write(bytes(1 << 20))


def deflate_bomb(path: Path) -> None:
    path.mkdir()
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = b"".join(squeezer.compress(bytes(1 << 20)) for _ in range(2048)) + squeezer.flush()
    (path / "a").write_bytes(preamble("1.2.840.10008.1.2.1.99") + body)


def nested_sequences(path: Path) -> None:
    path.mkdir()
    sequence = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    opening = sequence + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    (path / "a").write_bytes(preamble("1.2.840.10008.1.2.1") + opening * 20_000)


def declared_pixels(path: Path) -> None:
    [file] = MockStudy(breast_phantom(phases=1), enhanced=True, study="bad").write(path)
    header = dcmread(file)
    header.Rows = header.Columns = 65535
    header.PixelData = bytes(100)
    header.save_as(file)


def many_declared_frames(path: Path) -> None:
    [file] = MockStudy(breast_phantom(phases=2), enhanced=True, study="bad").write(path)
    header = dcmread(file)
    header.NumberOfFrames = 2**31 - 1
    header.save_as(file)


def symlink_loop(path: Path) -> None:
    (path / "b").mkdir(parents=True)
    (path / "b" / "a").symlink_to(path)
    (path / "self").symlink_to(path / "self")


def noise(path: Path) -> None:
    path.mkdir()
    for number in range(20):
        (path / f"IM{number:04d}").write_bytes(os.urandom(5000))
        (path / f"DC{number:04d}").write_bytes(preamble("1.2.840.10008.1.2.1") + os.urandom(5000))


@pytest.mark.parametrize(
    "make",
    [
        zip_bomb,
        deflate_bomb,
        nested_sequences,
        declared_pixels,
        many_declared_frames,
        symlink_loop,
        noise,
    ],
    ids=lambda make: make.__name__,
)
def test_hostile_input_is_one_sentence_and_the_good_study_is_scored(
    make: Callable[[Path], None], repository: Path, tmp_path: Path
) -> None:
    make(tmp_path / "bad")
    [bad] = tmp_path.glob("bad*")
    MockStudy(breast_phantom()).write(tmp_path / "good")
    command: list[Path | str] = [Path(sys.executable).parent / "fcdd-score", bad, tmp_path / "good"]
    command += ["--model", repository / "small_fp16", "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, *map(str, command)], capture_output=True, text=True, check=True, timeout=300
    )
    found = json.loads(done.stdout)
    assert found["code"] == 1, found
    errors = [line for line in found["errors"].splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, found
    assert "Traceback" not in found["errors"]
    assert found["peak_mb"] < MEMORY_MB
    assert len(list((tmp_path / "out").glob("*/result.json"))) == 1


def test_an_unreadable_file_is_named(repository: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser reads every file; run the tests as an ordinary user")
    files = MockStudy(breast_phantom()).write(tmp_path / "study")
    files[0].chmod(0)
    command: list[Path | str] = [Path(sys.executable).parent / "fcdd-score", tmp_path / "study"]
    command += ["--model", repository / "small_fp16", "--out", tmp_path / "out"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    number = sorted(files).index(files[0]) + 1
    assert f"file {number} could not be read" in done.stderr
