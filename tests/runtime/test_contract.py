import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from result_builders import make_contract

from fcdd_runtime.contract import GreyRange, MipRecipe, ModelContract, OperatingPoint, read_contract, recipe_from_plain
from fcdd_runtime.errors import ContractError


def test_a_contract_survives_its_json() -> None:
    grey = GreyRange(64, (0.1, 0.4), (0.0, 0.01), (0.1, 0.3))
    for contract in (make_contract(grey=grey), make_contract(operating_point=None, notes=("one", "two"))):
        assert ModelContract.from_json(contract.to_json()) == contract


def unhashed(**entries: Any) -> dict[str, Any]:
    """A contract as schema version 1 had it."""
    document: dict[str, Any] = json.loads(make_contract().to_json()) | {"schema_version": 1} | entries
    del document["sha256"]
    return document


def test_a_contract_of_an_earlier_release_is_read_with_what_it_was_run_with() -> None:
    document = unhashed()
    del document["grey"]
    contract = ModelContract.from_json(json.dumps(document))
    assert contract == make_contract(grey=None)
    assert ModelContract.from_json(contract.to_json()) == contract


@pytest.mark.parametrize("version", [1, 2])
def test_a_recipe_of_before_crops_means_the_whole_field_with_its_air(version: int) -> None:
    document = json.loads(make_contract().to_json())
    for name in ("crop", "crop_margin_mm", "air"):
        del document["recipe"][name]
    del document["sha256"]
    document["schema_version"] = version
    if version == 2:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        document["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    recipe = ModelContract.from_json(json.dumps(document)).recipe
    assert (recipe.crop, recipe.air) == ("field", "keep")
    assert recipe_from_plain({"post_contrast_phase": 2}) == MipRecipe(post_contrast_phase=2, crop="field", air="keep")


EDITS: list[tuple[str, Any]] = [
    ("operating_point", {"threshold": 100.0, "sensitivity": 0.97, "source": "held-out breasts"}),
    ("operating_point", None),
    ("recipe", {"window_high_quantile": 0.9}),
    ("notes", ["nothing"]),
    ("sha256", "0" * 64),
    ("sha256", None),
]


@pytest.mark.parametrize(("entry", "value"), EDITS)
def test_a_contract_that_was_edited_is_refused(entry: str, value: Any) -> None:
    document = json.loads(make_contract().to_json()) | {entry: value}
    with pytest.raises(ContractError, match="not as it was written.*--operating-point"):
        ModelContract.from_json(json.dumps(document))


def test_a_contract_without_its_hash_or_in_another_layout() -> None:
    document = json.loads(make_contract().to_json())
    relaid = dict(reversed(document.items()))
    assert ModelContract.from_json(json.dumps(relaid, indent=8)) == make_contract()
    del document["sha256"]
    with pytest.raises(ContractError, match="not as it was written"):
        ModelContract.from_json(json.dumps(document))


def test_the_hash_names_everything_that_a_contract_says() -> None:
    contracts = [make_contract(), make_contract(operating_point=None), make_contract(name="other")]
    assert len({contract.sha256 for contract in contracts}) == 3
    assert make_contract().sha256 == ModelContract.from_json(make_contract().to_json()).sha256


def changed(**entries: Any) -> str:
    return json.dumps(unhashed(**entries))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[]", "schema version None"),
        (changed(schema_version=3), "schema version 3.*reads 1 and 2"),
        (changed(precision="fp8"), "'fp8' is none of"),
        (changed(max_batch_size="32"), "'32' is no int"),
        (changed(surprise=1), "surprise"),
        (changed(max_batch_size=0), "max_batch_size out of range"),
        (changed(upsampling={"jump": 8, "extent": 62, "shift": 3.5, "std": 0.0}), "upsampling out of range"),
        (changed(display={"quantile": 2.0, "reference_range": [0.0, 1.0]}), "display out of range"),
        (changed(recipe={"post_contrast_phase": 0}), "post_contrast_phase"),
        (changed(operating_point={"threshold": float("nan"), "sensitivity": None, "source": ""}), "nan is not finite"),
        (changed(map_shape=[28]), "2 entries"),
        (changed(resize={"rule": "squash"}), "size"),
        (changed(operating_point={"threshold": True, "sensitivity": None, "source": ""}), "True is no float"),
    ],
)
def test_a_contract_that_is_not_ours_is_refused(text: str, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        ModelContract.from_json(text)


def test_a_folder_without_a_contract_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=str(tmp_path)):
        read_contract(tmp_path)


def test_a_score_at_the_threshold_is_flagged() -> None:
    contract = make_contract(operating_point=OperatingPoint(0.4, None, "test"))
    assert (contract.flags(0.4), contract.flags(0.39)) == (True, False)
    assert dataclasses.replace(contract, operating_point=None).flags(1.0) is None


def test_a_recipe_keeps_the_defaults_of_what_it_leaves_out() -> None:
    assert recipe_from_plain({"post_contrast_phase": 2}) == MipRecipe(post_contrast_phase=2)
    assert recipe_from_plain({"window_low": 5}).window_low == 5.0


@pytest.mark.parametrize(
    "values",
    [
        {"post_contrast_phase": 0},
        {"window_high_quantile": 1.1},
        {"posterior_margin_mm": -1},
        {"posterior_margin_mm": float("inf")},
        {"window_low": float("nan")},
        {"phase": 1},
        {"mirror_left": "yes"},
    ],
)
def test_a_recipe_out_of_range_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="recipe cannot be used"):
        recipe_from_plain(values)
