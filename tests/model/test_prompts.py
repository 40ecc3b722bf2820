from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from fundusd.domain.errors import SettingsError
from fundusd.model.prompts import load_prompt_set, shipped

if TYPE_CHECKING:
    from pathlib import Path

HEADER = 'name = "mine"\nabout = "for tests"\n'


def tables(*grades: int) -> str:
    return "".join(
        f'[[grade]]\ngrade = {grade}\nprompts = ["p{grade}", "q{grade}"]\n' for grade in grades
    )


def written(tmp_path: Path, text: str) -> str:
    (tmp_path / "set.toml").write_text(text)
    return str(tmp_path / "set.toml")


def refusal(name_or_path: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load_prompt_set(name_or_path)
    assert caught.value.hint
    return caught.value


def test_prompts_come_in_the_order_of_their_grades_whatever_the_order_in_the_file(
    tmp_path: Path,
) -> None:
    prompts = load_prompt_set(written(tmp_path, HEADER + tables(3, 0, 4, 1, 2)))

    assert prompts.name == "mine"
    assert prompts.prompts == tuple((f"p{grade}", f"q{grade}") for grade in range(5))


def test_the_digest_pins_the_prompts_and_nothing_else(tmp_path: Path) -> None:
    first = load_prompt_set(written(tmp_path, HEADER + tables(0, 1, 2, 3, 4)))
    told_otherwise = load_prompt_set(
        written(tmp_path, "# a comment\n" + HEADER + tables(4, 3, 2, 1, 0))
    )
    changed = load_prompt_set(written(tmp_path, HEADER + tables(0, 1, 2, 3, 4).replace("q4", "Q4")))

    assert first.digest == told_otherwise.digest
    assert first.digest != changed.digest
    assert first.digest == "b4a4f2120852889fb0db3d1581b285d3672f1290fb6f2b517f88bec0193507a3"


def test_moving_a_prompt_to_another_grade_changes_the_digest(tmp_path: Path) -> None:
    first = load_prompt_set(written(tmp_path, HEADER + tables(0, 1, 2, 3, 4)))
    swapped = (
        tables(0, 1, 2, 3, 4).replace("grade = 3", "grade = 9").replace("grade = 4", "grade = 3")
    )
    second = load_prompt_set(written(tmp_path, HEADER + swapped.replace("grade = 9", "grade = 4")))

    assert first.digest != second.digest


@pytest.mark.parametrize("name", ["icdr-descriptive", "severity-short"])
def test_the_shipped_prompt_sets_load_by_name(name: str) -> None:
    prompts = load_prompt_set(name)

    assert prompts.name == name
    sentences = list(itertools.chain.from_iterable(prompts.prompts))
    assert len(set(sentences)) == len(sentences)


def test_an_unknown_name_is_answered_with_the_names_that_exist() -> None:
    error = refusal("icdr-descriptiv")

    assert "icdr-descriptiv" in error.message
    assert all(name in error.hint for name in ("icdr-descriptive", "severity-short", *shipped()))


def test_a_path_that_does_not_exist_is_refused_as_a_path(tmp_path: Path) -> None:
    assert "file that does not exist" in refusal(str(tmp_path / "none.toml")).message


def test_a_path_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(f"{tmp_path}/").message


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name = ", "is not valid TOML"),
        (HEADER, "has no [[grade]] tables"),
        (HEADER + "grade = [1, 2]", "has no [[grade]] tables"),
        (HEADER + tables(0, 1, 2, 3), "has 0 [[grade]] tables for grade 4"),
        (HEADER + tables(0, 1, 2, 2, 3, 4), "has 2 [[grade]] tables for grade 2"),
        (HEADER + tables(0, 1, 2, 3, 4, 5), "has 6 [[grade]] tables, not 5"),
        (
            HEADER + tables(0, 1, 2, 3, 4).replace('["p3", "q3"]', "[]"),
            "`prompts` of grade 3 must be a list",
        ),
        (
            HEADER + tables(0, 1, 2, 3, 4).replace('["p3", "q3"]', '"p3"'),
            "`prompts` of grade 3 must be a list",
        ),
        (
            HEADER + tables(0, 1, 2, 3, 4).replace('"q3"', '"  "'),
            "prompt 2 of grade 3 must be text",
        ),
        (HEADER + tables(0, 1, 2, 3, 4).replace('"q3"', "3"), "prompt 2 of grade 3 must be text"),
        ('about = "x"\n' + tables(0, 1, 2, 3, 4), "`name` must be text"),
        ('name = "x"\n' + tables(0, 1, 2, 3, 4), "`about` must be text"),
        (tables(0, 1, 2, 3, 4).replace('"q3"', "3"), "`name` must be text"),
    ],
)
def test_a_set_that_is_not_five_grades_of_sentences_is_refused(
    tmp_path: Path, text: str, sentence: str
) -> None:
    error = refusal(written(tmp_path, text))

    assert sentence in error.message
    assert "five [[grade]] tables" in error.hint


def test_a_set_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.toml").write_bytes(b"\xff\xfe")

    assert "is not valid TOML" in refusal(str(tmp_path / "set.toml")).message
