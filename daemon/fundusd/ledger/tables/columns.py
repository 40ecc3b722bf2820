"""Parts of tables: column types, rules and partial indexes that both databases have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from fundusd.domain.clinical_terms import Grade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import Enum

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UTCTime(TypeDecorator[datetime]):
    """An aware UTC time: timestamptz on PostgreSQL, sortable ISO text on SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        """Return the column type of the database."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.Text())
        return dialect.type_descriptor(self.impl_instance)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        """Return the time in UTC as the database stores it; a naive time is local time."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        if dialect.name == "sqlite":
            return utc.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return utc

    def process_result_value(self, value: Any, _dialect: sa.Dialect) -> datetime | None:
        """Return an aware UTC time."""
        return as_utc(value)


def as_utc(value: datetime | str | None) -> datetime | None:
    """Return a time as either database stores it as an aware UTC time."""
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.astimezone(UTC)


class SignedInode(TypeDecorator[int]):
    """An inode number in 64 signed bits: some file systems use all 64, PostgreSQL has 63."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, _dialect: sa.Dialect) -> int | None:
        """Return the number, as a negative one from 2**63 on."""
        if value is None or value < 2**63:
            return value
        return value - 2**64

    def process_result_value(self, value: int | None, _dialect: sa.Dialect) -> int | None:
        """Return the inode number."""
        if value is None or value >= 0:
            return value
        return value + 2**64


BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only INTEGER is a rowid on SQLite
GRADE_KEYS = tuple(grade.name.lower() for grade in Grade)  # no_dr, mild, moderate, severe, pdr


def storable(text: str) -> str:
    """Return a text that both databases accept: NUL removed, bytes that are not UTF-8 escaped."""
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode()


def flag(name: str, **options: Any) -> sa.Column[bool]:
    """Return a boolean column that cannot be null; SQLite checks that it is 0 or 1."""
    return sa.Column(name, sa.Boolean(create_constraint=True, name=name), nullable=False, **options)


def one_of(column: str, values: type[Enum]) -> sa.CheckConstraint:
    """Return the CHECK that a column holds one of an enum's values."""
    listed = ", ".join(f"'{member.value}'" for member in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


def score_columns(prefix: str, kind: type[sa.types.TypeEngine[Any]]) -> Iterator[sa.Column[Any]]:
    """Yield a column for each grade: PREFIX_no_dr to PREFIX_pdr."""
    for key in GRADE_KEYS:
        yield sa.Column(f"{prefix}_{key}", kind)


def set_if_graded(prefix: str) -> Iterator[sa.CheckConstraint]:
    """Yield the CHECKs that the column of each grade is set exactly if the outcome is graded."""
    for key in GRADE_KEYS:
        name = f"{prefix}_{key}"
        yield sa.CheckConstraint(f"(outcome = 'graded') = ({name} IS NOT NULL)", name=name)


def index(table: sa.Table, name: str, columns: str) -> None:
    """Index columns, which are named in one string."""
    sa.Index(name, *_named(table, columns))


def partial_index(
    table: sa.Table, name: str, columns: str, where: sa.ColumnElement[bool] | str
) -> None:
    """Index the rows that `where` selects; a query uses the index if it has the same condition."""
    if isinstance(where, str):
        where = sa.literal_column(where, sa.Boolean)
    sa.Index(name, *_named(table, columns), sqlite_where=where, postgresql_where=where)


def _named(table: sa.Table, columns: str) -> list[sa.Column[Any]]:
    return [table.c[name] for name in columns.split()]
