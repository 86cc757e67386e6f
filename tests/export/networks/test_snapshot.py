import json
import pickle
from pathlib import Path

import pytest
import torch

from fcdd_export.networks import fcdd_ref
from fcdd_export.networks.operating_point import read_operating_point
from fcdd_export.networks.registry import NETWORKS
from fcdd_export.networks.snapshot import load_snapshot
from fcdd_runtime.errors import SnapshotError
from support import WriteSnapshot


@pytest.mark.parametrize("net", sorted(NETWORKS))
def test_every_network_of_the_list_loads(
    net: str, tmp_path: Path, write_snapshot: WriteSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcdd_ref, "HIDDEN", 16)  # VGG's hidden layers alone would be half a gigabyte
    snapshot = load_snapshot(write_snapshot(tmp_path, net=net, objective=NETWORKS[net].objectives[0]))
    assert snapshot.net == net
    assert (snapshot.gauss_std, snapshot.quantile) == (10, 0.97)
    served = snapshot.network.served(snapshot.objective, [0.2] * 3, [0.1] * 3)
    score, anomaly_map = served(*(torch.zeros(2, 1, 224, 224, dtype=torch.uint8) for _ in served.inputs))
    assert (score.shape, anomaly_map.shape) == ((2, 1), (2, 1, 28, 28))


def test_weights_without_bias_load_where_the_training_had_none(tmp_path: Path, write_snapshot: WriteSnapshot) -> None:
    snapshot = load_snapshot(write_snapshot(tmp_path, bias=False))
    assert not [name for name, _ in snapshot.network.named_parameters() if name.endswith("bias")]


@pytest.mark.parametrize(
    ("preproc", "rule", "shorter_side"),
    [("none", "squash", 224), ("", "squash", 224), (None, "squash", 224), ("aug1", "shorter_side_center_crop", 248)],
)
def test_preproc_decides_how_images_are_resized(
    preproc: str | None, rule: str, shorter_side: int, tmp_path: Path, write_snapshot: WriteSnapshot
) -> None:
    resize = load_snapshot(write_snapshot(tmp_path, preproc=preproc)).resize
    assert (resize.rule, resize.size, resize.shorter_side) == (rule, 224, shorter_side)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"net": "FCDD_CNN28"}, "FCDD_CNN28.*takes.*FCDD_CNN224_VGG_NOPT"),
        ({"net": "FCDD_REF_CNN224_VGG_NOPT_12"}, "FCDD_REF_CNN224_VGG_NOPT_12'.*takes.*VGG_BCE_CROP"),
        ({"net": "VGG_BCE"}, "VGG_BCE'.*takes.*CNN224_CROP"),
        ({"net": "AE224_VGG_NOPT"}, "AE224_VGG_NOPT'.*takes"),
        ({"objective": "hsc"}, "objective 'hsc'"),
        ({"preproc": "aug2"}, "preproc 'aug2'"),
        ({"gauss_std": None}, "gauss_std None"),
        ({"quantile": 1.5}, "quantile 1.5"),
    ],
)
def test_a_configuration_that_we_do_not_take_is_refused_by_name(
    config: dict[str, object], words: str, tmp_path: Path, write_snapshot: WriteSnapshot
) -> None:
    write_snapshot(tmp_path)
    changed = {"net": "FCDD_CNN224", "objective": "fcdd", "gauss_std": 10, "quantile": 0.97, **config}
    (tmp_path / "config.txt").write_text(json.dumps(changed))
    with pytest.raises(SnapshotError, match=words):
        load_snapshot(tmp_path)


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    document = torch.load(folder / "snapshot.pt", weights_only=True)
    for name, value in changes.items():
        key = name.replace("__", ".")
        if value is None:
            del document["net"][key]
        else:
            document["net"][key] = value
    torch.save(document, folder / "snapshot.pt")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conv1__bias": None}, "lack conv1.bias"),
        ({"conv9__bias": torch.zeros(1)}, "hold conv9.bias, unknown to FCDD_CNN224"),
        ({"conv1__bias": torch.zeros(9)}, r"conv1.bias has shape \(9,\) instead of \(8,\)"),
        ({"conv1__bias": torch.full((8,), float("nan"))}, "conv1.bias holds NaN"),
    ],
)
def test_weights_that_do_not_fit_the_network_are_refused(
    changes: dict[str, torch.Tensor | None], words: str, tmp_path: Path, write_snapshot: WriteSnapshot
) -> None:
    change_weights(write_snapshot(tmp_path), **changes)
    with pytest.raises(SnapshotError, match=words):
        load_snapshot(tmp_path)


class RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must never run",)


def test_a_pickle_that_wants_more_than_tensors_is_not_opened(
    tmp_path: Path, write_snapshot: WriteSnapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"net": RunsCode()}, write_snapshot(tmp_path) / "snapshot.pt", pickle_module=pickle)
    with pytest.raises(SnapshotError, match="more than tensors"):
        load_snapshot(tmp_path)
    assert "must never run" not in capsys.readouterr().out


@pytest.mark.parametrize("kept", [0, 1, 100, 20_000])
def test_a_truncated_snapshot_is_refused(kept: int, tmp_path: Path, write_snapshot: WriteSnapshot) -> None:
    weights = write_snapshot(tmp_path) / "snapshot.pt"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(SnapshotError, match="truncated|damaged"):
        load_snapshot(tmp_path)


def test_a_state_dict_on_its_own_is_refused(tmp_path: Path, write_snapshot: WriteSnapshot) -> None:
    torch.save({"conv1.bias": torch.zeros(8)}, write_snapshot(tmp_path) / "snapshot.pt")
    with pytest.raises(SnapshotError, match="no state dict under 'net'"):
        load_snapshot(tmp_path)


@pytest.mark.parametrize("missing", ["config.txt", "snapshot.pt"])
def test_a_missing_file_is_named(missing: str, tmp_path: Path, write_snapshot: WriteSnapshot) -> None:
    (write_snapshot(tmp_path) / missing).unlink()
    with pytest.raises(SnapshotError, match=missing):
        load_snapshot(tmp_path)


def test_a_configuration_without_its_json_line_is_refused(tmp_path: Path, write_snapshot: WriteSnapshot) -> None:
    (write_snapshot(tmp_path) / "config.txt").write_text("FCDD_CNN224(\n)\n\n{not json\n")
    with pytest.raises(SnapshotError, match="no line of JSON"):
        load_snapshot(tmp_path)


@pytest.mark.parametrize(
    "text", ['{"mean": [0.1], "std": [0]}', '{"mean": "x"}', "[]", "{", '{"mean": [2], "std": [1]}']
)
def test_an_unusable_normalization_file_is_refused(text: str, tmp_path: Path, write_snapshot: WriteSnapshot) -> None:
    (write_snapshot(tmp_path) / "normalization.json").write_text(text)
    with pytest.raises(SnapshotError, match=r"normalization\.json"):
        load_snapshot(tmp_path)


def test_an_operating_point_beside_the_snapshot_is_read(tmp_path: Path, write_snapshot: WriteSnapshot) -> None:
    point = {"threshold": 0.5, "sensitivity": 0.95, "source": "validation"}
    (write_snapshot(tmp_path) / "operating_point.json").write_text(json.dumps(point))
    found = load_snapshot(tmp_path).operating_point
    assert found is not None
    assert (found.threshold, found.sensitivity, found.source) == (0.5, 0.95, "validation")


@pytest.mark.parametrize(
    "text", ["{}", '{"threshold": NaN}', '{"threshold": 1, "sensitivity": 2}', '{"threshold": "1"}']
)
def test_an_unusable_operating_point_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "point.json"
    path.write_text(text)
    with pytest.raises(SnapshotError, match="threshold"):
        read_operating_point(path)


def test_a_flipped_byte_in_the_weights_is_noticed(tmp_path: Path, write_snapshot: WriteSnapshot) -> None:
    weights = write_snapshot(tmp_path) / "snapshot.pt"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 0x40
    weights.write_bytes(data)
    with pytest.raises(SnapshotError, match="damaged"):
        load_snapshot(tmp_path)


@pytest.mark.parametrize(
    "odd",
    [
        torch.zeros(8, dtype=torch.complex64),
        torch.zeros(8, dtype=torch.int8),
        torch.zeros(8).to_sparse(),
        torch.quantize_per_tensor(torch.zeros(8), 0.1, 0, torch.qint8),
    ],
    ids=["complex", "whole numbers", "sparse", "quantised"],
)
def test_weights_that_are_no_plain_real_numbers_are_refused(
    odd: torch.Tensor, tmp_path: Path, write_snapshot: WriteSnapshot
) -> None:
    change_weights(write_snapshot(tmp_path), conv1__bias=odd)
    with pytest.raises(SnapshotError, match=r"conv1\.bias is no plain tensor|damaged"):
        load_snapshot(tmp_path)


def test_weights_of_a_data_parallel_wrapper_are_named(tmp_path: Path, write_snapshot: WriteSnapshot) -> None:
    change_weights(write_snapshot(tmp_path), module__conv1__bias=torch.zeros(8))
    with pytest.raises(SnapshotError, match=r"'module\.'"):
        load_snapshot(tmp_path)


def test_a_byte_order_mark_before_the_configuration_is_no_damage(tmp_path: Path, write_snapshot: WriteSnapshot) -> None:
    config = write_snapshot(tmp_path) / "config.txt"
    line = next(line for line in config.read_text().splitlines() if line.startswith("{"))
    config.write_text(line, encoding="utf-8-sig")
    assert load_snapshot(tmp_path).net == "FCDD_CNN224"


def test_a_snapshot_of_an_old_torch_says_what_to_save_it_with(tmp_path: Path, write_snapshot: WriteSnapshot) -> None:
    write_snapshot(tmp_path)
    document = torch.load(tmp_path / "snapshot.pt", weights_only=True)
    torch.save(document, tmp_path / "snapshot.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(SnapshotError, match=r"in the format of torch < 1\.6; save it with torch >= 1\.6"):
        load_snapshot(tmp_path)
