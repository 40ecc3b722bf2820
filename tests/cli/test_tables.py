"""Tables on terminals of several widths, in pipes, and as CSV for spreadsheets."""

from __future__ import annotations

import csv
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import datetime
from pathlib import Path

import pytest
from tests import daemon_cases, ledger_cases
from tests.cli.test_commands import RunCommand, fundusd, graded, place

from fundusd.cli.csv_cells import csv_cell
from fundusd.files import package_data
from fundusd.ledger import Ledger

__all__ = ["fundusd", "graded", "place"]  # fixtures

COMMANDS = ["results", "worklist", "status", "reconcile", "report quality", "outbox"]


def on_terminal(columns: int, *words: str | Path) -> list[str]:
    """Return the lines that a command prints on a terminal of so many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    command = [sys.executable, "-m", "fundusd", *words]
    with subprocess.Popen(command, stdout=slave, stderr=subprocess.PIPE, env=env):
        os.close(slave)
        printed = b""
        try:
            while block := os.read(master, 65536):
                printed += block
        except OSError:  # the command has ended
            pass
    os.close(master)
    return printed.decode().splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_no_table_is_wider_than_its_terminal(graded: daemon_cases.Site, command: str) -> None:
    lines = on_terminal(80, *command.split(), "--config", graded.path)
    assert lines[0].strip()
    # sentences are left to the terminal, so only the table is measured
    for ruler in (index for index, line in enumerate(lines) if line.startswith("──")):
        table = lines[ruler - 1 :]
        assert all(len(line) <= 80 for line in table if "  " in line)


@pytest.mark.slow
def test_the_demo_fits_80_columns_and_quotes_the_card_of_its_model() -> None:
    lines = on_terminal(80, "demo")
    start = lines.index("Results (view v_result)")
    assert max(map(len, lines[start:])) <= 80
    assert not any("--wide" in line for line in lines)  # which the demo does not have
    card = (package_data.folder("model/phantom") / "README.md").read_text()
    assert "280 of 300" in card
    assert any("280 of 300" in line for line in lines)


def test_what_a_narrow_terminal_leaves_out_is_named_and_shown_with_wide(
    graded: daemon_cases.Site,
) -> None:
    narrow = "\n".join(on_terminal(60, "results", "--config", graded.path))
    assert "--wide shows all" in narrow
    assert "a_OD.jpg" in narrow
    assert "score" not in narrow.splitlines()[0]
    [header, *_] = on_terminal(60, "results", "--wide", "--config", graded.path)
    assert header.split("  ")[0] == "capture"
    assert "score" in header
    [header, *_] = on_terminal(200, "results", "--config", graded.path)
    assert "score" in header


def test_a_pipe_gets_one_line_for_each_row_without_a_box(
    fundusd: RunCommand, graded: daemon_cases.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    header, *lines = fundusd("results", "--config", graded.path).out.splitlines()
    assert re.split(r"\s{2,}", header)[:4] == ["capture", "received", "camera", "path"]
    rows = lines[:3]
    for name, row in zip(("c.jpg", "b_OS.jpg", "a_OD.jpg"), rows, strict=True):
        assert name in row
    assert not re.search("[─│━┃╭]", "".join([header, *rows]))


def test_a_pipe_gets_one_line_for_each_fact_of_a_capture(
    fundusd: RunCommand, graded: daemon_cases.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = fundusd("show", "1", "--config", graded.path).out.splitlines()
    [step] = [line for line in lines if line.startswith("  next ")]
    assert len(step.split()) > 10
    assert step.rstrip().endswith(".")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        (" =1+1", "' =1+1"),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("@cmd", "'@cmd"),
        ("\t=1", "'\\t=1"),
        ("\r=1", "'\\r=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("-1.5", "-1.5"),
        ("+4", "+4"),
        ("1e-3", "1e-3"),
        ("a\x1b[2J", "a\\x1b[2J"),
        ("a\nb", "a\\nb"),
        ("P1/a_OD.jpg", "P1/a_OD.jpg"),
        (-3, -3),
        (None, None),
    ],
)
def test_a_csv_cell_is_neither_a_formula_nor_a_control_sequence(
    value: object, cell: object
) -> None:
    assert csv_cell(value) == cell


def test_the_csv_of_a_hostile_name_is_safe(fundusd: RunCommand, place: daemon_cases.Site) -> None:
    ledger = Ledger(f"sqlite:///{place.folder}/fundusd.db", site_key=ledger_cases.SITE_KEY)
    ledger.start(ledger_cases.release())
    ledger.register_camera(ledger_cases.CAMERA)
    ledger_cases.classify(ledger, '=HYPERLINK("http://evil")\n\x1b[31m.jpg')
    ledger.close()
    printed = fundusd("results", "--csv", "--config", place.path).out
    [row] = csv.DictReader(io.StringIO(printed))
    assert row["path"] == '\'=HYPERLINK("http://evil")\\n\\x1b[31m.jpg'
    assert "\x1b" not in printed
    assert len(printed.splitlines()) == 2


@pytest.mark.parametrize(
    ("command", "first"),
    [("results", "capture_id"), ("worklist", "exam_id"), ("follow-up list", "follow_up_id")],
)
def test_csv_has_a_header_even_without_rows(
    fundusd: RunCommand, place: daemon_cases.Site, command: str, first: str
) -> None:
    Ledger(f"sqlite:///{place.folder}/fundusd.db", site_key=ledger_cases.SITE_KEY).create_if_empty()
    [header] = fundusd(*command.split(), "--csv", "--config", place.path).out.splitlines()
    assert first in header.split(",")


def test_times_are_iso_8601_with_an_offset_everywhere(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
    for command in ("results", "results --csv", "results --json"):
        printed = fundusd(*command.split(), "--config", graded.path).out
        times = time.findall(printed)
        assert times, command
        assert all(datetime.fromisoformat(text).tzinfo for text in times)
        assert not re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d", printed)
