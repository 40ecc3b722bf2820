"""Building blocks of tables: column types, constraints and indexes for both databases."""

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
    """The type of columns that hold aware UTC times.

    Times are stored as timestamptz on PostgreSQL and as sortable ISO text on SQLite.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        """Return the column type for the database that is in use."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.Text())
        return dialect.type_descriptor(self.impl_instance)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        """Convert a time to UTC, in the form in which the database stores it.

        A naive time is interpreted as local time.
        """
        if value is None:
            return None
        utc = value.astimezone(UTC)
        if dialect.name == "sqlite":
            return utc.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return utc

    def process_result_value(self, value: Any, _dialect: sa.Dialect) -> datetime | None:
        """Convert a stored time to an aware UTC time."""
        return as_utc(value)


def as_utc(value: datetime | str | None) -> datetime | None:
    """Convert a time, in the form in which either database stores it, to an aware UTC time."""
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.astimezone(UTC)


class SignedInode(TypeDecorator[int]):
    """The type of inode numbers, stored as signed 64-bit integers.

    Some file systems use all 64 bits, but PostgreSQL has no unsigned integers.
    """

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, _dialect: sa.Dialect) -> int | None:
        """Convert an inode number to a signed integer.

        Numbers from 2**63 on become negative.
        """
        if value is None or value < 2**63:
            return value
        return value - 2**64

    def process_result_value(self, value: int | None, _dialect: sa.Dialect) -> int | None:
        """Convert a stored signed integer back to an inode number."""
        if value is None or value >= 0:
            return value
        return value + 2**64


BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # on SQLite, only INTEGER is a rowid
GRADE_KEYS = tuple(grade.name.lower() for grade in Grade)  # no_dr, mild, moderate, severe, pdr


def storable(text: str) -> str:
    """Return the text in a form that both databases accept.

    NUL characters are removed, and bytes that are not UTF-8 are escaped.
    """
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode()


def flag(name: str, **options: Any) -> sa.Column[bool]:
    """Return a boolean column that cannot be null.

    On SQLite, a CHECK constraint limits the column to 0 and 1.
    """
    return sa.Column(name, sa.Boolean(create_constraint=True, name=name), nullable=False, **options)


def one_of(column: str, values: type[Enum]) -> sa.CheckConstraint:
    """Return a CHECK constraint that requires a column to hold one of an enum's values."""
    listed = ", ".join(f"'{member.value}'" for member in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


def score_columns(prefix: str, kind: type[sa.types.TypeEngine[Any]]) -> Iterator[sa.Column[Any]]:
    """Yield a column for each grade: PREFIX_no_dr to PREFIX_pdr."""
    for key in GRADE_KEYS:
        yield sa.Column(f"{prefix}_{key}", kind)


def set_if_graded(prefix: str) -> Iterator[sa.CheckConstraint]:
    """Yield a CHECK constraint for the column of each grade.

    The constraint requires the column to be set if the outcome is graded, and null otherwise.
    """
    for key in GRADE_KEYS:
        name = f"{prefix}_{key}"
        yield sa.CheckConstraint(f"(outcome = 'graded') = ({name} IS NOT NULL)", name=name)


def index(table: sa.Table, name: str, columns: str) -> None:
    """Add an index to a table.

    `columns` is a string of column names separated by spaces.
    """
    sa.Index(name, *_named(table, columns))


def partial_index(
    table: sa.Table, name: str, columns: str, where: sa.ColumnElement[bool] | str
) -> None:
    """Add an index to a table, restricted to the rows that satisfy `where`.

    The database uses the index for queries that contain the same condition.
    """
    if isinstance(where, str):
        where = sa.literal_column(where, sa.Boolean)
    sa.Index(name, *_named(table, columns), sqlite_where=where, postgresql_where=where)


def _named(table: sa.Table, columns: str) -> list[sa.Column[Any]]:
    return [table.c[name] for name in columns.split()]
