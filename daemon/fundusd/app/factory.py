"""Build the parts of the program from the settings."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from fundusd.clinical import grading
from fundusd.imaging.decoder_pool import DecoderPool
from fundusd.imaging.limits import Limits
from fundusd.imaging.quality_gate import gate_id
from fundusd.model.checkpoint import hash_files
from fundusd.model.locate import ModelChoice, find
from fundusd.model.planning import ModelPlan, plan
from fundusd.model.prepared_parts import remembered_digests
from fundusd.outbox.transports import TRANSPORTS
from fundusd.watcher.rules import IntakeRules
from fundusd.worker.rules import WorkerRules

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from fundusd.app.settings import ReceiverSettings, Settings
    from fundusd.app.settings_section import Section
    from fundusd.app.settings_service import DecodeSettings
    from fundusd.clinical.quality_thresholds import Thresholds
    from fundusd.model.classifier import ZeroShotClassifier
    from fundusd.outbox.receivers import Receiver

MIB = 1024 * 1024
# on a CPU, a forward pass takes seconds and decoding takes milliseconds, so one decoder keeps up;
# while it hangs, a second one takes over
_BESIDE_A_CPU_MODEL = 2

_Rules = TypeVar("_Rules", ModelChoice, IntakeRules)


def model_choice(settings: Settings) -> ModelChoice:
    """Return the choice made in [model]: which model to find, and how to run it."""
    return _filled(ModelChoice, settings.model)


def intake_rules(settings: Settings) -> IntakeRules:
    """Return the rules in [intake] by which captures are found and count as settled."""
    return _filled(IntakeRules, settings.intake)


def _filled(kind: type[_Rules], section: Section) -> _Rules:
    """Return a `kind` whose fields are set from the keys of the same names in a section.

    Fields without such a key keep their defaults.
    """
    values = {}
    for field in fields(kind):
        if field.name in type(section).model_fields:
            values[field.name] = getattr(section, field.name)
    return kind(**values)


def plan_model(
    settings: Settings,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    afresh: bool = False,
) -> ModelPlan:
    """Find the checkpoint and plan how to run it.

    If `afresh` is true, every file is hashed, even if its digest is remembered. Raises ModelError
    if the model cannot be used, or SettingsError if the settings are wrong.
    """
    choice = model_choice(settings)
    checkpoint = find(choice, on_progress, hash_files if afresh else remembered_digests)
    return plan(
        checkpoint,
        choice,
        settings.model.batch_size,
        referable_rule=grading.Rule.parse(settings.model.referable).name,
        quality_gate=gate_id(thresholds(settings)),
    )


def load_classifier(settings: Settings) -> ZeroShotClassifier:
    """Find, prepare and load the model.

    Raises ModelError if the model cannot be used, or SettingsError if the settings are wrong.
    """
    planned = plan_model(settings)
    planned.prepare()
    return planned.load()


def limits(settings: Settings) -> Limits:
    """Return the limits that [decode] sets for the decoder processes."""
    chosen = settings.decode
    return Limits(
        seconds=chosen.seconds,
        memory_bytes=chosen.memory_mb * MIB,
        max_bytes=chosen.max_mb * MIB,
        max_pixels=chosen.max_megapixels * 1_000_000,
    )


def thresholds(settings: Settings) -> dict[str, Thresholds]:
    """Return the quality thresholds of the cameras, keyed by camera id."""
    return {camera.id: camera.thresholds for camera in settings.camera}


def decoder_pool(
    settings: Settings, side: int, processes: int, log: FilteringBoundLogger | None = None
) -> DecoderPool:
    """Return a pool of decoder processes for a model whose input is `side` pixels square."""
    return DecoderPool(processes, settings.model.preprocessing, side, limits(settings), log)


def decoder_count(decode: DecodeSettings, *, model_on_cpu: bool, batch_size: int) -> int:
    """Return the number of decoder processes to start."""
    if decode.processes:
        return decode.processes
    if model_on_cpu:
        return _BESIDE_A_CPU_MODEL
    return max(1, min(len(os.sched_getaffinity(0)) - 1, batch_size))


def receiver(chosen: ReceiverSettings) -> Receiver:
    """Return the receiver that a [[receiver]] section describes.

    Raises SettingsError if its credentials cannot be read.
    """
    made: Any = TRANSPORTS[chosen.transport].receiver_at(chosen.address)
    credentials = chosen.credentials
    if credentials is not None:
        credentials.require_readable()
        made = replace(made, credentials=credentials)
    checked: Receiver = made
    return checked


def worker_rules(settings: Settings, planned: ModelPlan) -> WorkerRules:
    """Return the rules by which the worker claims, grades and retries captures."""
    on_cpu = planned.runtime.is_cpu
    batch_size = 1 if on_cpu else settings.model.batch_size  # larger batches gain nothing on a CPU
    return WorkerRules(
        batch_size=batch_size,
        retry_seconds=settings.intake.retry_seconds,
        max_bytes=settings.decode.max_mb * MIB,
        decoders=decoder_count(settings.decode, model_on_cpu=on_cpu, batch_size=batch_size),
        model=planned.release.model,
        referral=grading.Rule.parse(planned.release.referable_rule),
        thresholds=thresholds(settings),
    )
