from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Action, Reason
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.files import IgnoreReason
from fundusd.reports import wording

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


def test_the_page_says_once_for_every_reason_why_it_has_its_action() -> None:
    of_actions = [row for row in ROWS if len(row) == 3 and row[0] in set(Action)]
    explained = [(code, row[0]) for row in of_actions for code in row[1].split("`, `")]
    assert sorted(explained) == sorted((reason.value, reason.action.value) for reason in Reason)


def test_the_page_lists_every_reason_of_an_eye_with_its_action() -> None:
    listed = [tuple(row[:2]) for row in ROWS if len(row) == 3 and row[0] not in set(Action)]
    assert listed == [(reason.value, reason.action.value) for reason in EyeReason]
    assert all(reason.wording for reason in EyeReason)


@pytest.mark.parametrize(
    ("action", "codes"),
    [
        (Action.RETAKE, "too_dark too_bright blur partial_field artefact not_retina"),
        (Action.NONE, "wrong_modality redfree_or_fa"),
    ],
)
def test_few_reasons_ask_for_a_retake_or_for_nothing(action: Action, codes: str) -> None:
    assert {reason.value for reason in Reason if reason.action is action} == set(codes.split())


def test_the_page_lists_every_code_of_ignored_files_and_of_warnings() -> None:
    codes = [code for row in ROWS if len(row) == 2 for code in row[0].split("`, `")]
    assert codes == [*IgnoreReason, *CaptureWarning]


def test_every_warning_is_given_by_its_member_and_never_by_its_text() -> None:
    given: set[str] = set()
    for path in (ROOT / "daemon" / "fundusd").rglob("*.py"):
        if path.name in {"capture_warnings.py", "eye_reasons.py"} or path.match("domain/exams.py"):
            continue
        code = path.read_text(encoding="utf-8")
        given.update(re.findall(r"CaptureWarning\.([A-Z_]+)", code))
        texts = [
            node.value
            for node in ast.walk(ast.parse(code))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert not set(CaptureWarning) & set(texts), path.name
    assert given == set(CaptureWarning.__members__)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_worded_for_staff(reason: Reason) -> None:
    assert reason.wording
    assert "_" not in reason.wording
    assert wording.reason(reason) == reason.wording
    assert Reason(reason.value) is reason


def test_every_row_says_what_it_means() -> None:
    assert all(row[-1].endswith(".") for row in ROWS)
