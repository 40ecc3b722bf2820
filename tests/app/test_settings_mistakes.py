"""Mistakes in the settings are explained in plain words, at the place where people look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.app.test_settings import written

from fundusd.app import settings_file
from fundusd.domain.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

CAMERA = '[[camera]]\nid = "cr2"\ninbox = "/x"\n'
SECOND = '[[camera]]\nid = "aurora"\ninbox = "/y"\n'
RECEIVER = '[[receiver]]\nid = "r"\ndocument = "csv"\nfolder = "/r"\n'
READER = '[[reader]]\nid = "lee"\nrole = "grader"\nmay = ["routine"]\n'


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings_file.load(written(tmp_path, text))
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


@pytest.mark.parametrize(
    ("text", "place", "rule"),
    [
        ('[[camera]]\nid = "cr2"', "camera 1 (id cr2), inbox", "is missing"),
        ('[[camera]]\ninbox = "/x"', "camera 1, id", "is missing"),
        (
            CAMERA + SECOND + "[camera.quality]\nmin_field = 4",
            "camera 2 (id aurora), quality.min_field = 4",
            "must be at most 0.95",
        ),
        (
            '[intake]\nretry_seconds = [10, "x"]',
            "intake.retry_seconds, item 2 = 'x'",
            "must be a number, without quotes",
        ),
        (
            CAMERA + 'expected_fields = ["disc", "macule"]',
            "camera 1 (id cr2), expected_fields, item 2 = 'macule'",
            'must be "macula" or "disc"; did you mean "macula"?',
        ),
        ("[log]\nlevle = 1", "log.levle", "there is no such key; did you mean level?"),
        ("[modle]", "modle", "there is no such section; did you mean model?"),
        ("[zzzz]", "zzzz", "there is no such section"),
        ("[log]\nzzzz = 1", "log.zzzz", "there is no such key"),
        (
            CAMERA + '[camera.quality]\nexpected_fields = ["disc"]',
            "camera 1 (id cr2), quality.expected_fields",
            "there is no such key here; it belongs to [[camera]]",
        ),
        (
            CAMERA + "min_field = 0.9",
            "camera 1 (id cr2), min_field",
            "there is no such key here; it belongs to [camera.quality]",
        ),
        (
            "[model]\nbatch_size = 3.5",
            "model.batch_size = 3.5",
            "must be a whole number, without quotes",
        ),
        ("[model]\nexact = 1", "model.exact = 1", "must be true or false, without quotes"),
        ("[model]\nsource = true", "model.source = true", "must be text in quotes"),
        (
            '[[camera]]\nid = "a"\ninbox = 3',
            "camera 1 (id a), inbox = 3",
            "must be a path in quotes",
        ),
        (
            CAMERA + 'ignore = "a"',
            "camera 1 (id cr2), ignore = 'a'",
            "must be a list in square brackets",
        ),
        (
            CAMERA + "lookup = 3",
            "camera 1 (id cr2), lookup = 3",
            "must be a section with keys of its own, not a value",
        ),
        ('[camera]\nid = "a"', "camera", "must be written as [[camera]], once for each camera"),
        ("[model]\nbatch_size = 0", "model.batch_size = 0", "must be at least 1"),
        ("[decode]\nseconds = 0", "decode.seconds = 0", "must be more than 0"),
        (
            '[model]\ndevice = "gpu"',
            "model.device = 'gpu'",
            'must be "auto", "cuda", "mps" or "cpu"',
        ),
        (
            '[intake]\nmode = "nativ"',
            "intake.mode = 'nativ'",
            'must be "auto", "native" or "sweep-only"; did you mean "native"?',
        ),
        (
            RECEIVER.replace("csv", "pdf"),
            "receiver 1 (id r), document = 'pdf'",
            'must be "sr", "fhir" or "csv"',
        ),
        (READER.replace("grader", ""), "reader 1 (id lee), role = ''", "must not be empty"),
        (
            f'[site]\nname = "{"x" * 65}"',
            f"site.name = '{'x' * 65}'",
            "must have at most 64 characters",
        ),
        (
            '[model]\nrevision = "main"',
            "model.revision = 'main'",
            'must be the 40 hexadecimal digits of a commit, or ""',
        ),
    ],
)
def test_a_mistake_is_told_in_plain_words(text: str, place: str, rule: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, text) == [f"{place}: {rule}"]


def test_a_wrong_item_does_not_make_its_list_too_short(tmp_path: Path) -> None:
    [line] = mistakes(tmp_path, READER.replace('"routine"', '"rutine"'))
    assert line.startswith("reader 1 (id lee), may, item 1 = 'rutine': must be \"routine\"")
    assert line.endswith('did you mean "routine"?')
    assert mistakes(tmp_path, READER.replace('"routine"', "")) == [
        "reader 1 (id lee), may: must not be empty"
    ]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("icdr>=2/sum>=0.35", 'use "icdr>=2/sum>=0.35/or>=3", or set accept_unsafe_rule = true'),
        ("icdr>=4/argmax", 'use "icdr>=3/argmax", or set accept_unsafe_rule = true'),
        ("icdr>=2", "is not a rule that fundusd knows; use"),
    ],
)
def test_a14_an_unsafe_rule_is_refused_with_a_safe_one(
    name: str, advice: str, tmp_path: Path
) -> None:
    [line] = mistakes(tmp_path, f'[model]\nreferable = "{name}"')
    assert name in line
    assert advice in line


def test_a14_an_unsafe_rule_can_be_accepted(tmp_path: Path) -> None:
    text = '[model]\nreferable = "icdr>=2/sum>=0.9"\naccept_unsafe_rule = true'
    assert settings_file.load(written(tmp_path, text)).model.referable == "icdr>=2/sum>=0.9"
    safe = '[model]\nreferable = "icdr>=2/sum>=0.9/or>=3"'
    assert not settings_file.load(written(tmp_path, safe)).model.accept_unsafe_rule
