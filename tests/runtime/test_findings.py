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


def test_every_code_is_used_as_what_it_is() -> None:
    source = "\n".join(path.read_text() for path in Path(fcdd_runtime.__file__).parent.rglob("*.py"))
    found = set(re.findall(r'Finding\(\s*"([\w-]+)"', source)) | set(re.findall(r'"([\w-]+)" if [\w.]+ else "', source))
    found |= set(re.findall(r'else "([\w-]+)"', source))
    raised = set(re.findall(r'",?\s*"([\w-]+)",?\s*\)', source))
    assert {code for code, kind in KINDS.items() if kind.severity != "error"} <= found
    assert {code for code, kind in KINDS.items() if kind.severity == "error"} <= raised


def test_a_finding_knows_whether_a_person_has_to_look() -> None:
    assert [Finding(code, "x").to_review for code in ("supine", "jitter")] == [True, False]


@pytest.mark.parametrize("code", KINDS)
def test_what_is_an_error_or_a_doubt_says_what_to_do(code: str) -> None:
    kind = KINDS[code]
    assert bool(kind.advice) == (kind.severity != "note")
