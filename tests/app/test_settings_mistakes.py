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
REVERSED = (
    "must not contain [z-a]: in a range such as [a-z], the first character must be the lower one"
)
STAR = (
    "there is nothing before the *, + or ? that it could repeat; any text is .* and not *, "
    "at character 1"
)
UNCLOSED = "must close each [ with ] before the next /; [[] matches a [ itself"
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
        ('[reader]\nid = "lee"', "reader", "must be written as [[reader]], once for each reader"),
        ("[[store]]", "store", "must be written as [store], once"),
        (
            CAMERA + "[[camera.quality]]\nmin_field = 0.5",
            "camera 1 (id cr2), quality",
            "must be written as [camera.quality], once",
        ),
        *(
            (f'[{section}]\n{key} = "2"', f"{section}.{key} = '2'", rule)
            for section, key, rule in (
                ("intake", "quiet_seconds", "must be a number, without quotes"),
                ("intake", "sweep_seconds", "must be a number, without quotes"),
                ("intake", "grace_seconds", "must be a number, without quotes"),
                ("decode", "seconds", "must be a number, without quotes"),
                ("outbox", "quiet_seconds", "must be a number, without quotes"),
                ("model", "batch_size", "must be a whole number, without quotes"),
                ("recall", "grade_0", "must be a whole number, without quotes"),
            )
        ),
        (
            '[intake]\nretry_seconds = ["10"]',
            "intake.retry_seconds, item 1 = '10'",
            "must be a number, without quotes",
        ),
        (
            "[intake]\nquiet_seconds = true",
            "intake.quiet_seconds = true",
            "must be a number, without quotes",
        ),
        ("[decode]\nseconds = nan", "decode.seconds = nan", "must be a finite number"),
        *(
            (
                CAMERA + f"pattern = '{pattern}'",
                f"camera 1 (id cr2), pattern = {pattern!r}",
                f"is not a regular expression: {problem}",
            )
            for pattern, problem in (
                ("(", "a ( is never closed, at character 1"),
                ("(?P<eye>[OD", "a [ is never closed, at character 9"),
                ("*.jpg", STAR),
                ("(?P<eye>a)(?P<eye>b)", "two groups have the same name, at character 15"),
                ("(?<eye>a)", "a group must begin with (?P<name>, (?: or (, at character 2"),
                ("(?P<eye>OD)\\", "it ends with a single backslash, at character 12"),
                ("(?P<eye OD)", "the name of a group must end with >, at character 5"),
                ("(?P<eye>OD))", "a ) closes nothing, at character 12"),
            )
        ),
        *(
            (
                CAMERA + f"ignore = ['{glob}']",
                f"camera 1 (id cr2), ignore, item 1 = {glob!r}",
                rule,
            )
            for glob, rule in (
                ("[abc", UNCLOSED),
                ("a]b[", UNCLOSED),
                ("[!]", UNCLOSED),
                ("a/[b/c]", UNCLOSED),
                (
                    "x[z-a]",
                    REVERSED,
                ),
                ("/a", "must be relative to the inbox, so it must not begin with /"),
            )
        ),
        (
            CAMERA + '[camera.lookup]\ndatabase = "d"\nquery = "SELECT :path"',
            "camera 1 (id cr2), lookup",
            "database must be an absolute path",
        ),
        ('"" = 1', '""', "there is no such section"),
        (
            "[model]\nreferable = 2",
            "model.referable = 2",
            "must be text in quotes",
        ),
        (
            '[reading]\nconfirm_negatives = "10%"',
            "reading.confirm_negatives = '10%'",
            'must be "none", "all" or a sample such as "sample:10%"',
        ),
    ],
)
def test_a_mistake_is_told_in_plain_words(text: str, place: str, rule: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, text) == [f"{place}: {rule}"]


@pytest.mark.parametrize(
    "glob", ["[abc]", "[]]x", "[!]]x", "a]", "[a-z]*.pdf", "[[]x", "scan[0-9][0-9].jpg"]
)
def test_a_glob_whose_sets_are_closed_is_accepted(glob: str, tmp_path: Path) -> None:
    text = CAMERA + f"ignore = ['{glob}']"
    assert settings_file.load(written(tmp_path, text)).camera[0].ignore == (glob,)


def test_a_mistake_that_concerns_several_sections_names_their_ids(tmp_path: Path) -> None:
    assert mistakes(tmp_path, CAMERA + CAMERA) == ["camera ids must differ: cr2 is used twice"]
    below = SECOND.replace("/y", "/x/y")
    assert mistakes(tmp_path, CAMERA + below) == [
        "inboxes must not contain each other: aurora lies inside cr2"
    ]


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
