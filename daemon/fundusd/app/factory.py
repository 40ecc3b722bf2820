"""Build the parts of the program from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.clinical import grading
from fundusd.imaging.decoder_pool import DecoderPool
from fundusd.imaging.limits import Limits
from fundusd.imaging.quality_gate import gate_id
from fundusd.model.checkpoint import hash_files
from fundusd.model.classifier import ModelPlan, ZeroShotClassifier, plan
from fundusd.model.locate import ModelChoice, find
from fundusd.model.prepared_parts import remembered_digests
from fundusd.outbox.transports import TRANSPORTS
from fundusd.worker.service import WorkerRules

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from fundusd.app import settings as settings_module
    from fundusd.app.settings import Settings
    from fundusd.clinical.quality_thresholds import Thresholds
    from fundusd.outbox.receivers import Receiver

MIB = 1024 * 1024


def model_choice(settings: Settings) -> ModelChoice:
    """Take what concerns the model out of the settings."""
    chosen = settings.model
    return ModelChoice(
        source=chosen.source,
        revision=chosen.revision,
        device=chosen.device,
        dtype=chosen.dtype,
        backend=chosen.backend,
        exact=chosen.exact,
        prompts=chosen.prompts,
        preprocessing=chosen.preprocessing,
        weights_digest=chosen.weights_digest,
    )


def plan_model(
    settings: Settings,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    afresh: bool = False,
) -> ModelPlan:
    """Find the checkpoint and decide what it runs on; `afresh` hashes every file, whatever is remembered.

    Raises ModelError, SettingsError.
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
    """Find, prepare and load the model; raises ModelError, SettingsError."""
    planned = plan_model(settings)
    planned.prepare()
    return planned.load()


def limits(settings: Settings) -> Limits:
    """Take the decoders' limits out of the settings."""
    chosen = settings.decode
    return Limits(
        seconds=chosen.seconds,
        memory_bytes=chosen.memory_mb * MIB,
        max_bytes=chosen.max_mb * MIB,
        max_pixels=chosen.max_megapixels * 1_000_000,
    )


def thresholds(settings: Settings) -> dict[str, Thresholds]:
    """Take out of the settings from where on each camera's captures are ungradable."""
    return {camera.id: camera.thresholds for camera in settings.camera}


def decoder_pool(
    settings: Settings, side: int, processes: int, log: FilteringBoundLogger | None = None
) -> DecoderPool:
    """Start decoder processes for a model that wants squares of `side` pixels."""
    return DecoderPool(processes, settings.model.preprocessing, side, limits(settings), log)


def receiver(chosen: settings_module.Receiver) -> Receiver:
    """Return the receiver that a [[receiver]] section describes."""
    return TRANSPORTS[chosen.transport].receiver_at(chosen.address)


def worker_rules(settings: Settings, planned: ModelPlan) -> WorkerRules:
    """Take what concerns the worker out of settings and plan."""
    on_cpu = planned.runtime.is_cpu
    batch_size = 1 if on_cpu else settings.model.batch_size  # more buy nothing on a CPU
    return WorkerRules(
        batch_size=batch_size,
        retry_seconds=settings.intake.retry_seconds,
        max_bytes=settings.decode.max_mb * MIB,
        decoders=settings.decode.processes_beside(model_on_cpu=on_cpu, batch_size=batch_size),
        model=planned.release.model,
        referral=grading.Rule.parse(planned.release.referable_rule),
        thresholds=thresholds(settings),
    )
