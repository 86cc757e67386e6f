"""Text from outside: a reader answers whatever it is with one sentence, soon and in little memory."""

import base64
import io
import json
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from result_builders import make_contract

from fcdd_benchmarks.accuracy.labelled_images import read_labelled_images
from fcdd_benchmarks.kinds import read_report
from fcdd_benchmarks.report.document import report_from_json
from fcdd_export.networks.operating_point import read_operating_point
from fcdd_export.networks.recipe import MAX_RECIPE_BYTES, read_recipe
from fcdd_export.networks.snapshot import load_snapshot
from fcdd_runtime.backends.copies import check_config
from fcdd_runtime.backends.golden import MAX_GOLDEN_BYTES, golden_from_bytes
from fcdd_runtime.backends.tensorrt.identity import EngineIdentity
from fcdd_runtime.contract import ModelContract, read_contract
from fcdd_runtime.errors import ContractError, FcddError, SnapshotError
from fcdd_runtime.images.references import folder_references
from fcdd_runtime.outside_text import MAX_BYTES
from support import WriteSnapshot

DEEP, LONG, LARGE = "[" * 100_000, "9" * 400, "1" + "0" * 5000
TEXTS = {
    "deep lists": DEEP,
    "deep lists, closed": DEEP + "]" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "a number of 400 digits": f'{{"threshold": {LONG}, "schema_version": {LONG}, "net": "x"}}',
    "a negative one": f'{{"schema_version": -{LONG}}}',
    "a number of 5,000 digits": f"[{LARGE}]",
    "beyond floats": '{"threshold": 1e400, "schema_version": 2}',
    "not finite": '{"threshold": NaN, "schema_version": Infinity}',
    "no text": "\x00\x01",
    "an array": "[]",
    "many entries": json.dumps({"schema_version": 1} | {f"entry{number}": 0 for number in range(5000)}),
    "many bytes": "[" + "{}," * 600_000 + "0]",
    "half of it": make_contract().to_json()[:700],
}


def of_operating_point(text: str, folder: Path) -> Any:
    (folder / "point.json").write_text(text)
    return read_operating_point(folder / "point.json")


def of_contract_file(text: str, folder: Path) -> Any:
    (folder / "contract.json").write_text(text)
    return read_contract(folder)


def of_recipe(text: str, folder: Path) -> Any:
    (folder / "recipe.toml").write_text(f"post_contrast_phase = {text}")
    return read_recipe(folder / "recipe.toml")


def of_config(text: str, folder: Path) -> Any:
    (folder / "config.txt").write_text(text)
    (folder / "snapshot.pt").write_bytes(b"")
    return load_snapshot(folder)


READERS: dict[str, Callable[[str, Path], Any]] = {
    "contract of a server": lambda text, _: ModelContract.from_json(text),
    "contract.json": of_contract_file,
    "engine.json": lambda text, _: EngineIdentity.from_json(text),
    "operating point": of_operating_point,
    "recipe": of_recipe,
    "config.txt": of_config,
    "report.json": lambda text, _: report_from_json(text.encode(), {}),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_every_reader_answers_with_a_sentence(reader: Callable[[str, Path], Any], text: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((FcddError, ValueError, TypeError)) as caught:
        reader(text, tmp_path)
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "contract.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ContractError, match="no readable"):
        read_contract(tmp_path)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("max_batch_size", 10**9),
        ("map_shape", [10**9, 28]),
        ("resize", {"rule": "squash", "size": 10**9, "shorter_side": 10**9}),
        ("resize", {"rule": "squash", "size": 224, "shorter_side": 10**9}),
        ("upsampling", {"jump": 10**9, "extent": 68, "shift": 3.5, "std": 8.0}),
        ("upsampling", {"jump": 8, "extent": 10**9, "shift": 3.5, "std": 8.0}),
        ("upsampling", {"jump": 8, "extent": 68, "shift": 1e300, "std": 8.0}),
        ("upsampling", {"jump": 8, "extent": 68, "shift": 3.5, "std": 1e300}),
        ("recipe", {"post_contrast_phase": 10**9}),
        ("recipe", {"posterior_margin_mm": 1e9}),
    ],
)
def test_sizes_of_a_contract_have_bounds(entry: str, value: Any) -> None:
    document = json.loads(make_contract().to_json()) | {"schema_version": 1, entry: value}
    del document["sha256"]
    with pytest.raises(ContractError, match="out of range|post_contrast_phase is in"):
        ModelContract.from_json(json.dumps(document))


@pytest.mark.parametrize("value", [[1], "x", 1, "y" * 10**5, [0] * 10**5])
@pytest.mark.parametrize("entry", ["versions", "resize", "inputs", "map_shape", "precision", "engine_source"])
def test_an_entry_of_another_kind_is_said_shortly(entry: str, value: Any) -> None:
    document = json.loads(make_contract().to_json()) | {"schema_version": 1, entry: value}
    del document["sha256"]
    with pytest.raises(ContractError, match="export the model again") as caught:
        ModelContract.from_json(json.dumps(document))
    assert len(str(caught.value)) < 400


def test_unknown_entries_of_a_recipe_are_named_shortly(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("\n".join(f"entry{number} = 0" for number in range(3000)))
    with pytest.raises(ContractError, match="unknown entries .'entry0'") as caught:
        read_recipe(path)
    assert len(str(caught.value)) < 300
    path.write_text("# " + "x" * MAX_RECIPE_BYTES)
    with pytest.raises(ContractError, match="more than 64 kB"):
        read_recipe(path)
    path.write_text("post_contrast_phase = 2")
    assert read_recipe(path).post_contrast_phase == 2


@pytest.mark.parametrize("name", ["report.json", "references.csv", "groups.csv", "config.pbtxt"])
def test_files_that_are_too_large_are_not_read_whatever_they_are(name: str, tmp_path: Path) -> None:
    for folder in ("normal", "anomalous"):
        (tmp_path / folder).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / folder / "0.png")
    with (tmp_path / name).open("wb") as file:
        file.truncate(2**40)
    readers: dict[str, Callable[[], Any]] = {
        "report.json": lambda: read_report(tmp_path),
        "references.csv": lambda: folder_references(tmp_path / name, tmp_path),
        "groups.csv": lambda: read_labelled_images(tmp_path, None, None),
        "config.pbtxt": lambda: check_config(tmp_path, make_contract()),
    }
    with pytest.raises(FcddError, match="cannot be|no report"):
        readers[name]()


def test_golden_vectors_that_unpack_to_more_are_refused_before_that() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mip.npy", bytes(MAX_GOLDEN_BYTES))
        archive.writestr("score.npy", b"x")
    with pytest.raises(ContractError, match="damaged"):
        golden_from_bytes(buffer.getvalue())
    header = io.BytesIO()
    write_header: Callable[..., None] = np.lib.format.write_array_header_1_0
    write_header(header, {"descr": "|u1", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("mip.npy", header.getvalue())
    with pytest.raises(ContractError, match="damaged"):
        golden_from_bytes(buffer.getvalue())
    with pytest.raises(ContractError, match="damaged"):
        golden_from_bytes(base64.b64decode("AAAA"))


def test_a_snapshot_of_packed_records_is_refused_before_they_are_unpacked(
    write_snapshot: WriteSnapshot, tmp_path: Path
) -> None:
    folder = write_snapshot(tmp_path / "snapshot")
    load_snapshot(folder)
    with zipfile.ZipFile(folder / "snapshot.pt") as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / "snapshot.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
        archive.writestr("archive/data/99999", bytes(2**26))
    assert (folder / "snapshot.pt").stat().st_size < 2**23
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SnapshotError, match="packed records, which torch never writes"):
        load_snapshot(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024
