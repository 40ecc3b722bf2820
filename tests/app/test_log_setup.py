from __future__ import annotations

import io
import logging
import os
import pty
import re
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import structlog

from fundusd.app import log_setup
from fundusd.domain.errors import SettingsError

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
    told = lines(out)
    assert [line["event"] for line in told] == ["library.warning", "library.warning"]
    assert told[0]["logger"] == "pydicom"
    assert told[1]["exception"] == "OSError"
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


def test_the_documents_explain_every_field_and_every_event() -> None:
    text = DOCS.read_text()
    assert not [name for name in log_setup.FIELDS if f"`{name}`" not in text]
    source = Path(log_setup.__file__).parents[1]
    events = {
        name
        for path in source.rglob("*.py")
        for name in re.findall(
            r"\.(?:debug|info|warning|error|critical)\(\s*f?\"([a-z_]+\.[a-z_]+)\"",
            path.read_text(),
        )
    }
    assert len(events) > 10
    assert not [name for name in events if f"`{name}`" not in text]
