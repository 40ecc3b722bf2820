from __future__ import annotations

import re
from pathlib import Path

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.files import IgnoreReason

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip(" `") for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line[:3] == "| `"
]


def test_the_page_lists_every_reason_with_its_outcome_and_action() -> None:
    listed = [tuple(row[:3]) for row in ROWS if len(row) == 4]
    assert listed == [
        (reason.value, reason.outcome.value, reason.action.value) for reason in Reason
    ]


def test_the_page_lists_every_code_of_ignored_files_and_of_warnings() -> None:
    short = [row[0] for row in ROWS if len(row) == 2]
    assert short[: len(IgnoreReason)] == [ignored.value for ignored in IgnoreReason]
    sources = (ROOT / "daemon" / "fundusd").rglob("*.py")
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    for warning in [one for cell in short[len(IgnoreReason) :] for one in cell.split("`, `")]:
        made = warning.partition("_")[2]  # of what it is about and what is wrong with it
        assert re.search(f'"{warning}"|}}_{made}"', code), warning


def test_every_row_says_what_it_means() -> None:
    assert all(row[-1].endswith(".") for row in ROWS)
