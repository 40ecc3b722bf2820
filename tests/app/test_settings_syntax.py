"""A settings file that is no TOML, or no UTF-8, is refused with its line and in plain words."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import pytest
from tests.app.test_settings import written

from fundusd.app import settings_file
from fundusd.domain.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

VALUE = (
    "the value must be text in quotes, a number such as 2.5, true, false, or a list in square "
    "brackets, with nothing after it"
)
PAIR = 'each line must be a [section], or a key with a value: "key = value"'
LISTED = "each camera must begin with [[camera]], not with [camera]"


def refusal(path: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        settings_file.load(path)
    return caught.value.message.removeprefix(f"{path} ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[camera]\nid = "a"\n[camera]\nid = "b"', f"line 3: {LISTED}"),
        ('[camera]\nid = "a"\n[[camera]]\nid = "b"', f"line 3: {LISTED}"),
        ('[[camera]]\nid = "a"\n[camera]\nid = "b"', f"line 3: {LISTED}"),
        ("[camera.quality]\nmin_field = 1\n[[camera]]", f"line 3: {LISTED}"),
        (
            "[[camera]]\n[camera.quality]\n[camera.quality]",
            "line 3: [camera.quality] must come once after each [[camera]]",
        ),
        (
            "[log]\n[store]\n[log]",
            "line 3: the section log is there above already; write all its keys there",
        ),
        ("[log]\nlevel = 1\nlevel = 2", "line 3: level is set above already"),
        ("[log]\nlevel = info", f"line 2: {VALUE}"),
        ("[intake]\nquiet_seconds = 2,5", f"line 2: {VALUE}"),
        ("[log]\nlevel = “info”", f"line 2: {VALUE}"),
        ("[intake]\nquiet_seconds: 2", f"line 2: {PAIR}"),
        ("hello", f"line 1: {PAIR}"),
        ("[log", "line 1: a section's name must end with ]"),
        ("[[camera]", "line 1: a name that begins with [[ must end with ]]"),
        (
            '[log]\nlevel = "info\nformat = "json"',
            "line 2: text must end with a quote in the line in which it begins",
        ),
        (
            '[[camera]]\ninbox = "C:\\export"',
            "line 2: a backslash in text must be written twice, or the text in single quotes",
        ),
    ],
)
def test_what_is_no_toml_is_refused_in_words(text: str, problem: str, tmp_path: Path) -> None:
    # some versions of the parser report the end of the document instead of the last line
    assert refusal(written(tmp_path, f"{text}\n\n")) == f"is not TOML: {problem}."


@pytest.mark.parametrize("name", ["utf-8", "utf-8-sig"])
def test_settings_are_read_with_and_without_a_byte_order_mark(name: str, tmp_path: Path) -> None:
    path = tmp_path / "fundusd.toml"
    path.write_text('[site]\nname = "Zoë"\n', encoding=name)
    assert settings_file.load(path).site.name == "Zoë"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"# Z\xc3\xb6e\n# Z\xebo\n", "line 2 contains the byte 0xeb"),
        (
            codecs.BOM_UTF16_LE + "[log]".encode("utf-16-le"),
            "it is UTF-16, which some Windows programs call Unicode",
        ),
        (
            codecs.BOM_UTF16_BE + "[log]".encode("utf-16-be"),
            "it is UTF-16, which some Windows programs call Unicode",
        ),
    ],
)
def test_settings_in_another_encoding_are_refused_with_its_name_or_the_line(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "fundusd.toml"
    path.write_bytes(content)
    assert refusal(path) == f"is not UTF-8 text: {problem}."


def test_the_file_of_a_password_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    password, settings = tmp_path / "password", tmp_path / "fundusd.toml"
    password.write_text("correct horse\n", encoding="utf-8-sig")
    settings.write_text(f'[store]\npassword_file = "{password}"\n')
    assert settings_file.load(settings).store.password() == "correct horse"
    password.write_bytes(b"caf\xe9")
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        settings_file.load(settings).store.password()
