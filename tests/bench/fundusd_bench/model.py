"""Measure the model alone: JPEG to scores, drift of narrower dtypes, operations per forward."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fundusd.app import factory
from fundusd.app.settings import Settings
from fundusd.app.settings_service import ModelSettings
from fundusd.clinical import grading
from fundusd.domain.errors import FundusdError
from fundusd.imaging.decode import decode
from fundusd_bench import captures, drift, places
from fundusd_bench.figures import Figure, Goal, interleave, of_rounds, ratios

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fundusd.domain.decoding import Pixels
    from fundusd.model.classifier import ZeroShotClassifier
    from fundusd_bench.drift import Embeddings
    from fundusd_bench.machine import Machine
    from fundusd_bench.reference import Reference
    from fundusd_bench.work import Work

_FULL_GFLOP = 979.2  # one forward of the vision tower at 448 pixels
_FULL_WIDTH = 1152
_FEW = 8  # captures, if each takes a minute


@dataclass(frozen=True, slots=True)
class Variant:
    """A backend and dtype, and how much faster than the reference they must be."""

    backend: str
    dtype: str
    goal: Goal | None = None

    def __str__(self) -> str:
        """Return the variant's name in tables."""
        return f"{self.backend} {self.dtype}"


EXACT = Variant("torch", "float32")
VARIANTS = (
    EXACT,
    Variant("torch", "bfloat16", Goal(3.1, at_least=True)),
    Variant("openvino", "float32", Goal(2.8, at_least=True)),
    Variant("openvino", "bfloat16", Goal(5.1, at_least=True)),
)


def is_served(backend: str) -> bool:
    """Return whether a backend's library is installed."""
    return importlib.util.find_spec(backend) is not None


def variants(machine: Machine) -> list[Variant]:
    """Return the variants that this machine can run."""
    runnable = []
    for variant in VARIANTS:
        is_fallback = str(variant) == "openvino bfloat16" and not machine.has_fast_bfloat16
        if is_served(variant.backend) and not is_fallback:  # OpenVINO would compute in float32
            runnable.append(variant)
    return runnable


def left_out(machine: Machine) -> list[str]:
    """Return which rows will be missing and why, or how to get them."""
    if not is_served("openvino"):
        return [
            "openvino is not installed: pip install 'fundusd[openvino]'; its rows are left out."
        ]
    if not machine.has_fast_bfloat16:
        return [
            (
                "This CPU has neither avx512_bf16 nor AMX, so the daemon uses float32, "
                "as OpenVINO would in any case."
            ),
            (
                "torch takes ten times as long in bfloat16: its speed is left out, "
                f"and its drift is measured on at most {_FEW} captures."
            ),
        ]
    return []


def settings_for(checkpoint: Path, variant: Variant) -> Settings:
    """Return settings that choose a variant."""
    chosen: dict[str, Any] = {"backend": variant.backend, "device": "cpu", "dtype": variant.dtype}
    return Settings(model=ModelSettings(source=str(checkpoint.absolute()), **chosen))


def measure(work: Work, on_step: Callable[[str], None]) -> list[Figure]:
    """Measure each variant interleaved with the reference, with two models in memory at a time."""
    on_step("model: loading the reference")
    from fundusd_bench.reference import Reference  # torch

    reference = Reference(work.checkpoint)
    photograph = captures.large(places.cache() / "captures", 1, on_step)[0].read_bytes()
    squares = drift.squares(work.options.captures, on_step)
    figures: list[Figure] = []
    embedded: dict[str, Embeddings] = {}
    for variant in variants(work.machine):
        on_step(f"model: loading {variant}")
        classifier = factory.load_classifier(settings_for(work.checkpoint, variant))
        is_slow = variant.dtype == "bfloat16" and not work.machine.has_fast_bfloat16
        if not is_slow:
            figures += _speed(work, variant, classifier, photograph, reference, on_step)
        if variant == EXACT:
            figures.append(_operations(work.checkpoint, classifier))
        if variant == EXACT or variant.dtype == "bfloat16":
            some = squares[:_FEW] if is_slow else squares
            embedded[str(variant)] = _embed(classifier, some, str(variant), on_step)
        del classifier  # before the next is loaded
    exact = embedded.pop(str(EXACT))
    kind = "captures" if work.options.captures else "phantoms"
    for name, embeddings in embedded.items():
        count = len(embeddings)
        figures += drift.figures(reference, name, exact[:count], embeddings, f"{count} {kind}")
    return figures


def _speed(
    work: Work,
    variant: Variant,
    classifier: ZeroShotClassifier,
    photograph: bytes,
    reference: Reference,
    on_step: Callable[[str], None],
) -> list[Figure]:
    settings = settings_for(work.checkpoint, variant)
    limits, how = factory.limits(settings), settings.model.preprocessing

    def ours() -> None:
        on_step(f"model: JPEG to scores, {variant}")
        pixels = decode(photograph, how, classifier.side, limits).pixels
        assert pixels is not None
        grading.grade(classifier.logits(pixels[None])[0].tolist())

    def theirs() -> None:
        on_step(f"model: JPEG to scores, the reference beside {variant}")
        reference.classify(photograph)

    cases: dict[str, Callable[[], None]] = {"ours": ours}
    if work.options.reference:
        cases["theirs"] = theirs
    for case in cases.values():
        case()
    seconds = interleave(cases, work.options.rounds)
    name = f"JPEG to scores, {variant}"
    figures = [of_rounds("model", name, "s", seconds["ours"])]
    if work.options.reference:
        times = ratios(seconds["theirs"], seconds["ours"])
        figures += [
            of_rounds("model", f"the reference, beside {variant}", "s", seconds["theirs"]),
            of_rounds("model", f"{name}: times the reference", "x", times, goal=variant.goal),
        ]
    return figures


def _operations(checkpoint: Path, classifier: ZeroShotClassifier) -> Figure:
    """Count a forward's operations; too many would mean that the text tower runs as well."""
    from fundusd_bench import flops

    square = np.zeros((1, classifier.side, classifier.side, 3), np.uint8)
    counted = flops.count(classifier, square) / 1e9
    width = (
        json.loads((checkpoint / "config.json").read_bytes())
        .get("vision_config", {})
        .get("hidden_size")
    )
    if width != _FULL_WIDTH:
        return of_rounds(
            "model", "operations of a forward", "GFLOP", [counted], note="not of MedSigLIP's size"
        )
    share = counted / _FULL_GFLOP
    name = f"operations of a forward over {_FULL_GFLOP:g} GFLOP"
    return of_rounds("model", name, "x", [share], goal=Goal(1.01, at_least=False))


def _embed(
    classifier: Any, squares: list[Pixels], name: str, on_step: Callable[[str], None]
) -> Embeddings:
    embeddings = []
    for number, pixels in enumerate(squares, 1):
        on_step(f"model: drift, {name}, capture {number} of {len(squares)}")
        embeddings.append(classifier.embed(pixels[None])[0])
    stacked: Embeddings = np.stack(embeddings)
    if not np.isfinite(stacked).all():
        raise FundusdError(
            f"{name} computes numbers that are not finite.", hint="Run: fundusd model verify"
        )
    return stacked
