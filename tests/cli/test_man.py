"""The manual page: it has every command with its options, and man renders it without a warning."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import typer
from tests.cli.test_commands import RunCommand, fundusd

from fundusd.cli.commands import command_line
from fundusd.domain.errors import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["fundusd"]  # a fixture

RENDERERS = {
    "man": ["man", "--warnings", "--local-file"],
    "mandoc": ["mandoc", "-W", "warning", "-T", "ascii"],
    "groff": ["groff", "-man", "-ww", "-T", "ascii"],
}


def commands(group: Any, *above: str) -> Iterator[tuple[str, Any]]:
    """Yield every command that can be typed, as typed."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *above, name)
        else:
            yield " ".join((*above, name)), command


@pytest.fixture
def page(fundusd: RunCommand) -> str:
    ended = fundusd("man")
    assert (ended.code, ended.err) == (0, "")
    return ended.out


def test_the_manual_has_every_command_with_its_options_and_every_exit_status(page: str) -> None:
    sections = re.split(r"^\.SS fundusd ", page.replace(r"\-", "-"), flags=re.MULTILINE)[1:]
    everything = dict(commands(typer.main.get_command(command_line())))
    assert len(sections) == len(everything) > 30
    for (name, command), section in zip(everything.items(), sections, strict=True):
        assert section.startswith(f"{name} "), name
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert option in section, name
    for status in ExitStatus:
        assert rf"\fB{int(status)}\fR" in page


@pytest.mark.parametrize("program", RENDERERS)
def test_the_manual_renders_without_a_warning(page: str, program: str, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    file = tmp_path / "fundusd.1"
    file.write_text(page)
    rendered = subprocess.run(
        [*RENDERERS[program], file], check=True, capture_output=True, text=True
    )
    assert rendered.stderr == ""
    words = " ".join(re.sub("\x1b\\[[0-9;]*m|.\x08", "", rendered.stdout).split())  # bold
    assert "fundusd report exam 12 --pdf exam-12.pdf" in words
    assert "/etc/fundusd/fundusd.toml" in words
