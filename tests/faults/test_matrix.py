"""docs/faults.md names only tests that exist, and every test of this suite."""

from __future__ import annotations

import subprocess
import sys

from tests.faults import matrix

# what the suite stands on
NOT_A_ROW = (
    "test_matrix.py",
    "test_bad_days.py",
    "test_a_mutant_is_the_same",
    "test_every_seed_is_decoded",
)


def collected() -> list[str]:
    """Return the tests that pytest collects."""
    files = sorted({row.node.partition("::")[0] for row in matrix.rows()} | {"tests/faults"})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--no-cov", "-n0", *files]
    done = subprocess.run(command, cwd=matrix.ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_each_row_has_its_tests_and_each_fault_its_row() -> None:
    rows = matrix.rows()
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 60
    tests = collected()
    assert not [row for row in rows if not any(map(row.covers, tests))]
    ours = [
        test
        for test in tests
        if test.startswith("tests/faults/") and not any(name in test for name in NOT_A_ROW)
    ]
    assert not [test for test in ours if not any(row.covers(test) for row in rows)]


def test_a_verdict_is_the_worst_of_a_rows_tests() -> None:
    row = matrix.rows()[0]
    node = row.node + "[" + row.test.partition("[")[2].replace("*", "sqlite").replace("[!a]", "b")
    assert dict(matrix.verdicts({"passed": [node]}))[row] == "holds"
    assert dict(matrix.verdicts({"passed": [node], "failed": [node]}))[row] == "FAILED"
    assert dict(matrix.verdicts({"skipped": [node]}))[row] == "skipped"
    assert dict(matrix.verdicts({}))[row] == "not run"
