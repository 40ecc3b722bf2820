"""From settings to a running daemon."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from fundusd import __version__
from fundusd.app import log_setup, malloc
from fundusd.app import settings as settings_module
from fundusd.app.factory import MIB, decoder_pool, plan_model, receiver, worker_rules
from fundusd.app.open_ledger import opened_ledger
from fundusd.app.supervisor import Service, Supervisor
from fundusd.app.systemd import Heartbeat, Notifier, watchdog_seconds
from fundusd.domain.clinical_terms import SAFETY_WORDS
from fundusd.domain.errors import LedgerAway, LedgerError, ModelRefused, SettingsError
from fundusd.domain.files import Inbox
from fundusd.files import writer_lease
from fundusd.ledger.outage_retry import OutageRetry
from fundusd.watcher.rules import IntakeRules
from fundusd.watcher.service import Watcher
from fundusd.worker.service import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fundusd.app.settings import Settings
    from fundusd.ledger import Ledger
    from fundusd.model.classifier import ModelPlan, ZeroShotClassifier

_LOAD_SECONDS = 120  # what systemd is asked to wait for each step on the way to READY


def run(path: Path) -> None:
    """Run the daemon until it is told to stop; raises FundusdError."""
    settings = settings_module.load(path)
    settings_module.require_camera(settings)
    log_setup.configure(settings.log.level, settings.log.format)
    log = structlog.get_logger(service="app")
    writer_lease.ignore_lease_breaks()
    malloc.be_frugal()
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

        ledger.outage_retry = OutageRetry(threading.Event(), while_waiting, ledger.regain)
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


def _prepare(planned: ModelPlan, notifier: Notifier) -> None:
    """Make what is missing of the prepared model, once per checkpoint, prompt set and dtype."""
    log = structlog.get_logger(service="app")

    def on_wait() -> None:
        _ask_for_time(notifier, "preparing the model, once")

    began = perf_counter()
    if names := planned.prepare(on_wait):
        log.info("model.prepared", parts=names, seconds=round(perf_counter() - began, 1))


def _say_started(planned: ModelPlan, ledger: Ledger, reclaimed: int) -> None:
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


def _supervise(
    path: Path, settings: Settings, ledger: Ledger, planned: ModelPlan, heartbeat: Heartbeat
) -> None:
    inboxes = [Inbox(camera.id, camera.inbox) for camera in settings.camera]
    rules = worker_rules(settings, planned)
    ready = threading.Event()

    def load() -> ZeroShotClassifier:
        _ask_for_time(heartbeat.notifier, "loading the model")
        classifier = proven(planned, ledger)
        ready.set()
        ledger.model_verified(classifier.self_test_result)
        return classifier

    log = structlog.get_logger(service="decoder")
    with decoder_pool(settings, planned.side, rules.decoders, log) as pool:
        roots = {inbox.camera_id: inbox.root for inbox in inboxes}
        beats = {name: heartbeat.beat(name) for name in (Worker.name, Watcher.name)}
        worker = Worker(ledger, load, pool, roots, rules, beats[Worker.name])
        intake = settings.intake
        watcher = Watcher(
            inboxes,
            IntakeRules(
                intake.quiet_seconds,
                intake.sweep_seconds,
                intake.mode,
                intake.backlog,
                intake.grace_seconds,
            ),
            ledger,
            admitted=worker.wake,
            beat=beats[Watcher.name],
        )
        services: list[Service] = [watcher, worker]
        if settings.receiver:
            from fundusd.outbox.service import (
                Outbox,  # its libraries take a third of a second, and who has no receiver none
            )

            receivers = {one.id: receiver(one) for one in settings.receiver}
            services.append(Outbox(ledger, receivers, roots, settings.decode.max_mb * MIB))
        supervisor = Supervisor(services, heartbeat, Reload(path, settings, watcher), ready)

        def beat_all() -> None:
            for beat in beats.values():
                beat()

        ledger.outage_retry = OutageRetry(supervisor.stopping, beat_all, ledger.regain)
        supervisor.run()


def proven(planned: ModelPlan, ledger: Ledger) -> ZeroShotClassifier:
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
        cosine=classifier.self_test_result.cosine,
        tolerance=classifier.self_test_result.tolerance,
    )
    return classifier


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
        log_setup.configure(fresh.log.level, fresh.log.format)
        sections = ("store", "model", "intake", "decode", "privacy", "outbox", "camera", "receiver")
        changed = [
            name for name in sections if getattr(fresh, name) != getattr(self._settings, name)
        ]
        if changed:
            log.warning("settings.restart_needed", keys=changed)
        log.info("settings.reloaded", log_level=fresh.log.level)
        self._watcher.request_sweep()
