"""The table of findings: every code that the code uses is in it, and docs/findings.md shows it whole."""

import re
from pathlib import Path

import pytest

import fcdd_runtime
from fcdd_runtime.findings import KINDS, Finding

ROOT = Path(__file__).parents[2]


def test_the_documentation_shows_the_table() -> None:
    rows = [f"| `{code}` | {kind.severity} | {kind.meaning} | {kind.advice} |" for code, kind in KINDS.items()]
    table = "\n".join(["| code | class | what is the case | what to do |", "|---|---|---|---|", *rows])
    shown = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8").partition("| code |")
    assert "".join(shown[1:]).strip() == table


def test_every_code_is_used() -> None:
    modules = [path for path in Path(fcdd_runtime.__file__).parent.rglob("*.py") if path.name != "findings.py"]
    texts = {text for path in modules for text in re.findall(r'"([\w-]+)"', path.read_text(encoding="utf-8"))}
    assert set(KINDS) <= texts


def test_a_finding_knows_whether_a_person_has_to_look() -> None:
    assert [Finding(code, "x").to_review for code in ("supine", "jitter")] == [True, False]


@pytest.mark.parametrize("code", KINDS)
def test_what_is_an_error_or_a_doubt_says_what_to_do(code: str) -> None:
    kind = KINDS[code]
    assert bool(kind.advice) == (kind.severity != "note")
