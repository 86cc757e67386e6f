"""Opening an exported model folder: what it says has to agree with itself, its first golden answer with the model."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from fcdd_runtime.backends import open_folder
from fcdd_runtime.backends.golden import golden_to_bytes, read_golden
from fcdd_runtime.contract import read_contract
from fcdd_runtime.errors import ContractError, GateError
from support import rewrite_contract


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(repository / "small_fp32", tmp_path / "small_fp32"))


def test_a_threshold_that_was_edited_in_one_place_only_is_refused(folder: Path) -> None:
    for name in ("contract.json", "config.pbtxt"):
        path = folder / name
        text = path.read_text()
        edited = text.replace('threshold": 0.5', 'threshold": 100.0').replace(
            'threshold\\": 0.5', 'threshold\\": 100.0'
        )
        assert edited != text
        path.write_text(edited)
        with pytest.raises(ContractError, match="not as it was written"):
            open_folder(folder)
        path.write_text(text)
    open_folder(folder).close()


def test_a_folder_whose_two_files_are_of_different_exports_is_refused(folder: Path, tmp_path: Path) -> None:
    config = (folder / "config.pbtxt").read_bytes()
    rewrite_contract(folder, operating_point=None)
    open_folder(folder).close()
    (folder / "config.pbtxt").write_bytes(config)
    with pytest.raises(ContractError, match=r"contract\.json and config\.pbtxt of .* describe different models"):
        open_folder(folder)


@pytest.mark.parametrize("text", [b"\xff\xfe", b"name: {", b""])
def test_a_damaged_configuration_is_refused(folder: Path, text: bytes) -> None:
    (folder / "config.pbtxt").write_bytes(text)
    with pytest.raises(ContractError, match="export the model again"):
        open_folder(folder)


def test_a_model_that_answers_its_first_golden_image_otherwise_is_not_opened(folder: Path) -> None:
    golden = read_golden(folder)
    golden.scores[0] *= np.float32(1.5)
    (folder / "golden.npz").write_bytes(golden_to_bytes(golden))
    with pytest.raises(ContractError, match=r"golden\.npz and config\.pbtxt .* different golden vectors"):
        open_folder(folder)
    (folder / "config.pbtxt").unlink()
    assert read_contract(folder).name == "small_fp32"
    with pytest.raises(GateError, match="not the model that was verified"):
        open_folder(folder)
