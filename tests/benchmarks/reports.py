"""What tests of all kinds of reports share."""

import json
from pathlib import Path
from typing import Any

from fcdd_benchmarks.kinds import read_report


def read_back(folder: Path) -> dict[str, Any]:
    """Return a written report.json, which as an object of its kind holds the same and is the same text again."""
    text = (folder / "report.json").read_text(encoding="utf-8")
    assert read_report(folder).report.to_json() == text
    document: dict[str, Any] = json.loads(text)
    return document
