from __future__ import annotations

import ast
import dataclasses
import io
import logging
import os
import pty
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import orjson
import pytest
import structlog

from fundusd.app import log_setup
from fundusd.domain.clinical_terms import Outcome
from fundusd.domain.errors import SettingsError
from fundusd.ledger import Recorded

DOCS = Path(__file__).parents[2] / "docs" / "logs.md"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:], logging.getLogger().level = handlers, level
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_and_event_first() -> None:
    out = io.StringIO()
    log_setup.configure("info", "auto", out)
    structlog.get_logger().info("capture.graded", digest="abc", grade=2)
    assert list(lines(out)[0]) == ["ts", "level", "event", "digest", "grade"]


def test_fields_that_nobody_vouched_for_are_dropped_and_named() -> None:
    out = io.StringIO()
    log_setup.configure("info", "json", out)
    structlog.get_logger().info("x", patient_name="Quillfeather", path="/srv/Quillfeather.jpg")
    assert "Quillfeather" not in out.getvalue()
    assert lines(out)[0]["dropped"] == ["path", "patient_name"]


def test_an_exception_is_told_without_its_text_and_its_variables() -> None:
    out = io.StringIO()
    log_setup.configure("info", "json", out)
    name = "Quillfeather"
    try:
        raise ValueError(name)
    except ValueError as error:
        structlog.get_logger().error("x", exc_info=error)
    assert name not in out.getvalue()
    assert lines(out)[0]["exception"] == "ValueError"
    assert "test_log_setup.py" in str(lines(out)[0]["frames"])


def test_an_error_of_ours_is_told_with_its_hint() -> None:
    out = io.StringIO()
    log_setup.configure("info", "json", out)
    structlog.get_logger().error("x", exc_info=SettingsError("Wrong.", hint="Mend it."))
    assert lines(out)[0]["error"] == "Wrong."
    assert lines(out)[0]["hint"] == "Mend it."


def test_what_a_library_says_is_told_as_a_fact_without_its_text() -> None:
    out = io.StringIO()
    log_setup.configure("info", "json", out)
    logging.getLogger("pydicom").warning("Invalid value for Quillfeather")
    logging.getLogger("watchdog").error("broke", exc_info=OSError("Quillfeather"))
    logged = lines(out)
    assert [line["event"] for line in logged] == ["library.warning", "library.warning"]
    assert logged[0]["logger"] == "pydicom"
    assert logged[1]["exception"] == "OSError"
    assert "Quillfeather" not in out.getvalue()


def test_lines_below_the_level_are_not_written() -> None:
    out = io.StringIO()
    log_setup.configure("warning", "json", out)
    structlog.get_logger().info("x")
    assert not out.getvalue()


def test_the_journal_gets_a_priority_before_each_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    with path.open("w") as out:
        status = os.fstat(out.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        log_setup.configure("info", "auto", out)
        structlog.get_logger().warning("x")
        structlog.get_logger().info("y")
    assert [line[:4] for line in path.read_text().splitlines()] == ["<4>{", "<6>{"]


def test_a_terminal_gets_the_console() -> None:
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb") as screen, os.fdopen(follower, "w") as terminal:
        log_setup.configure("info", "auto", terminal)
        structlog.get_logger().info("capture.graded", grade=2)
        terminal.flush()
        shown = screen.readline()
    assert b"capture.graded" in shown
    assert not shown.startswith(b"{")


SETUP = Path(log_setup.__file__)
SOURCE = SETUP.parents[1]
LEVELS = {"debug", "info", "warning", "error", "critical"}


def is_log_call(node: ast.AST) -> TypeGuard[ast.Call]:
    """Return whether a node logs: log.info("part.event"), or a name that stands for log.info."""
    if not isinstance(node, ast.Call) or not node.args:
        return False
    if isinstance(node.func, ast.Attribute):
        by_name = node.func.attr in LEVELS
    else:
        by_name = isinstance(node.func, ast.Name) and node.func.id.islower()
    if not by_name or not isinstance(node.args[0], (ast.Constant, ast.JoinedStr)):
        return False
    return re.fullmatch(r"[a-z][a-z0-9_]*[.-]([a-z0-9_.-]+|\{.*\})", event_of(node)) is not None


def event_of(call: ast.Call) -> str:
    return ast.unparse(call.args[0]).removeprefix("f").strip("'")


def events_in(source: str) -> set[str]:
    events = set()
    for node in ast.walk(ast.parse(source)):
        if is_log_call(node):
            event = event_of(node)
            prefix, brace, _ = event.partition("{")
            events |= {prefix + outcome for outcome in Outcome} if brace else {event}
    return events


def fields_in(source: str) -> set[str]:
    """Return the keywords of calls that log or bind."""
    fields = set()
    for node in ast.walk(ast.parse(source)):
        if is_log_call(node) or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"bind", "get_logger"}
        ):
            fields |= {keyword.arg for keyword in node.keywords if keyword.arg}
    return fields


def keys_in(source: str) -> set[str]:
    """Return the keys that a module writes into dictionaries, among them the fields of lines."""
    keys: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            keys += node.keys
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            keys.append(node.slice)
        if isinstance(node, ast.Call):
            keys += [ast.Constant(keyword.arg) for keyword in node.keywords]
    return {str(key.value) for key in keys if isinstance(key, ast.Constant)}


def listed(heading: str, pattern: str) -> set[str]:
    """Return the names in the first column of the tables below a heading of the page."""
    section = DOCS.read_text().split(f"## {heading}")[1].split("\n## ")[0]
    names: set[str] = set()
    for cell in re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE):
        names.update(re.findall(pattern, cell))
    return names


def test_every_event_is_listed_logged_and_documented() -> None:
    logged = set()
    for path in SOURCE.rglob("*.py"):
        logged |= events_in(path.read_text())
    documented = listed("One line per capture", r"`(.+?)`") | listed("Other events", r"`(.+?)`")
    assert logged == log_setup.EVENTS
    assert documented | {"capture.postponed"} == log_setup.EVENTS
    assert "`capture.postponed`" in DOCS.read_text()


def test_every_field_is_listed_logged_and_documented() -> None:
    logged = set()
    for path in SOURCE.rglob("*.py"):
        logged |= fields_in(path.read_text())
    assert logged - {"exc_info"} <= log_setup.FIELDS
    built = {"ts", "level", "event"} | {field.name for field in dataclasses.fields(Recorded)}
    for path in [*(SOURCE / "worker").glob("*.py"), SOURCE / "ledger" / "jobs.py", SETUP]:
        built |= keys_in(path.read_text())
    assert logged | built >= log_setup.FIELDS
    assert listed("Fields", r"`(.+?)`") == log_setup.FIELDS
