"""Every word of the table of languages, in its two uses: to name an eye, and to contradict one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundusd.clinical.contradicting_words import MISSPELLINGS, OTHER_LANGUAGES
from fundusd.clinical.eye_languages import LANGUAGES, LanguageName, fold, vocabulary
from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye

ROOT = Path(__file__).parents[2]
OPPOSITE = {Eye.RIGHT: "OS", Eye.LEFT: "OD"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_word_names_an_eye_only_where_its_language_is_set(language: LanguageName) -> None:
    known = vocabulary((language,))
    assert {*known.words.values()} == {Eye.RIGHT, Eye.LEFT}
    for word, eye in {**known.words, **known.codes}.items():
        assert fold(word) == word
        for path in (f"12_{word}.jpg", f"12_{word.upper()}_1.jpg"):
            assert Naming.of("generic", "", (language,)).read(path).eye is eye
            if word.upper() not in {"RE", "LE"}:
                assert Naming.of("generic").read(path).eye is Eye.UNKNOWN


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_word_contradicts_the_other_eye_everywhere(language: LanguageName) -> None:
    namings = (Naming.of("generic"), Naming.of("generic", "", (language,)))
    for word, eye in vocabulary((language,)).words.items():
        for naming in namings:
            assert naming.read(f"12_{word}_{OPPOSITE[eye]}.jpg").eye is Eye.UNKNOWN
            assert naming.read(f"12_{OPPOSITE[eye]}_{word}.jpg").eye is Eye.UNKNOWN
            assert naming.read(f"{word}/12_{OPPOSITE[eye]}.jpg").eye is Eye.UNKNOWN
            assert naming.read(f"12_{OPPOSITE[eye]}.jpg").eye is not Eye.UNKNOWN


@pytest.mark.parametrize("language", OTHER_LANGUAGES)
def test_words_of_more_languages_contradict_and_name_no_eye(language: str) -> None:
    naming = Naming.of("generic")
    for eye, words in zip((Eye.RIGHT, Eye.LEFT), OTHER_LANGUAGES[language], strict=True):
        for word in words.split():
            assert naming.read(f"12_{word}.jpg").eye is Eye.UNKNOWN
            assert naming.read(f"12_{word}_{OPPOSITE[eye]}.jpg").eye is Eye.UNKNOWN


def test_a_misspelt_word_contradicts_and_names_no_eye() -> None:
    naming = Naming.of("generic")
    for word, eye in MISSPELLINGS.items():
        assert naming.read(f"12_{word}.jpg").eye is Eye.UNKNOWN
        assert naming.read(f"12_{word}_{OPPOSITE[eye]}.jpg").eye is Eye.UNKNOWN


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_word_of_place_leaves_no_eye_in_its_language(language: LanguageName) -> None:
    known = vocabulary((language,))
    naming = Naming.of("generic", "", (language,))
    for place in known.places:
        for word in known.words:
            assert naming.read(f"12_{place}_{word}.jpg").eye is Eye.UNKNOWN


def test_a_word_with_two_meanings_counts_for_neither() -> None:
    for languages in ((), ("de", "es"), LANGUAGES):
        known = vocabulary(languages)
        for words in (known.words, known.codes, known.contradicting_words):
            assert Eye.UNKNOWN not in words.values()


@pytest.mark.parametrize("page", ["docs/naming.md", "config/fundusd.toml"])
def test_every_language_is_listed(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for language in LANGUAGES:
        assert f"`{language}`" in text or f'"{language}"' in text
