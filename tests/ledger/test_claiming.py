"""Which job is taken next, and that no two workers ever take the same one."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.ledger import Claim, Ledger

    Opener = Callable[[], Ledger]

CLAIMER = """
import json, sys
from fundusd.ledger import Ledger
ledger = Ledger(sys.argv[1])
ledger.release_id = int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
taken = []
while claims := ledger.claim(3):
    taken += [claim.job_id for claim in claims]
print(json.dumps(taken))
"""


def digests(claims: list[Claim]) -> list[str]:
    return [claim.digest for claim in claims]


def words(*expected: str) -> list[str]:
    return [cases.digest_of(word) for word in expected]


def test_todays_captures_come_before_the_backlog_and_the_backlog_newest_first(
    ledger: Ledger,
) -> None:
    for word, age in (("old", 10), ("new", 30), ("middle", 20)):
        ledger.admit(cases.found(f"{word}.jpg", word, mtime_ns=age, backlog=True))
    ledger.admit(cases.found("x.jpg", "live 1"))
    ledger.admit(cases.found("y.jpg", "live 2"))
    assert digests(ledger.claim(16)) == words("live 1", "live 2", "new", "middle", "old")


def test_files_of_unknown_format_come_after_all_others_of_their_lane(ledger: Ledger) -> None:
    for number in range(3):
        word = f"garbage {number}"
        ledger.admit(cases.found(f"{number}.jpg", word, is_of_known_format=False))
    again = cases.found("again.jpg", "garbage 1", is_of_known_format=False)
    ledger.admit(cases.found("OD.jpg", "photograph"), again)
    (first,) = ledger.claim(1)
    assert first.digest == cases.digest_of("photograph")
    assert len(ledger.claim(10)) == 3


def test_no_more_jobs_are_taken_than_asked_for(ledger: Ledger) -> None:
    for word in "ABC":
        ledger.admit(cases.found(f"{word}.jpg", word))
    assert digests(ledger.claim(2)) == words("A", "B")
    assert digests(ledger.claim(2)) == words("C")
    assert ledger.claim(2) == []


def test_a_tried_job_comes_after_the_fresh_ones_and_alone(ledger: Ledger) -> None:
    for word in ("tried 1", "tried 2"):
        ledger.postpone(cases.take(ledger, f"{word}.jpg", word), Reason.TIMEOUT, "slow", 0)
    ledger.admit(cases.found("a.jpg", "fresh 1"))
    ledger.admit(cases.found("b.jpg", "fresh 2"))
    assert digests(ledger.claim(16)) == words("fresh 1", "fresh 2")
    assert digests(ledger.claim(16)) == words("tried 1")
    assert digests(ledger.claim(16)) == words("tried 2")


def test_a_tried_capture_of_today_still_comes_before_the_backlog(ledger: Ledger) -> None:
    ledger.postpone(cases.take(ledger, "a.jpg", "tried"), Reason.TIMEOUT, "slow", 0)
    ledger.admit(cases.found("b.jpg", "old", backlog=True))
    assert digests(ledger.claim(16)) == words("tried")


def test_the_backlogs_fresh_captures_come_before_its_tried_ones_however_new(ledger: Ledger) -> None:
    newest = cases.take(ledger, "a.jpg", "tried", backlog=True, mtime_ns=99)
    ledger.postpone(newest, Reason.TIMEOUT, "slow", 0)
    ledger.admit(cases.found("b.jpg", "fresh", backlog=True, mtime_ns=1))
    assert digests(ledger.claim(16)) == words("fresh")


def test_a_claim_whose_answer_was_lost_is_found_again(ledger: Ledger) -> None:
    for word in "ABC":
        ledger.admit(cases.found(f"{word}.jpg", word))
    first = ledger._claim(2, "token")
    assert ledger._claim(2, "token") == first
    assert {job["attempts"] for job in cases.jobs(ledger)} == {0, 1}
    assert digests(ledger.claim(2)) == words("C")


def test_jobs_of_another_release_are_left_alone(ledger: Ledger, open_beside: Opener) -> None:
    ledger.admit(cases.found())
    other = open_beside()
    other.release_id += 1
    assert other.claim(16) == []


def test_a_claim_names_every_place_of_its_bytes_the_current_ones_first(ledger: Ledger) -> None:
    ledger.admit(cases.found("a.jpg", "A"))
    ledger.admit(cases.found("b.jpg", "A"))
    ledger.admit(cases.found("b.jpg", "B"))
    claim = next(claim for claim in ledger.claim(2) if claim.digest == cases.digest_of("A"))
    assert [place.path for place in claim.places] == [b"a.jpg", b"b.jpg"]


def test_a_new_job_waits_for_no_clock(ledger: Ledger) -> None:
    """A clock that is set back after a power cut must not hold the queue up."""
    ledger.admit(cases.found())
    assert cases.the_job(ledger)["available_at"] == 0
    (claim,) = ledger.claim(1)
    ledger.fail(claim, Reason.TIMEOUT, "slow")
    ledger.retry_failed()
    assert cases.the_job(ledger)["available_at"] == 0


def test_two_threads_never_take_the_same_job(ledger: Ledger, open_beside: Opener) -> None:
    for number in range(60):
        ledger.admit(cases.found(f"{number}.jpg", str(number)))
    workers = [open_beside() for _ in range(2)]

    def drain(worker: Ledger) -> list[int]:
        taken: list[int] = []
        while claims := worker.claim(3):
            taken += [claim.job_id for claim in claims]
        return taken

    with ThreadPoolExecutor(2) as pool:
        first, other = pool.map(drain, workers)
    assert sorted(first + other) == [job["id"] for job in cases.jobs(ledger)]
    assert ledger.verify().broken_seq is None


def test_two_processes_never_take_the_same_job(ledger: Ledger, store_url: str) -> None:
    for number in range(20):
        ledger.admit(cases.found(f"{number}.jpg", str(number)))
    command = [sys.executable, "-c", CLAIMER, store_url, str(ledger.release_id)]
    claimers = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(2)
    ]
    taken: list[int] = []
    for claimer in claimers:
        assert claimer.stdout is not None
        assert claimer.stdout.readline() == "ready\n"
    for claimer in claimers:
        assert claimer.stdin is not None
        claimer.stdin.write("go\n")
        claimer.stdin.flush()
    for claimer in claimers:
        answer, _ = claimer.communicate(timeout=60)
        taken += json.loads(answer)
    assert sorted(taken) == [job["id"] for job in cases.jobs(ledger)]


def test_admissions_from_four_threads_lose_nothing(ledger: Ledger) -> None:
    admit_from_four(ledger, [ledger] * 4)


def test_admissions_from_four_connections_lose_nothing(ledger: Ledger, open_beside: Opener) -> None:
    admit_from_four(ledger, [open_beside() for _ in range(4)])


def admit_from_four(ledger: Ledger, ledgers: list[Ledger]) -> None:
    def admit(number: int) -> None:
        for index in range(100):  # the same bytes come from all four at once, at four paths
            ledgers[number].admit(cases.found(f"{number}/{index}.jpg", f"word {index}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(admit, range(4)))
    assert len(cases.captures(ledger)) == 400
    assert len(cases.jobs(ledger)) == 100
    assert ledger.verify().broken_seq is None


def test_writers_that_meet_on_one_capture_do_not_stop_each_other(
    ledger: Ledger, open_beside: Opener
) -> None:
    """One exports again what the other records: each wants rows that the other has."""
    ledgers = [open_beside() for _ in range(2)]
    for number in range(30):
        ledger.admit(cases.found(f"{number}.jpg", f"old {number}"))

    def work() -> None:
        while claims := ledgers[0].claim(4):
            ledgers[0].record([cases.finding(claim) for claim in claims])

    def export_again() -> None:
        for number in range(30):
            ledgers[1].admit(cases.found(f"{number}.jpg", f"new {number}"))

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(work), pool.submit(export_again)]:
            future.result()
    assert len(cases.captures(ledger)) == 60
    assert ledger.verify().broken_seq is None
