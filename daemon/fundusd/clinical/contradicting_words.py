"""Spellings of an eye that never name one, but contradict another eye.

These are words of languages that no camera can be set to, misspelt words, and words of look-alike
letters. They are found by their folded text.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Eye

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Right and left, mostly as in the translations of GTK 2, otherwise as the languages usually have
# them, with their usual endings, and together with the word eye where it is
# not written apart. Left out are those that are common names elsewhere, such as Kairi and Labi.
OTHER_LANGUAGES: Mapping[str, tuple[str, str]] = {
    "Croatian, Serbian, Slovene": (
        "desno desna desni десно десна десни", "lijevo lijeva lijevi levo лево лева леви",
    ),
    "Slovak": ("pravé pravá pravý", "ľavé ľavý vľavo"),
    "Bulgarian, Macedonian": ("дясно дясна десен десно", "ляво лява ляв лево"),
    "Belarusian": ("правы правае управа", "левы левае улева"),
    "Lithuanian": ("dešinė dešinės dešinioji", "kairė kairės kairioji"),
    "Latvian": ("labā labās labais", "kreisā kreisās kreisais"),
    "Estonian": ("parem parema paremsilm", "vasak vasaku vasaksilm"),
    "Catalan": ("dret dreta", "esquerre esquerra"),
    "Basque": ("eskuin eskuina eskuineko", "ezker ezkerra ezkerreko"),
    "Galician": ("dereito dereita", "esquerdo esquerda"),
    "Icelandic": ("hægri hægra", "vinstri vinstra"),
    "Albanian": ("djathtë djathti djathtas", "majtë majti majtas"),
    "Afrikaans": ("regs regter regteroog", ""),
    "Thai": ("ขวา ตาขวา ข้างขวา", "ซ้าย ตาซ้าย ข้างซ้าย"),
    "Hindi, Nepali": (
        "दायां दायाँ दाएं दाएँ दायीं दाईं दाहिना दाहिनी दाहिने",
        "बायां बायाँ बाएं बाएँ बायीं बाईं",
    ),
    "Marathi": ("उजवा उजवी उजवे उजवीकडे", "डावा डावी डावे डावीकडे"),
    "Bengali": ("ডান ডানদিকের", "বাম বাঁ বাঁদিকের"),
    "Gujarati": ("જમણો જમણી જમણું", "ડાબો ડાબી ડાબું"),
    "Punjabi": ("ਸੱਜਾ ਸੱਜੀ ਸੱਜੇ", "ਖੱਬਾ ਖੱਬੀ ਖੱਬੇ"),
    "Tamil": ("வலது", "இடது"),
    "Telugu": ("కుడి", "ఎడమ"),
    "Persian": ("راست", "چپ"),
    "Urdu": ("دائیں دایاں دائیاں", "بائیں بایاں"),
    "Swahili": ("kulia", "kushoto"),
    "Tagalog": ("kanang kanan", "kaliwa kaliwang"),
}  # fmt: skip
# also first or last names: they contradict only directly after a number
ALSO_NAMES: Mapping[str, Eye] = {
    "levi": Eye.LEFT, "lava": Eye.LEFT,
}  # fmt: skip

# what looks like a Latin letter: Cyrillic and Greek letters, and the digit for O; also the Russian
# abbreviations, in which D and S of OD and OS are transliterated
_LOOK_ALIKES = str.maketrans(
    "\u0430\u0435\u0456\u0458\u043a\u043e\u0440\u0441\u0442\u0445\u0455\u0434\u043b"
    "\u0433\u0443\u0501\u03b5\u03bf\u03b9\u03c5\u03c3\u03c2\u017f\u03b40",
    "aeijkorstxsdlgudeoiusssdo",
)
_OF_LOOK_ALIKES: Mapping[str, Eye] = {
    "od": Eye.RIGHT, "os": Eye.LEFT, "oi": Eye.LEFT, "oe": Eye.LEFT, "og": Eye.LEFT,
    "re": Eye.RIGHT, "le": Eye.LEFT, "right": Eye.RIGHT, "left": Eye.LEFT,
}  # fmt: skip

# words of one changed letter, which are no misspellings of right or left
_OTHER_WORDS = frozenset(
    """
    bright dight eight fight fright hight kight light might night pight right rights sight tight
    wight wright aright righty righto
    clef cleft deft delft eft felt gift heft leet left lefts lefty leff leit leith lent lest lett
    levt lift loft luft lewt lebt legt reft weft zeft
    """.split()  # noqa: SIM905  a list of words is easier to read without quotes
)


def look_alike(folded: str) -> Eye | None:
    r"""Return the eye that a word seems to show, although its letters are others.

    >>> look_alike("\u043es"), look_alike("0d"), look_alike("os"), look_alike("osa")
    (<Eye.LEFT: 'L'>, <Eye.RIGHT: 'R'>, None, None)
    """
    if folded.isascii() and "0" not in folded:
        return None
    return _OF_LOOK_ALIKES.get(folded.translate(_LOOK_ALIKES))


def _misspellings(word: str) -> Iterator[str]:
    """Yield every word of four letters or more that differs by one letter or one swap."""
    for index in range(len(word) + 1):
        before, after = word[:index], word[index:]
        if len(word) > 4 and after:  # noqa: PLR2004  words of three letters may be anything
            yield before + after[1:]
        if len(after) > 1:
            yield before + after[1] + after[0] + after[2:]
        for letter in string.ascii_lowercase:
            yield before + letter + after
            if after:
                yield before + letter + after[1:]


def _all_misspellings() -> dict[str, Eye]:
    eyes: dict[str, Eye] = {}
    for word, eye in (("right", Eye.RIGHT), ("left", Eye.LEFT)):
        for wrong in _misspellings(word):
            if wrong not in _OTHER_WORDS:
                eyes[wrong] = eye
    return eyes


MISSPELLINGS: Mapping[str, Eye] = _all_misspellings()
