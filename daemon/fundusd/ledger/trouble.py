"""A kind of trouble of a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fundusd.domain.errors import LedgerError

BY_ITSELF = " fundusd then goes on by itself."


@dataclass(frozen=True, slots=True)
class Trouble:
    """A kind of trouble: how it is recognised, and what people are told.

    `codes` are the beginnings of SQLite's names of errors, or of SQLSTATE. `words` is a pattern for
    the message of the server, which alone tells why a connection was refused. In the texts,
    `{shown}` stands for the URL, `{file}` and `{folder}` for a SQLite file and its folder, and
    `{name}`, `{role}` and `{host}` for a PostgreSQL database, its role and its server.
    """

    codes: tuple[str, ...]
    kind: type[LedgerError]
    sentence: str
    hint: str
    words: str = ""
