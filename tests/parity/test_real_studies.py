"""Real scans, as classic files and as one Enhanced object, through the command and the real server."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fcdd_runtime.cli import score


def scored(study: Path, server: str, out: Path) -> tuple[Any, str]:
    result = CliRunner().invoke(score, [str(study), "--url", f"{server}/small_fp16", "--out", str(out)])
    assert result.exit_code == 0, result.output
    [path] = out.glob("*/result.json")
    return json.loads(path.read_text()), result.stderr


def test_classic_and_enhanced_files_of_one_scan_give_the_same_result(
    reference_data: Path, server: str, tmp_path: Path
) -> None:
    real = reference_data / "real_mr"
    classic, words = scored(real / "philips_classic_3phase", server, tmp_path / "classic")
    enhanced, more_words = scored(real / "philips_enhanced_3phase", server, tmp_path / "enhanced")
    assert classic["study_instance_uid"] == enhanced["study_instance_uid"]
    assert [breast["laterality"] for breast in classic["breasts"]] == ["R", "L"]
    for ours, theirs in zip(classic["breasts"], enhanced["breasts"], strict=True):
        assert (ours["laterality"], ours["score"]) == (theirs["laterality"], theirs["score"])
        assert ours["peak"]["patient_mm"] == pytest.approx(theirs["peak"]["patient_mm"], abs=1e-6)
        assert ours["peak"]["frame_number"] is None
        assert 1 <= theirs["peak"]["frame_number"] <= 240
    assert (classic["phases"]["count"], enhanced["phases"]["count"]) == (3, 3)
    for text in (words, more_words):
        assert "BRAIN" in text
        assert "repeat a position and phase" in text


def test_an_enhanced_object_without_frame_of_reference_and_description_is_scored(
    reference_data: Path, server: str, tmp_path: Path
) -> None:
    result, _ = scored(reference_data / "real_mr" / "philips_enhanced_4phase", server, tmp_path / "out")
    assert result["phases"]["count"] == 4
    assert result["exam_score"] > 0
