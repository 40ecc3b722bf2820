"""Thousands of damaged captures: each fails alone, and the good one beside it is graded."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests import imaging_cases as cases
from tests.daemon_cases import Site, drop, jpeg, running, site
from tests.faults import fuzz_cases

from fundusd.clinical.quality_thresholds import DEFAULTS
from fundusd.domain.clinical_terms import Grade, Outcome, Reason
from fundusd.domain.decoding import MediaType, Preprocessing
from fundusd.domain.errors import CaptureError
from fundusd.domain.files import IgnoreReason
from fundusd.files.media_type import HEAD_BYTES, sniff
from fundusd.imaging import decode
from fundusd.imaging.decoder_pool import DecoderPool
from fundusd.imaging.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.faults.fuzz_cases import Mutant

SIDE = 64
LOST = {Reason.DECODER_CRASHED, Reason.TIMEOUT}  # each costs a decoder process
FEW = 400
ALL, WAVE, BESIDE = 5200, 400, 20  # damaged captures in all, per wave, and per good capture


def test_a_mutant_is_the_same_on_every_run_and_no_two_are_alike() -> None:
    made = list(fuzz_cases.mutants(FEW))
    assert made == list(fuzz_cases.mutants(FEW))
    assert made[7:9] == list(fuzz_cases.mutants(2, 7))
    assert len({mutant.data for mutant in made}) > 0.9 * FEW
    assert {mutant.mutation for mutant in made} == set(fuzz_cases.MUTATIONS)
    assert {mutant.seed for mutant in made} == set(fuzz_cases.seeds())


def test_every_seed_is_decoded_before_it_is_damaged() -> None:
    with DecoderPool(1, Preprocessing.PAD_SQUARE, SIDE) as pool:
        reasons = {name: pool.decode(data).reason for name, data in fuzz_cases.seeds().items()}
    assert {reason for name, reason in reasons.items() if name.endswith("640")} == {None}
    assert set(reasons.values()) == {None, Reason.SMALL, Reason.REDFREE_OR_FA}


def test_a_decoder_gives_each_damaged_capture_its_reason_and_the_next_one_its_pixels() -> None:
    good, reasons = cases.encode(cases.retina(), "JPEG"), Counter[Reason | None]()
    with DecoderPool(1, Preprocessing.PAD_SQUARE, SIDE, Limits(seconds=10)) as pool:
        expected = pool.decode(good).pixels
        assert expected is not None
        for mutant in fuzz_cases.mutants(FEW):
            decoded = pool.decode(mutant.data)
            assert (decoded.pixels is None) == (decoded.reason is not None), mutant.name
            reasons[decoded.reason] += 1
            again = pool.decode(good).pixels
            assert again is not None, mutant.name
            assert np.array_equal(again, expected), mutant.name
        assert pool.restarts == sum(reasons[reason] for reason in LOST) <= FEW // 100
    assert reasons[Reason.TRUNCATED] > FEW // 10
    assert reasons[Reason.DECODE_ERROR] > FEW // 10


@pytest.mark.usefixtures("as_in_a_decoder_process")
def test_no_damage_makes_the_decoder_raise_what_nobody_expected() -> None:
    """Any other exception would end as decode_error too, but may be a defect of ours."""
    for mutant in fuzz_cases.mutants(FEW, start=10_000):
        media = sniff(mutant.data)
        if isinstance(media, MediaType):
            with contextlib.suppress(CaptureError):
                opened = decode._open(mutant.data, media, Limits())
                if opened.reason is None:
                    decode._assess(opened.content, *opened.load(), thresholds=DEFAULTS)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.skipif(
    os.environ.get("FUNDUSD_FAULTS") != "all", reason="minutes: FUNDUSD_FAULTS=all runs it"
)
def test_the_service_outlives_thousands_of_damaged_captures(
    tmp_path: Path, sqlite_url: str
) -> None:
    place, began = site(tmp_path, sqlite_url), time.monotonic()
    with running(place) as daemon:
        daemon.await_event("service.ready")
        admitted = 0
        for first in range(0, ALL, WAVE):
            admitted += dropped(place, first)
            daemon.await_that(partial(has_finished, place, admitted))
        daemon.await_that(place.is_done)
        assert daemon.stop() == 0
    seconds = time.monotonic() - began
    events = Counter(line["event"] for line in daemon.lines)
    assert events["service.started"] == 1
    assert events["capture.broke"] == 0
    assert events["decoder.replaced"] <= ALL // 100
    accounts, rows = place.reconciled(), place.rows()
    assert accounts.files == ALL + ALL // BESIDE
    assert accounts.unaccounted == []
    assert len(rows) == admitted
    require_outcomes(rows)
    assert place.verdict().broken_seq is None
    replaced = events["decoder.replaced"]
    print(f"\n{ALL} damaged captures in {seconds:.0f} s, {replaced} decoders replaced")
    print(dict(accounts.counts.most_common()))


def dropped(place: Site, first: int) -> int:
    """Drop a wave, with a good capture in each folder; return how many should be admitted."""
    admitted = 0
    for mutant in fuzz_cases.mutants(WAVE, first):
        folder = f"P{mutant.number // BESIDE}"
        if mutant.number % BESIDE == 0:
            drop(place, f"{folder}/good_OD.jpg", good_capture(mutant.number // BESIDE))
            admitted += 1
        drop(place, f"{folder}/{mutant.name}", mutant.data)
        admitted += _is_capture(mutant)
    return admitted


def good_capture(number: int) -> bytes:
    return jpeg(tuple(Grade)[number % 5]) + number.to_bytes(4)


def _is_capture(mutant: Mutant) -> bool:
    return not isinstance(sniff(mutant.data[:HEAD_BYTES]), IgnoreReason)


def has_finished(place: Site, count: int) -> bool:
    """Return whether so many captures have an outcome; not all of them have a line in the log."""
    return sum(row["outcome"] is not None for row in place.rows()) >= count


def require_outcomes(rows: list[Mapping[str, Any]]) -> None:
    """Require a grade for good captures; for others a grade, or a reason of their outcome."""
    good = [row for row in rows if row["path"].endswith("good_OD.jpg")]
    assert len(good) == ALL // BESIDE
    assert {row["outcome"] for row in good} == {Outcome.GRADED}
    for row in rows:
        graded = row["outcome"] == Outcome.GRADED
        assert graded == (row["reason"] is None), row["path"]
        assert graded or Reason(row["reason"]).outcome == row["outcome"], row["path"]
