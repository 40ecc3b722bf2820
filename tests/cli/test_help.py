"""The help of every command, and every command line that the documents show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from fundusd.cli.commands import command_line

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WIDTH = 80
# the program, not the user, unit or folder of that name; up to a comment or the next command
CALL = re.compile(r"(?:^|bin/|&& )fundusd (.+?)(?= +#| && |$)", re.MULTILINE)


def commands(node: Any = None, words: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return every command and group, by its words after fundusd."""
    node = node or typer.main.get_command(command_line())
    listed = {" ".join(words): node}
    for name, child in getattr(node, "commands", {}).items():
        listed |= commands(child, (*words, name))
    return listed


COMMANDS = commands()


def help_of(words: str) -> str:
    node = COMMANDS[words]
    text: str = node.make_context("fundusd", ["--help"], resilient_parsing=True).get_help()
    return text


def shown_lines() -> list[tuple[str, str]]:
    """Return the command lines of the pages: in `sh` blocks, and in backticks."""
    lines = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        calls = []
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
            calls += CALL.findall(block.replace("\\\n", " "))
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        calls += re.findall(r"`fundusd ([^`\n]+)`", prose)
        lines += [(page.name, call.strip()) for call in calls]
    return sorted(set(lines))


def help_examples() -> list[tuple[str, str]]:
    examples = []
    for name, node in COMMANDS.items():
        lines = re.findall(r"^ +fundusd (.+)$", node.help or "", re.MULTILINE)
        examples += [(name, line) for line in lines]
    return examples


def unknown_part(line: str) -> str | None:
    """Return the first word of a command line that fundusd does not know, None if it knows all."""
    words = shlex.split(re.split(r" [>|] ", line)[0])
    node, taken = COMMANDS[""], 0
    while taken < len(words) and words[taken] in getattr(node, "commands", {}):
        node = node.commands[words[taken]]
        taken += 1
    if node is COMMANDS[""] and not line.startswith("--"):
        return words[0]
    options = {option for param in node.params for option in param.opts} | {"--help"}
    for word in words[taken:]:
        if word.startswith("--") and word.partition("=")[0] not in options:
            return word
    takes_words = any(param.param_type_name == "argument" for param in node.params)
    values = any(word.startswith("--") for word in words)
    if len(words) > taken and not takes_words and not values:
        return words[taken]
    return None


@pytest.mark.parametrize(("page", "line"), shown_lines())
def test_every_command_line_of_the_documents_exists_with_its_options(page: str, line: str) -> None:
    assert unknown_part(line) is None, f"{page}: fundusd {line}"


def test_the_documents_show_many_command_lines() -> None:
    assert len(shown_lines()) > 40
    assert unknown_part("results --no-such-option") == "--no-such-option"
    assert unknown_part("resluts --json") == "resluts"
    assert unknown_part("db upgarde") == "upgarde"


@pytest.mark.parametrize(("name", "line"), help_examples())
def test_every_example_of_the_help_exists_with_its_options(name: str, line: str) -> None:
    assert unknown_part(line) is None
    assert line.startswith(name)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name])
def test_every_command_has_a_first_sentence_an_example_and_described_options(name: str) -> None:
    node = COMMANDS[name]
    assert node.help
    if not hasattr(node, "commands"):
        assert f"fundusd {name}" in node.help
    for param in node.params:
        assert param.help, param.name


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    for line in help_of(name).splitlines():
        assert len(line) <= WIDTH, line
        assert line.startswith("Usage:") or not line.endswith("..."), line
