"""The words for an eye in other languages.

Each language's words have two uses. A camera whose `languages` include the language names the eye
with them. For any other camera, they are only evidence against another word: `12_links_OD` has no
eye, because "links" is the left side in German.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Literal, get_args

from fundusd.clinical.contradicting_words import ALSO_NAMES, OTHER_LANGUAGES
from fundusd.clinical.eye_words import ABBREVIATIONS, DIRECTIONS, LATIN, THINGS
from fundusd.domain.clinical_terms import Eye

if TYPE_CHECKING:
    from collections.abc import Mapping

LanguageName = Literal[
    "ar", "cs", "da", "de", "el", "es", "fi", "fr", "he", "hu", "id", "it", "ja", "ko", "nl", "no",
    "pl", "pt", "ro", "ru", "sv", "tr", "uk", "vi", "zh",
]  # fmt: skip
LANGUAGES: tuple[LanguageName, ...] = get_args(LanguageName)


@dataclass(frozen=True, slots=True)
class Language:
    """The words of a language, separated by spaces, in small letters and without accents.

    Spellings without accents are listed because many cameras and file systems drop the accents.
    """

    right: str
    left: str
    right_codes: str = ""  # abbreviations: with `languages`, they are read like OD and OS
    left_codes: str = ""
    # abbreviations that mean something else elsewhere: without `languages`, they contradict an eye
    # only directly after a number
    right_if_set: str = ""
    left_if_set: str = ""
    both: str = ""
    eye: str = ""  # nouns
    places: str = ""  # like DIRECTIONS
    things: str = ""  # like THINGS


# The abbreviations are those of ophthalmologists: ojo izquierdo, olho esquerdo, oeil gauche,
# occhio destro (DX), rechtes Auge (RA), oko prawe (OP), mat phai (MP). The words of a language are
# folded: they have no accents, and those that consist of several letters are written apart.
_LANGUAGES: Mapping[LanguageName, Language] = {
    "ar": Language(
        "يمين يمنى اليمنى",
        "يسار يسرى اليسرى",
    ),
    "cs": Language(
        "prave pravy prava vpravo", "leve levy leva vlevo", eye="oko", both="obe",
        places="horni dolni nahore dole pohled",
    ),
    "da": Language("hojre hoejre", "venstre", eye="oje oeje", both="begge", places="op ned blik"),
    "de": Language(
        "rechts rechte rechter rechtes rechtem rechten rechtesauge",
        "links linke linker linkes linkem linken linkesauge",
        right_if_set="ra re", left_if_set="la li", both="beide beidseits beidseitig",
        eye="auge augen",
        places="oben unten oberer oberes unterer unteres blick blickt schauen haelfte "
        "halfte quadrant gespiegelt gedreht",
        things="kamera raum zimmer seite tisch von der vom",
    ),
    "el": Language("δεξι δεξια δεξιο δεξιος", "αριστερα αριστερο αριστερος", places="πανω κατω"),
    "es": Language(
        "derecho derecha dcho dcha", "izquierdo izquierda izdo izda izq", left_codes="oi",
        right_if_set="der", both="ambos ojos ao", eye="ojo",
        places="arriba abajo mirada mirando superior inferior cuadrante girado",
        things="sala camara lado mano de del",
    ),
    "fi": Language("oikea", "vasen", eye="silma", both="molemmat", places="yla ala katse"),
    "fr": Language(
        "droit droite", "gauche", left_codes="og", both="odg yeux", eye="oeil",
        places="haut bas regard superieur inferieur quadrant tourne",
        things="salle cote main de du",
    ),
    "he": Language("ימין", "שמאל"),
    "hu": Language("jobb", "bal", eye="szem", places="felso also tekintet"),
    "id": Language("kanan", "kiri", eye="mata", places="atas bawah"),
    "it": Language(
        "destro destra", "sinistro sinistra", right_codes="dx", left_codes="sx",
        left_if_set="sin", both="entrambi ambedue", eye="occhio occhi",
        places="alto basso sopra sotto sguardo superiore inferiore",
        things="stanza lato mano di della",
    ),
    "ja": Language("右 右眼 右目", "左 左眼 左目", both="両眼 両目 両", places="上 下 室"),
    "ko": Language(
        "우안 우측 오른쪽 오른눈 우", "좌안 좌측 왼쪽 왼눈 좌", both="양안", places="상 하"
    ),
    "nl": Language(
        "rechts rechter rechteroog", "links linker linkeroog", both="beide", eye="oog ogen",
        places="boven onder blik", things="kamer zijde kant hand van",
    ),
    "no": Language("hoyre", "venstre", eye="oye", both="begge", places="opp ned blikk"),
    "pl": Language(
        "prawe prawy prawa", "lewe lewy lewa", right_if_set="op", left_if_set="ol", eye="oko",
        places="gorny dolny gora dol",
    ),
    "pt": Language(
        "direito direita", "esquerdo esquerda", left_codes="oe", right_if_set="dir",
        left_if_set="esq", both="ambos ao", eye="olho olhos",
        places="cima baixo acima abaixo olhar superior inferior quadrante",
        things="sala lado mao do da de",
    ),
    "ro": Language("drept dreapta", "stang stanga", eye="ochi ochiul", places="sus jos privire"),
    "ru": Language(
        "прав право правыи правого справа", "лев лево левыи левого слева",
        right_if_set="пр п", left_if_set="л", eye="глаз око",
        places="верх низ взгляд взор",
    ),
    "sv": Language(
        "hoger", "vanster", eye="oga",
        places="upp ner uppe nere blick",
    ),
    "tr": Language(
        "sag saggoz", "sol solgoz", eye="goz gozu",
        places="ust alt yukari asagi bakis", things="oda kamera taraf yan el",
    ),
    "uk": Language(
        "праве правии права праворуч", "ліве лівии ліва ліворуч", eye="око", places="верх низ",
    ),
    "vi": Language(
        "phai", "trai", right_if_set="mp", left_if_set="mt", eye="mat", places="tren duoi nhin",
    ),
    "zh": Language(
        "右 右眼 右目", "左 左眼 左目", both="双眼 雙眼 两眼 兩眼 双 雙", places="上 下 室"
    ),
}  # fmt: skip
NATIVE_WORDS = frozenset(
    " ".join(f"{entry.right} {entry.left}" for entry in _LANGUAGES.values()).split()
)
# ojoizquierdo, linksauge: the two words of each
COMPOUNDS: Mapping[str, tuple[str, str]] = {
    first + second: (first, second)
    for entry in _LANGUAGES.values()
    for pair in product(entry.eye.split(), f"{entry.right} {entry.left}".split())
    for first, second in (pair, pair[::-1])
}
EYE_NOUNS = frozenset({"eye", *" ".join(entry.eye for entry in _LANGUAGES.values()).split()})

# letters that have no decomposition in Unicode
_UNDECOMPOSED = str.maketrans({"œ": "oe", "ø": "o", "ł": "l", "\u0131": "i", "ß": "ss", "æ": "ae"})


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words of other languages, folded: those that name an eye, and those that only contradict."""

    words: Mapping[str, Eye]
    codes: Mapping[str, Eye]
    contradicting_words: Mapping[str, Eye]
    contradicting_codes: Mapping[str, Eye]
    contradicting_after_numbers: Mapping[str, Eye]
    both: frozenset[str]
    places: frozenset[str]
    things: frozenset[str]
    eye_nouns: frozenset[str]


@cache
def vocabulary(languages: tuple[LanguageName, ...] = ()) -> Vocabulary:
    """Return the words of other languages for a camera with these languages.

    A word that means different eyes in two languages counts for neither.
    """
    words: dict[str, Eye] = {}
    codes: dict[str, Eye] = {}
    contradicting_words = {word.lower(): eye for word, eye in LATIN.items()}
    contradicting_codes: dict[str, Eye] = {}
    after_numbers = {word.lower(): eye for word, eye in ABBREVIATIONS.items()}
    both: set[str] = set()
    places = set(DIRECTIONS)
    things = set(THINGS)
    eye_nouns = {"eye"}
    for name, entry in _LANGUAGES.items():
        both.update(entry.both.split())
        if name in languages:
            _add(words, entry.right, entry.left)
            _add(codes, entry.right_codes, entry.left_codes)
            _add(codes, entry.right_if_set, entry.left_if_set)
            places.update(entry.places.split())
            things.update(entry.things.split())
            eye_nouns.update(entry.eye.split())
        else:
            _add(contradicting_words, entry.right, entry.left)
            _add(contradicting_codes, entry.right_codes, entry.left_codes)
            _add(after_numbers, entry.right_if_set, entry.left_if_set)
            after_numbers.pop("op", None)  # ophthalmic photography
    for right, left in OTHER_LANGUAGES.values():
        _add(contradicting_words, fold(right), fold(left))
    for word, eye in ALSO_NAMES.items():
        if word not in words:
            contradicting_words.pop(word, None)
            after_numbers[word] = eye
    return Vocabulary(
        _known(words),
        _known(codes),
        _known(contradicting_words),
        _known(contradicting_codes),
        _known(after_numbers),
        frozenset(both),
        frozenset(places),
        frozenset(things),
        frozenset(eye_nouns),
    )


def fold(word: str) -> str:
    """Return a word in small letters without accents, for a comparison with the tables.

    Letters are not replaced by look-alikes: the long s and full-width letters stay what they are.

    >>> fold("SA\u011e"), fold("\u0152il")
    ('sag', 'oeil')
    """
    if word.isascii():
        return word.lower()
    letters = unicodedata.normalize("NFD", word.lower().translate(_UNDECOMPOSED))
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return unicodedata.normalize("NFC", bare)  # Korean syllables stay whole


def _add(table: dict[str, Eye], right: str, left: str) -> None:
    for eye, text in ((Eye.RIGHT, right), (Eye.LEFT, left)):
        for word in text.split():
            if table.setdefault(word, eye) is not eye:
                table[word] = Eye.UNKNOWN


def _known(table: dict[str, Eye]) -> dict[str, Eye]:
    return {word: eye for word, eye in table.items() if eye is not Eye.UNKNOWN}
