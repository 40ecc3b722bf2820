"""The events of the audit chain, which are documented in docs/audit.md."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Self


class DicomEvent(StrEnum):
    """The DICOM event types (PS3.15 A.5) by which audit events are classified."""

    APPLICATION_ACTIVITY = "110100"
    INSTANCES_ACCESSED = "110103"
    EXPORT = "110106"
    IMPORT = "110107"
    QUERY = "110112"


class Severity(IntEnum):
    """The outcome of an audit event, numbered as in DICOM PS3.15."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8


class AuditEvent(StrEnum):
    """The kinds of audit events, each with its DICOM event type, action and outcome.

    The actions are those of DICOM: C is create, R read, U update and E execute.
    """

    code: DicomEvent
    action: str
    severity: Severity

    def __new__(
        cls, name: str, code: DicomEvent, action: str, severity: Severity = Severity.SUCCESS
    ) -> Self:
        """Create a member whose value is its name in the database."""
        event = str.__new__(cls, name)
        event._value_ = name
        event.code = code
        event.action = action
        event.severity = severity
        return event

    # the service and its model
    APPLICATION_STARTED = "application.started", DicomEvent.APPLICATION_ACTIVITY, "E"
    APPLICATION_STOPPED = "application.stopped", DicomEvent.APPLICATION_ACTIVITY, "E"
    RELEASE_REGISTERED = "release.registered", DicomEvent.APPLICATION_ACTIVITY, "C"
    MODEL_VERIFIED = "model.verified", DicomEvent.APPLICATION_ACTIVITY, "E"
    MODEL_REFUSED = (
        "model.refused",
        DicomEvent.APPLICATION_ACTIVITY,
        "E",
        Severity.SERIOUS_FAILURE,
    )
    LOG_LOST = "log.lost", DicomEvent.APPLICATION_ACTIVITY, "U", Severity.MINOR_FAILURE
    SITE_ADOPTED = "site.adopted", DicomEvent.APPLICATION_ACTIVITY, "U"
    # cameras
    CAMERA_REGISTERED = "camera.registered", DicomEvent.APPLICATION_ACTIVITY, "C"
    CAMERA_OFFLINE = "camera.offline", DicomEvent.APPLICATION_ACTIVITY, "U", Severity.MINOR_FAILURE
    CAMERA_ONLINE = "camera.online", DicomEvent.APPLICATION_ACTIVITY, "U"
    # captures: their files
    CAPTURE_ADMITTED = "capture.admitted", DicomEvent.IMPORT, "C"
    CAPTURE_TOUCHED = "capture.touched", DicomEvent.IMPORT, "U"
    CAPTURE_MOVED = "capture.moved", DicomEvent.IMPORT, "U"
    CAPTURE_SUPERSEDED = "capture.superseded", DicomEvent.IMPORT, "U"
    CAPTURE_MISSING = "capture.missing", DicomEvent.IMPORT, "U", Severity.MINOR_FAILURE
    # captures: their outcomes
    CAPTURE_GRADED = "capture.graded", DicomEvent.INSTANCES_ACCESSED, "E"
    CAPTURE_UNGRADABLE = "capture.ungradable", DicomEvent.INSTANCES_ACCESSED, "E"
    CAPTURE_REFUSED = "capture.refused", DicomEvent.INSTANCES_ACCESSED, "E", Severity.MINOR_FAILURE
    CAPTURE_FAILED = "capture.failed", DicomEvent.INSTANCES_ACCESSED, "E", Severity.MINOR_FAILURE
    # jobs
    JOB_QUEUED = "job.queued", DicomEvent.APPLICATION_ACTIVITY, "C"
    JOB_CLAIMED = "job.claimed", DicomEvent.INSTANCES_ACCESSED, "R"
    JOB_POSTPONED = "job.postponed", DicomEvent.APPLICATION_ACTIVITY, "U", Severity.MINOR_FAILURE
    JOB_GIVEN_BACK = "job.given_back", DicomEvent.APPLICATION_ACTIVITY, "U"
    JOB_RECLAIMED = "job.reclaimed", DicomEvent.APPLICATION_ACTIVITY, "U", Severity.MINOR_FAILURE
    JOB_RETRIED = "job.retried", DicomEvent.APPLICATION_ACTIVITY, "U"
    JOB_ADOPTED = "job.adopted", DicomEvent.APPLICATION_ACTIVITY, "U"
    # exams and people
    REVIEW_RECORDED = "review.recorded", DicomEvent.APPLICATION_ACTIVITY, "C"
    CORRECTION_RECORDED = "correction.recorded", DicomEvent.APPLICATION_ACTIVITY, "C"
    FOLLOW_UP_CLOSED = "follow_up.closed", DicomEvent.APPLICATION_ACTIVITY, "U"
    EXAMS_REJUDGED = "exams.rejudged", DicomEvent.APPLICATION_ACTIVITY, "U"
    EXAM_SHOWN = "exam.shown", DicomEvent.INSTANCES_ACCESSED, "R"
    EXAM_EXPORTED = "exam.exported", DicomEvent.EXPORT, "R"
    PERSON_QUERIED = "person.queried", DicomEvent.QUERY, "E"
    # documents for receivers
    DOCUMENT_QUEUED = "document.queued", DicomEvent.APPLICATION_ACTIVITY, "U"
    RECEIVER_AWAY = "receiver.away", DicomEvent.APPLICATION_ACTIVITY, "U", Severity.MINOR_FAILURE
    RECEIVER_BACK = "receiver.back", DicomEvent.APPLICATION_ACTIVITY, "U"
    DOCUMENT_SENT = "document.sent", DicomEvent.EXPORT, "R"
    DOCUMENT_REFUSED = "document.refused", DicomEvent.EXPORT, "R", Severity.SERIOUS_FAILURE
