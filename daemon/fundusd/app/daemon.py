"""Run the daemon that the settings describe."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from fundusd import __version__
from fundusd.app import known_site, log_setup, log_sink, malloc, settings_file, site_key
from fundusd.app.database_watch import DatabaseWatch, require_same
from fundusd.app.factory import (
    MIB,
    decoder_pool,
    intake_rules,
    model_choice,
    plan_model,
    receiver,
    worker_rules,
)
from fundusd.app.folder_overlaps import require_separate_folders
from fundusd.app.log_loss import LogLossRecorder
from fundusd.app.open_ledger import opened_ledger
from fundusd.app.outage_notice import OutageNotice
from fundusd.app.settings import Settings, require_camera
from fundusd.app.supervisor import Service, Supervisor
from fundusd.app.systemd import Heartbeat, Notifier, watchdog_seconds
from fundusd.clinical.grading import unsafe_rules
from fundusd.domain.clinical_terms import SAFETY_WORDS
from fundusd.domain.errors import LedgerAway, LedgerError, ModelRefused, SettingsError
from fundusd.files import writer_lease
from fundusd.ledger.outage_retry import OutageRetry
from fundusd.model import device
from fundusd.watcher.service import Watcher
from fundusd.worker.service import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fundusd.app.log_sink import LogSink
    from fundusd.ledger import Ledger
    from fundusd.model.classifier import ZeroShotClassifier
    from fundusd.model.planning import ModelPlan

_UNSAFE_HINT = "[model] accept_unsafe_rule = true accepts this; docs/model.md names safe rules."
_UNUSED_GPU = "The driver of a GPU is there, but torch cannot use the GPU"
_UNUSED_GPU_HINT = (
    "Look for the reason with nvidia-smi, then restart the service. To accept the CPU, set"
    " model.device to cpu; to start only with the GPU, set it to cuda."
)
_LOAD_SECONDS = 120  # how long systemd is asked to wait for each step of the startup


def run(path: Path) -> None:
    """Run the daemon until a signal stops it.

    Raises FundusdError if the daemon cannot start or one of its services fails.
    """
    settings = settings_file.load(path)
    require_camera(settings)
    require_separate_folders(settings)
    sink = log_sink.take_over_output()
    log_setup.configure(settings.log.level, settings.log.format)
    log = structlog.get_logger(service="app")
    writer_lease.ignore_lease_breaks()
    malloc.limit_arenas()
    notifier = Notifier()
    with ExitStack() as stack:
        # if there may be a GPU, planning imports torch, which takes a second; so open the ledger
        # at the same time
        planner = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="plan"))
        planning = planner.submit(plan_model, settings, _verifying(notifier))
        ledger = stack.enter_context(opened_ledger(settings, to_work=True))

        def while_waiting() -> None:
            _ask_for_time(notifier, "waiting for the database")
            if planning.done():
                planning.result()  # if the model cannot be used, raises now, not after the wait

        notice, never = OutageNotice(settings), threading.Event()
        ledger.outage_retry = OutageRetry(never, while_waiting, ledger.regain, notice.tell)
        known_site.require_known(settings, ledger)
        ledger.create_if_empty()
        ledger.check()
        site_key.require_matching(
            ledger.key_in_use(), ledger.identifiers.key_id, settings.privacy.site_key_file
        )
        stack.enter_context(ledger.held())
        planned = planning.result()
        _prepare(planned, notifier)
        reclaimed = ledger.start(planned.release)
        known_site.remember(settings, ledger)
        _log_start(planned, ledger, reclaimed)
        _warn_of_unused_gpu(settings, planned)
        _supervise(path, settings, ledger, planned, sink, notice)
        with suppress(LedgerAway):  # the supervisor has logged it
            ledger.stop()
        log.info("service.stopped")


def _prepare(planned: ModelPlan, notifier: Notifier) -> None:
    """Create the missing parts of the prepared model, and log their names."""
    log = structlog.get_logger(service="app")

    def on_wait() -> None:
        _ask_for_time(notifier, "preparing the model, once")

    began = perf_counter()
    if names := planned.prepare(on_wait):
        log.info("model.prepared", parts=names, seconds=round(perf_counter() - began, 1))


def _log_start(planned: ModelPlan, ledger: Ledger, reclaimed: int) -> None:
    release = planned.release
    log = structlog.get_logger(service="app")
    log.info(
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
    if warning := unsafe_rules([release.referable_rule]):
        log.warning("rule.unsafe", error=warning, hint=_UNSAFE_HINT)


def _warn_of_unused_gpu(settings: Settings, planned: ModelPlan) -> None:
    problem = device.unused_gpu(model_choice(settings), planned.runtime)
    if problem:
        log = structlog.get_logger(service="app")
        log.warning("device.unused", error=f"{_UNUSED_GPU} ({problem}).", hint=_UNUSED_GPU_HINT)


def _ask_for_time(notifier: Notifier, status: str) -> None:
    """Ask systemd to extend the time limit for READY, and report `status` to it."""
    notifier.tell(EXTEND_TIMEOUT_USEC=_LOAD_SECONDS * 1_000_000, STATUS=status)


def _verifying(notifier: Notifier) -> Callable[[int, int], None]:
    """Return a progress callback that asks systemd for more time after each percentage point."""
    last_percent = -1

    def progress(done: int, total: int) -> None:
        nonlocal last_percent
        percent = 100 * done // max(1, total)
        if percent != last_percent:
            last_percent = percent
            _ask_for_time(notifier, f"verifying the model, {percent} %")

    return progress


def _supervise(
    path: Path,
    settings: Settings,
    ledger: Ledger,
    planned: ModelPlan,
    sink: LogSink,
    notice: OutageNotice,
) -> None:
    heartbeat = Heartbeat(Notifier(), watchdog_seconds())
    inboxes = [camera.watched for camera in settings.camera]
    rules = worker_rules(settings, planned)
    ready = threading.Event()

    def load() -> ZeroShotClassifier:
        _ask_for_time(heartbeat.notifier, "loading the model")
        classifier = tested_model(planned, ledger)
        ready.set()
        ledger.model_verified(classifier.self_test_result)
        return classifier

    log = structlog.get_logger(service="decoder")
    with decoder_pool(settings, planned.side, rules.decoders, log) as pool:
        roots = {inbox.camera_id: inbox.root for inbox in inboxes}
        worker_beat, watcher_beat = heartbeat.beat(Worker.name), heartbeat.beat(Watcher.name)
        worker = Worker(ledger, load, pool, roots, rules, worker_beat)
        watcher = Watcher(
            inboxes,
            intake_rules(settings),
            ledger,
            admitted=worker.wake,
            beat=watcher_beat,
        )
        services: list[Service] = [watcher, worker, DatabaseWatch(ledger)]
        services.append(LogLossRecorder(sink, ledger))
        if settings.receiver:
            # importing its libraries takes a third of a second
            services.append(_outbox(settings, ledger, roots))
        supervisor = Supervisor(services, heartbeat, Reload(path, settings, watcher), ready)

        def beat_all() -> None:
            worker_beat()
            watcher_beat()

        stopping = supervisor.stopping
        ledger.outage_retry = OutageRetry(stopping, beat_all, ledger.regain, notice.tell)
        try:
            supervisor.run()
        except LedgerError:
            with suppress(LedgerAway):
                require_same(ledger)
            raise


def _outbox(settings: Settings, ledger: Ledger, roots: Mapping[str, Path]) -> Service:
    from fundusd.domain.delivery import Site
    from fundusd.outbox.making import DocumentMaker
    from fundusd.outbox.sender import Sender
    from fundusd.outbox.service import Outbox

    sender = Sender(
        Site(**settings.site.model_dump()),
        settings.privacy.issuers,
        ledger.identifiers,
        settings.reader_names,
    )
    maker = DocumentMaker(sender, roots, settings.decode.max_mb * MIB, ledger.is_away)
    receivers = {section.id: receiver(section) for section in settings.receiver}
    only_reviewed = {section.id for section in settings.receiver if section.when == "reviewed"}
    return Outbox(ledger, receivers, maker, only_reviewed)


def tested_model(planned: ModelPlan, ledger: Ledger) -> ZeroShotClassifier:
    """Return the model, loaded and tested.

    The test is thorough if `ledger.is_in_doubt()`. Raises ModelError if the model cannot be loaded
    or fails the test.
    """
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
        cosine=classifier.self_test_result.cosine,
        tolerance=classifier.self_test_result.tolerance,
    )
    return classifier


class Reload:
    """Handles SIGHUP: rereads the settings, applies the log level and sweeps every inbox.

    If other sections have changed, it logs their names, because such changes need a restart.
    """

    def __init__(self, path: Path, settings: Settings, watcher: Watcher) -> None:
        self._path = path
        self._settings = settings
        self._watcher = watcher

    def __call__(self) -> None:
        """Reload the settings, or change nothing if they contain mistakes.

        The mistakes are logged.
        """
        log = structlog.get_logger(service="app")
        try:
            fresh = settings_file.load(self._path)
        except SettingsError as error:
            log.warning("settings.refused", error=error.message, hint=error.hint)
            return
        log_setup.configure(fresh.log.level, fresh.log.format)
        changed = []
        for name in Settings.model_fields:
            if name != "log" and getattr(fresh, name) != getattr(self._settings, name):
                changed.append(name)
        if changed:
            log.warning("settings.restart_needed", keys=changed)
        log.info("settings.reloaded", log_level=fresh.log.level)
        self._watcher.request_sweep()
