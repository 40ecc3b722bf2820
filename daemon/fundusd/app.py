"""The composition root: from settings to a running daemon; the only place where the parts meet."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from fundusd import __version__, grading, logs, memory, reading
from fundusd import settings as settings_module
from fundusd.domain import SAFETY_WORDS, Inbox
from fundusd.errors import LedgerAway, LedgerError, ModelError, ModelRefused, SettingsError
from fundusd.heartbeat import Heartbeat, Notifier, watchdog_seconds
from fundusd.imaging.limits import Limits
from fundusd.imaging.quality import gate_id
from fundusd.imaging.sandbox import DecoderPool
from fundusd.ledger.patience import Patience
from fundusd.model.cache import remembered_digests
from fundusd.model.checkpoint import hash_files
from fundusd.model.classifier import plan
from fundusd.model.source import ModelChoice, find
from fundusd.store import opened_ledger
from fundusd.supervisor import Supervisor
from fundusd.watcher.intake import IntakeRules
from fundusd.watcher.service import Watcher
from fundusd.worker import Worker, WorkerRules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from fundusd.documents.receivers import Receiver
    from fundusd.domain import Decoded, Service
    from fundusd.gradability import Thresholds
    from fundusd.grading import Grading
    from fundusd.ledger import Ledger
    from fundusd.model.classifier import Plan, ZeroShotClassifier
    from fundusd.settings import Settings

_MIB = 1024 * 1024
_LOAD_SECONDS = 120  # what systemd is asked to wait for each step on the way to READY


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
    settings: Settings, on_progress: Callable[[int, int], None] | None = None, *, afresh: bool = False
) -> Plan:
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
        memory_bytes=chosen.memory_mb * _MIB,
        max_bytes=chosen.max_mb * _MIB,
        max_pixels=chosen.max_megapixels * 1_000_000,
    )


def thresholds(settings: Settings) -> dict[str, Thresholds]:
    """Take out of the settings from where on each camera's captures are ungradable."""
    return {camera.id: camera.thresholds for camera in settings.camera}


def decoder_pool(settings: Settings, side: int, processes: int, log: FilteringBoundLogger | None = None) -> DecoderPool:
    """Start decoder processes for a model that wants squares of `side` pixels."""
    return DecoderPool(processes, settings.model.preprocessing, side, limits(settings), log)


class Classification:
    """Classify photographs one by one, without a ledger."""

    def __init__(self, classifier: ZeroShotClassifier, pool: DecoderPool) -> None:
        self.release = classifier.release
        self._classifier = classifier
        self._pool = pool

    def __call__(self, data: bytes) -> tuple[Decoded, Grading | None]:
        """Decode and grade the bytes of one photograph; raises ModelError on an unusable answer."""
        decoded = self._pool.decode(data)
        if decoded.pixels is None:
            return decoded, None
        logits = self._classifier.logits(decoded.pixels[None])[0].tolist()
        if not grading.is_usable(logits):
            raise ModelError("The model answered with numbers that are none.", hint="Run: fundusd model verify")
        return decoded, grading.grade(logits, grading.Rule.parse(self.release.referable_rule))


@contextmanager
def classification(settings: Settings) -> Iterator[Classification]:
    """Load the model and start one decoder for as long as the block runs; raises ModelError."""
    classifier = load_classifier(settings)
    with decoder_pool(settings, classifier.side, 1) as pool:
        yield Classification(classifier, pool)


def run(path: Path) -> None:
    """Run the daemon until it is told to stop; raises FundusdError."""
    settings = settings_module.load(path)
    settings_module.require_camera(settings)
    logs.configure(settings.log.level, settings.log.format)
    log = structlog.get_logger(service="app")
    reading.ignore_lease_breaks()
    memory.be_frugal()
    notifier = Notifier()
    with ExitStack() as stack:
        # where there may be a GPU this imports torch, which takes a second: the ledger opens meanwhile
        planner = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="plan"))
        planning = planner.submit(plan_model, settings, _verifying(notifier))
        ledger = stack.enter_context(opened_ledger(settings, to_work=True))

        def while_waiting() -> None:
            _ask_for_time(notifier, "waiting for the database")
            if planning.done():
                planning.result()  # a model that cannot be used is told now, not after the wait

        ledger.patience = Patience(threading.Event(), while_waiting)
        ledger.create_if_empty()
        ledger.check()
        stack.enter_context(ledger.held())
        planned = planning.result()
        _prepare(planned, notifier)
        reclaimed = ledger.start(planned.release)
        _say_started(planned, ledger, reclaimed)
        _supervise(path, settings, ledger, planned, Heartbeat(notifier, watchdog_seconds()))
        with suppress(LedgerAway):  # the supervisor has told of it
            ledger.stop()
        log.info("service.stopped")


def _prepare(planned: Plan, notifier: Notifier) -> None:
    """Make what is missing of the prepared model, once per checkpoint, prompt set and dtype."""
    log = structlog.get_logger(service="app")

    def on_wait() -> None:
        _ask_for_time(notifier, "preparing the model, once")

    began = perf_counter()
    if names := planned.prepare(on_wait):
        log.info("model.prepared", parts=names, seconds=round(perf_counter() - began, 1))


def _say_started(planned: Plan, ledger: Ledger, reclaimed: int) -> None:
    release = planned.release
    structlog.get_logger(service="app").info(
        "service.started",
        version=__version__,
        model=release.model,
        revision=release.revision,
        release_id=ledger.release_id,
        device=planned.runtime.device_name,
        dtype=release.dtype,
        prompt_set=release.prompt_set,
        preprocessing=release.preprocessing,
        runtime=release.runtime,
        count=reclaimed,
        hint=SAFETY_WORDS,
    )


def _ask_for_time(notifier: Notifier, status: str) -> None:
    """Have systemd wait on for READY."""
    notifier.tell(EXTEND_TIMEOUT_USEC=_LOAD_SECONDS * 1_000_000, STATUS=status)


def _verifying(notifier: Notifier) -> Callable[[int, int], None]:
    """Ask systemd for more time at each percent of the model that is hashed."""
    told = -1

    def progress(done: int, total: int) -> None:
        nonlocal told
        percent = 100 * done // max(1, total)
        if percent != told:
            told = percent
            _ask_for_time(notifier, f"verifying the model, {percent} %")

    return progress


def _supervise(path: Path, settings: Settings, ledger: Ledger, planned: Plan, heartbeat: Heartbeat) -> None:
    inboxes = [Inbox(camera.id, camera.inbox) for camera in settings.camera]
    rules = worker_rules(settings, planned)
    ready = threading.Event()

    def load() -> ZeroShotClassifier:
        _ask_for_time(heartbeat.notifier, "loading the model")
        classifier = _proven(planned, ledger)
        ready.set()
        ledger.model_verified(classifier.proof)
        return classifier

    log = structlog.get_logger(service="decoder")
    with decoder_pool(settings, planned.side, rules.decoders, log) as pool:
        roots = {inbox.camera_id: inbox.root for inbox in inboxes}
        beats = {name: heartbeat.beat(name) for name in (Worker.name, Watcher.name)}
        worker = Worker(ledger, load, pool, roots, rules, beats[Worker.name])
        intake = settings.intake
        watcher = Watcher(
            inboxes,
            IntakeRules(intake.quiet_seconds, intake.sweep_seconds, intake.mode, intake.backlog, intake.grace_seconds),
            ledger,
            admitted=worker.wake,
            beat=beats[Watcher.name],
        )
        services: list[Service] = [watcher, worker]
        if settings.receiver:
            from fundusd.outbox import Outbox  # its libraries take a third of a second, and who has no receiver none

            receivers = {one.id: receiver(one) for one in settings.receiver}
            services.append(Outbox(ledger, receivers, roots, settings.decode.max_mb * _MIB))
        supervisor = Supervisor(services, heartbeat, Reload(path, settings, watcher), ready)

        def beat_all() -> None:
            for beat in beats.values():
                beat()

        ledger.patience = Patience(supervisor.stopping, beat_all)
        supervisor.run()


def receiver(chosen: settings_module.Receiver) -> Receiver:
    """Make the receiver that a [[receiver]] names."""
    from fundusd.documents.receivers import DicomNode, FhirServer, Folder, StowServer

    if chosen.folder is not None:
        return Folder(chosen.folder)
    if chosen.dicom:
        title, _, address = chosen.dicom.partition("@")
        host, _, port = address.rpartition(":")
        return DicomNode(title, host, int(port))
    return StowServer(chosen.stow) if chosen.stow else FhirServer(chosen.fhir)


def _proven(planned: Plan, ledger: Ledger) -> ZeroShotClassifier:
    """Load the model, and have it answer whole phantoms where there is doubt of it; raises ModelError."""
    began = perf_counter()
    try:
        classifier = planned.load(thorough=ledger.is_in_doubt())
    except ModelRefused as error:
        with suppress(LedgerError):
            ledger.model_refused(error.message)
        raise
    structlog.get_logger(service=Worker.name).info(
        "model.loaded",
        seconds=round(perf_counter() - began, 2),
        limit=classifier.forward_limit,
        cosine=classifier.proof.cosine,
        tolerance=classifier.proof.tolerance,
    )
    return classifier


def worker_rules(settings: Settings, planned: Plan) -> WorkerRules:
    """Take what concerns the worker out of settings and plan."""
    on_cpu = planned.runtime.is_cpu
    batch_size = 1 if on_cpu else settings.model.batch_size  # more buy nothing on a CPU
    return WorkerRules(
        batch_size=batch_size,
        retry_seconds=settings.intake.retry_seconds,
        max_bytes=settings.decode.max_mb * _MIB,
        decoders=settings.decode.processes_beside(model_on_cpu=on_cpu, batch_size=batch_size),
        model=planned.release.model,
        referral=grading.Rule.parse(planned.release.referable_rule),
        thresholds=thresholds(settings),
    )


class Reload:
    """What SIGHUP does: read the settings again, take over the log level, sweep; tell what needs a restart."""

    def __init__(self, path: Path, settings: Settings, watcher: Watcher) -> None:
        self._path = path
        self._settings = settings
        self._watcher = watcher

    def __call__(self) -> None:
        """Reload; settings with mistakes change nothing."""
        log = structlog.get_logger(service="app")
        try:
            fresh = settings_module.load(self._path)
        except SettingsError as error:
            log.warning("settings.refused", error=error.message, hint=error.hint)
            return
        logs.configure(fresh.log.level, fresh.log.format)
        sections = ("store", "model", "intake", "decode", "privacy", "outbox", "camera", "receiver")
        changed = [name for name in sections if getattr(fresh, name) != getattr(self._settings, name)]
        if changed:
            log.warning("settings.restart_needed", keys=changed)
        log.info("settings.reloaded", mode=fresh.log.level)
        self._watcher.request_sweep()
