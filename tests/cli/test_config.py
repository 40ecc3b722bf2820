"""`fundusd config show`, `--version` and the completion of words in the shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.test_commands import RunCommand, fundusd, place

import fundusd as package
from fundusd.app import settings_file
from fundusd.app.settings_listing import MASK, entries
from fundusd.app.settings_service import StoreSettings
from fundusd.files import package_data

__all__ = ["fundusd", "place"]  # fixtures

RICH = """
[intake]
quiet_seconds = 3
[privacy.issuers]
"CLINIC&1.2.3&ISO" = "urn:oid:1.2.3"
[recall]
grade_0 = 12
[[camera]]
id = "cr2"
inbox = "/srv/cr2"
ignore = ["*.pdf", "[[]x"]
[camera.quality]
min_field = 0.5
[[camera]]
id = "aurora"
inbox = "/srv/Zoë"
[[receiver]]
id = "csv"
document = "csv"
folder = "/srv/results"
[[reader]]
id = "lee"
role = "grader"
may = ["routine"]
"""


@pytest.mark.parametrize(
    "text", [RICH, (package_data.folder("config") / "fundusd.toml").read_text()]
)
def test_what_is_shown_is_a_settings_file_with_the_same_settings(
    fundusd: RunCommand, tmp_path: Path, text: str
) -> None:
    path, shown = tmp_path / "fundusd.toml", tmp_path / "shown.toml"
    path.write_text(text, encoding="utf-8")
    shown.write_text(fundusd("config", "show", "--config", path).out, encoding="utf-8")
    assert settings_file.load(shown) == settings_file.load(path)
    assert str(path) in shown.read_text(encoding="utf-8").splitlines()[0]


def test_each_setting_is_shown_with_its_source(fundusd: RunCommand, tmp_path: Path) -> None:
    path = tmp_path / "fundusd.toml"
    path.write_text(RICH, encoding="utf-8")
    lines = fundusd("config", "show", "--config", path).out.splitlines()
    assert "quiet_seconds = 3.0  # file" in lines
    assert "sweep_seconds = 30.0  # default" in lines
    assert "min_field = 0.5  # file" in lines
    assert "# grade_1 is not set" in lines
    rows = json.loads(fundusd("config", "show", "--json", "--config", path).out)
    inboxes = [(row["number"], row["value"]) for row in rows if row["key"] == "inbox"]
    assert inboxes == [(1, "/srv/cr2"), (2, "/srv/Zoë")]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://u@h/d?sslpassword=hunter2", f"?sslpassword={MASK}"),
        ("postgresql+psycopg://u:hunter2@h/d", f"//u:{MASK}@h/d"),
    ],
)
def test_a_secret_is_masked_wherever_it_hides(url: str, shown: str) -> None:
    # the settings refuse such a value; this is the second line of defence
    [entry] = [
        entry for entry in entries(StoreSettings.model_construct(url=url)) if entry.key == "url"
    ]
    assert shown in entry.value
    assert "hunter2" not in entry.line


def test_the_version_is_printed(fundusd: RunCommand) -> None:
    ended = fundusd("--version")
    assert (ended.code, ended.out) == (0, f"fundusd {package.__version__}\n")


def completed(words: str) -> list[str]:
    env = {
        **os.environ,
        "_FUNDUSD_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    program = "import sys; sys.argv[0] = 'fundusd'; from fundusd.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("fundusd res", {"results"}),
        ("fundusd review ", {"list", "record"}),
        ("fundusd results --sup", {"--superseded"}),
        ("fundusd results --outcome gr", {"graded"}),
    ],
)
def test_the_shell_completes_commands_options_and_values(words: str, offered: set[str]) -> None:
    assert offered <= set(completed(words))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_each_shell_can_be_printed(shell: str) -> None:
    program = "import sys; sys.argv[0] = 'fundusd'; from fundusd.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, "--show-completion", shell],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_FUNDUSD_COMPLETE" in ended.stdout
