"""The list of audit events: the page, the enum and the source agree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from fundusd.ledger.audit_events import AuditEvent

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
SOURCES = [
    path
    for path in (ROOT / "daemon" / "fundusd" / "ledger").glob("*.py")
    if path.name != "audit_events.py"
]
ROWS = [
    [cell.strip(" `") for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| `")
]


def test_the_page_lists_every_event_with_its_code_action_and_outcome() -> None:
    assert [tuple(row[:4]) for row in ROWS] == [
        (event.value, event.code.value, event.action, str(event.severity.value))
        for event in AuditEvent
    ]


def test_the_page_says_in_one_sentence_what_each_event_means() -> None:
    for event, *_, meaning in ROWS:
        assert re.fullmatch(r"[A-Z][^.]+\.", meaning), event


def test_every_event_is_appended_by_its_member_and_never_by_its_text() -> None:
    used: set[str] = set()
    for path in SOURCES:
        code = path.read_text(encoding="utf-8")
        used.update(re.findall(r"AuditEvent\.([A-Z_]+)", code))
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Constant):
                assert node.value not in set(AuditEvent), (path.name, node.lineno)
    assert used == set(AuditEvent.__members__)
