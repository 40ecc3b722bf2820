"""The table of docs/faults.md: the tests of each row, and their outcome.

Run as a program it prints the arguments with which pytest runs every row.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
_ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \| `([^`]+)` \|$")


@dataclass(frozen=True)
class Row:
    """One fault at one moment.

    `test` is a path below tests/, a name, and perhaps a pattern for its parameters.
    """

    number: int
    fault: str
    moment: str
    outcome: str
    test: str

    @property
    def node(self) -> str:
        """Return the test without its parameters, in the form that pytest accepts."""
        return "tests/" + self.test.partition("[")[0]

    def covers(self, node: str) -> bool:
        """Return whether a test that ran belongs to this row."""
        name, _, parameters = node.partition("[")
        pattern = self.test.partition("[")[2].removesuffix("]")
        return name == self.node and fnmatch.fnmatchcase(
            parameters.removesuffix("]"), pattern or "*"
        )


def rows() -> list[Row]:
    """Return the rows of the page's table."""
    rows: list[Row] = []
    for line in PAGE.read_text().splitlines():
        if match := _ROW.match(line):
            rows.append(Row(int(match[1]), *match.groups()[1:]))
    return rows


def verdicts(outcomes: Mapping[str, Iterable[str]]) -> list[tuple[Row, str]]:
    """Return each row with the outcome of its tests, given which passed, failed and so on."""
    return [
        (row, _verdict({kind for kind, ids in outcomes.items() if any(map(row.covers, ids))}))
        for row in rows()
    ]


def _verdict(kinds: set[str]) -> str:
    if kinds & {"failed", "error"}:
        return "FAILED"
    if "xfailed" in kinds:
        return "DEFECT"  # known, not fixed yet
    if "passed" in kinds:
        return "holds"
    return "skipped" if kinds else "not run"


if __name__ == "__main__":
    print(
        "tests/faults", *sorted({row.node for row in rows() if not row.test.startswith("faults/")})
    )
