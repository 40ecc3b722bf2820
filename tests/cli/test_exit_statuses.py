"""Every exit status is documented, and a mistake of the operator never looks like a defect."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests import daemon_cases
from tests.cli.test_commands import RunCommand, fundusd, graded, place

import fundusd as package
from fundusd.domain.errors import ExitStatus, FundusdError

__all__ = ["fundusd", "graded", "place"]  # fixtures

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "daemon" / "fundusd"
# what reaches an operator as "a defect of fundusd", because it is one
DEFECTS = {
    "app/child_daemon.py": 1,  # the daemon ended without a word
    "app/demo.py": 2,  # a capture was lost, or never came to an end
    "app/supervisor.py": 1,  # a service ended by itself
    "imaging/decoder_pool.py": 1,  # the pool was used after it was closed
}


def test_the_operations_page_lists_every_exit_status_and_no_other() -> None:
    section = (ROOT / "docs" / "operations.md").read_text().split("## Exit status")[1]
    listed = re.findall(r"^\| (\d+) \|", section.split("\n## ")[0], re.MULTILINE)
    assert listed == [str(status.value) for status in ExitStatus]


def test_every_error_ends_with_a_listed_status() -> None:
    for module in pkgutil.walk_packages(package.__path__, "fundusd."):
        if not module.name.endswith(("__main__", "decoder_process")):
            importlib.import_module(module.name)
    classes = [FundusdError]
    for error in classes:
        classes += error.__subclasses__()
    assert len(classes) > 10
    for error in classes:
        if error.__module__.startswith("fundusd."):
            assert isinstance(error.exit_code, ExitStatus), error


def test_only_defects_are_raised_without_a_class_that_says_whose_mistake_it_is() -> None:
    raised: Counter[str] = Counter()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                raised[str(path.relative_to(SOURCE))] += (
                    ast.unparse(node.exc.func) == "FundusdError"
                )
    assert +raised == DEFECTS


MISTAKES = [
    ("destroy", 2, "No such command"),
    ("status --no-such-option", 2, "No such option"),
    ("show 9999", 2, "no capture 9999"),
    ("report exam 9999", 2, "no exam 9999"),
    ("report quality --plot quality.txt", 2, "must end in .png"),
    ("report quality --plot /no/such/folder/quality.png", 2, "cannot be written"),
    ("report quality --since 99999999w", 2, "is not a time"),
    ("retry", 2, "CAPTURE"),
    ("retry 9999", 2, "no capture 9999"),
    ("outbox retry", 2, "ID"),
    ("outbox retry 9999", 2, "no document 9999"),
    ("follow-up close 9999 --how done --reader okafor", 2, "no follow-up 9999"),
    ("person NOBODY", 2, "patient id"),
    ("review record 9999 R agree --reader lee", 2, "no exam 9999"),
    ("classify /no/such/file.jpg", 2, "no file"),
    ("classify /proc/self/mem", 2, "cannot be read"),
    ("check --names /no/such/folder", 2, "does not exist"),
    ("quality calibrate --camera nowhere", 2, "no camera nowhere"),
    ("results --camera nowhere", 2, "no camera nowhere; the cameras are: room1"),
    ("results --camera nowhere --csv", 2, "no camera nowhere; the cameras are: room1"),
    ("worklist --camera nowhere", 2, "no camera nowhere; the cameras are: room1"),
    ("review list --camera nowhere", 2, "no camera nowhere; the cameras are: room1"),
    ("correct eye 9999 R --reader okafor", 2, "9999"),
    ("quality calibrate --camera room1", 1, "captures"),
]


@pytest.mark.parametrize(("command", "status", "message"), MISTAKES)
def test_a_mistake_of_the_operator_has_its_own_status_and_a_sentence(
    fundusd: RunCommand,
    graded: daemon_cases.Site,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    status: int,
    message: str,
) -> None:
    monkeypatch.setenv("FUNDUSD_CONFIG", str(graded.path))
    ended = fundusd(*command.split())
    assert ended.code == status, ended.err
    assert message in " ".join(ended.err.split())


NUMBERED = [
    *("show {}", "report exam {}", "retry {}", "outbox retry {}", "outbox --limit {}"),
    *("follow-up close {} --how done --reader okafor", "results --limit {}", "worklist --limit {}"),
    *("review list --limit {}", "review record {} R agree --reader lee"),
    *("review record 1 R agree --reader lee --capture {}", "correct eye {} R --reader okafor"),
    *("correct exclude {} --reason other --reader okafor", "correct include {} --reader okafor"),
    *("correct join {} 1 --reader okafor", "correct join 1 {} --reader okafor"),
    *("correct part {} --reader okafor", "correct present {} R --reader okafor"),
    *("correct absent {} R --reason no_view --reader okafor",),
    *("correct belongs {} --reader okafor",),
]


@pytest.mark.parametrize("command", NUMBERED)
@pytest.mark.parametrize("number", ["9223372036854775808", "9" * 60])
def test_a_number_beyond_64_bits_is_a_usage_error(
    fundusd: RunCommand, graded: daemon_cases.Site, command: str, number: str
) -> None:
    ended = fundusd(*command.format(number).split(), "--config", graded.path)
    assert ended.code == ExitStatus.USAGE
    assert "must be at most 9223372036854775807" in " ".join(ended.err.split())


def test_every_number_of_a_command_has_a_largest_value() -> None:
    """The benchmark and the grades have smaller ones, or none that reaches a database."""
    for file in sorted((SOURCE / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            text = ast.unparse(node) if isinstance(node, ast.Subscript) else ""
            if re.match(r"Annotated\[int( \| None)?, typer\.", text) and file.stem != "bench":
                assert "max=" in text, f"{file.name}: {text}"


def test_a_key_in_another_encoding_is_a_usage_error(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    ended = fundusd("person", "M\udcfcller", "--config", graded.path)
    assert ended.code == ExitStatus.USAGE
    assert "not UTF-8 text" in ended.err


def test_a_camera_that_has_left_the_settings_still_has_results(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    text = graded.path.read_text()
    graded.path.write_text(text.replace('id = "room1"', 'id = "room2"'))
    assert "a_OD" in fundusd("results", "--camera", "room1", "--config", graded.path).out
    ended = fundusd("results", "--camera", "room3", "--config", graded.path)
    assert "the cameras are: room1, room2" in " ".join(ended.err.split())


def test_an_inbox_that_is_away_is_a_usage_error(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    graded.inbox.rename(graded.folder / "gone")
    assert fundusd("reconcile", "--config", graded.path).code == ExitStatus.USAGE


def test_a_folder_that_is_not_empty_or_cannot_be_made_is_a_usage_error(
    fundusd: RunCommand, graded: daemon_cases.Site
) -> None:
    for folder in (graded.folder, graded.path, "/proc/no-such-folder"):
        ended = fundusd("demo", "--keep", folder)
        assert ended.code == ExitStatus.USAGE
        assert "Name a folder" in ended.err


def test_the_demo_ends_as_its_daemon_did(fundusd: RunCommand, tmp_path: Path) -> None:
    assert fundusd("demo", "--model", tmp_path / "no-model").code == ExitStatus.UNAVAILABLE


def test_output_that_cannot_be_written_is_no_defect(graded: daemon_cases.Site) -> None:
    command = [sys.executable, "-m", "fundusd", "results", "--json", "--config", str(graded.path)]
    with open("/dev/full", "w") as full:  # noqa: PTH123  a device
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.stderr == "fundusd: The output cannot be written (No space left on device).\n"
    assert ended.returncode == ExitStatus.USAGE


def test_whoever_closes_a_pipe_sees_no_error(graded: daemon_cases.Site) -> None:
    command = [sys.executable, "-m", "fundusd", "results", "--json", "--config", str(graded.path)]
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (ExitStatus.OK, "")


def test_a_mistake_has_the_priority_of_an_error_in_the_journal(tmp_path: Path) -> None:
    (tmp_path / "fundusd.toml").write_text("[nonsense]\n")
    with (tmp_path / "journal").open("w+") as journal:
        status = os.fstat(journal.fileno())
        stream = f"{status.st_dev}:{status.st_ino}"
        command = [sys.executable, "-m", "fundusd", "run", "--config"]
        command.append(str(tmp_path / "fundusd.toml"))
        ended = subprocess.run(
            command, stderr=journal, env={**os.environ, "JOURNAL_STREAM": stream}, check=False
        )
    assert ended.returncode == ExitStatus.CONFIG
    lines = (tmp_path / "journal").read_text().splitlines()
    assert lines
    assert all(line.startswith("<3>") for line in lines)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [("show abc", "must be a whole number"), ("show 0", "must be at least 1")],
)
def test_a_wrong_number_is_called_so_in_plain_words(
    fundusd: RunCommand, words: str, sentence: str
) -> None:
    ended = fundusd(*words.split())
    assert ended.code == ExitStatus.USAGE
    assert sentence in ended.err
    assert "Input should" not in ended.err


@pytest.mark.parametrize("mistake", ["prompts", "camera"])
def test_check_refuses_the_settings_that_the_service_refuses(
    fundusd: RunCommand, place: daemon_cases.Site, mistake: str
) -> None:
    text = place.path.read_text()
    if mistake == "camera":
        text = text.partition("[[camera]]")[0]
    else:
        assert "[model]" in text
        text = text.replace("[model]", '[model]\nprompts = "icdr"')
    place.path.write_text(text)
    assert fundusd("check", "--settings", "--config", place.path).code == ExitStatus.CONFIG
    assert fundusd("check", "--config", place.path).code == ExitStatus.CONFIG


def test_the_settings_can_be_checked_alone(fundusd: RunCommand, place: daemon_cases.Site) -> None:
    alone = fundusd("check", "--settings", "--config", place.path)
    assert (alone.code, alone.out) == (0, "ok    settings\n")
    place.path.write_text("[nonsense]\n")
    assert fundusd("check", "--settings", "--config", place.path).code == ExitStatus.CONFIG
