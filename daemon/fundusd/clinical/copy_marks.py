"""Remove from a name what a program added to a copy of the file; pure."""

from __future__ import annotations

import re

_EXTENSIONS = re.compile(r"(?:\.(?:jpe?g|jpe|png|tiff?|dcm|dicom|e2e))+$", re.IGNORECASE)
_LONGEST_NAME = 255  # characters, as file systems allow; time grows with the second power
# what file managers and synchronisation programs add to the name of a copy
_COPY_WORD = (
    r"(?:copy|kopi[eao]?|copi[ea]|c\u00f3pia|kopya|m\u00e1solat|\u043a\u043e\u043f\u0438\u044f"
    r"|\u30b3\u30d4\u30fc|\u526f\u672c|\ubcf5\uc0ac\ubcf8)"
)
_INSIDE = r"(?:[^()]|\([^()]*\))*"  # brackets may hold the number of a computer: "MacBook (2)"
_CONFLICT = r"(?:confli|konflik|\u51b2\u7a81|\u7af6\u5408)"
# a run of blanks is tried from its beginning only, or time would grow with its second power
_COPY_MARKS = (
    re.compile(r"(?<!\s)\s*\(\d{1,3}\)$"),  # Windows, macOS and browsers: (1)
    re.compile(
        rf"(?<![\s_\u2013-])[\s_\u2013-]+{_COPY_WORD}(?:[\s_-]*\(?\d{{1,3}}\)?)?$", re.IGNORECASE
    ),
    # Linux: (copy), (another copy), (3rd copy)
    re.compile(
        rf"(?<!\s)\s*\((?:another |weitere |autre |otra |altra "
        rf"|\d{{1,3}}(?:st|nd|rd|th|\.|\u00aa|e)? )?"
        rf"{_COPY_WORD}(?: \d{{1,3}})?\)$",
        re.IGNORECASE,
    ),
    # Dropbox, Nextcloud and others: (Anna's conflicted copy 2026-01-05). What else is in brackets
    # with the word conflict may be about the eye
    re.compile(
        rf"(?<!\s)\s*\((?={_INSIDE}(?:{_COPY_WORD}|\d{{4}}-\d\d-\d\d)){_INSIDE}{_CONFLICT}{_INSIDE}\)$",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?<!\s)\s*[(\[](?:(?:case|selective sync|unicode encoding) )?conflict[)\]]$",
        re.IGNORECASE,
    ),
    # Windows: a shortcut to the file
    re.compile(
        r"(?<![\s_\u2013-])[\s_\u2013-]+(?:shortcut|verkn\u00fcpfung|raccourci|acceso directo"
        r"|collegamento|atalho|snelkoppeling)(?: ?\(\d{1,3}\))?$",
        re.IGNORECASE,
    ),
    re.compile(r"\.sync-conflict-\d{8}-\d{6}-[0-9A-Z]+$", re.IGNORECASE),  # Syncthing
    re.compile(r"[_-]conflict(?:-\d{8}-\d{6})?$", re.IGNORECASE),  # ownCloud, Synology
    re.compile(r"-(?:DESKTOP|LAPTOP|WIN)-[0-9A-Z]{4,12}(?:-\d{1,3})?$"),  # OneDrive: the computer
)
_COPY_OF = re.compile(
    rf"^{_COPY_WORD}(?:\s+\(?\d{{1,3}}\)?)?\s+(?:of|von|de|di|van|av)\s+", re.IGNORECASE
)


def without_extensions(name: str) -> str:
    """Return a name without the extensions of captures.

    >>> without_extensions("P17.dcm.jpg"), without_extensions("P17.v2")
    ('P17', 'P17.v2')
    """
    return _EXTENSIONS.sub("", name)


def without_copy_marks(name: str) -> str:
    """Return a name without what a file manager or synchronisation program added to a copy.

    >>> without_copy_marks("12_OD - Kopie (2)"), without_copy_marks("12_OD")
    ('12_OD', '12_OD')
    """
    if len(name) > _LONGEST_NAME:
        return name
    before = None
    while name != before:
        before = name
        for mark in _COPY_MARKS:
            name = mark.sub("", name)
        name = without_extensions(name)
    shorter = _COPY_OF.sub("", name)
    return shorter or name
