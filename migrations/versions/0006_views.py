"""What staff ask the database: a view for each question, and what makes each answer fast."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

KEYS = ("no_dr", "mild", "moderate", "severe", "pdr")
OUTCOMES = "('graded', 'ungradable', 'refused', 'failed')"
REFERABLE = "('yes', 'no', 'indeterminate')"
COUNTS = "outcome IS NOT NULL AND NOT superseded"
UNGRADED = (
    "reason IS NOT NULL AND NOT superseded"  # both words in a query: else its index does not serve
)
REASONS = (
    "too_dark",
    "too_bright",
    "blur",
    "low_contrast",
    "partial_field",
    "media_opacity",
    "artefact",
    "small",
)


def label(grade: str) -> str:
    return f"""CASE {grade} WHEN 0 THEN 'No DR' WHEN 1 THEN 'Mild DR' WHEN 2 THEN 'Moderate DR'
        WHEN 3 THEN 'Severe DR' WHEN 4 THEN 'PDR' END"""


def share(part: str, whole: str) -> str:
    return f"CAST({part} AS DOUBLE PRECISION) / nullif({whole}, 0)"


def sums(number: str, conditions: dict[str, str]) -> str:
    return ", ".join(
        f"CAST(coalesce(sum(CASE WHEN {condition} THEN {number} END), 0) AS BIGINT) AS {name}"
        for name, condition in conditions.items()
    )


def equal(column: str, *values: str) -> dict[str, str]:
    return {value: f"{column} = '{value}'" for value in values}


# captures that are alike, counted: 200,000 become some thousand before anything else is done with them
CELLS = f"""(
    SELECT local_week AS week, camera_id, release_id, outcome, reason, grade, referable, count(*) AS n
    FROM capture WHERE {COUNTS}
    GROUP BY local_week, camera_id, release_id, outcome, reason, grade, referable
) AS cell"""  # noqa: S608  ours

V_QUALITY_WEEKLY = f"""
SELECT week, camera_id, captures, graded, ungradable, refused,
    {share("ungradable", "graded + ungradable")} AS ungradable_share, {", ".join(REASONS)}
FROM (
    SELECT week, camera_id, CAST(sum(n) AS BIGINT) AS captures,
        {sums("n", equal("outcome", "graded", "ungradable", "refused") | equal("reason", *REASONS))}
    FROM {CELLS} GROUP BY week, camera_id
) AS tally
"""  # noqa: S608

MIX = {key: f"grade = {grade}" for grade, key in enumerate(KEYS)} | equal(
    "outcome", "graded", "ungradable"
)
MIX |= {"referable": "referable = 'yes'"}
V_CLASS_MIX_WEEKLY = f"""
SELECT week, camera_id, release_id, graded, {", ".join(KEYS)}, referable,
    {share("referable", "graded")} AS referable_share, ungradable
FROM (
    SELECT week, camera_id, release_id, {sums("n", MIX)}
    FROM {CELLS} GROUP BY week, camera_id, release_id
) AS tally
"""  # noqa: S608

SEVERITY = "ppm_mild + 2 * ppm_moderate + 3 * ppm_severe + 4 * ppm_pdr"
EARLIER = "OVER (PARTITION BY camera_id, release_id ORDER BY week ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
NOW, BEFORE = (f"{share(f'points{when}', f'graded{when}')} / 1000000" for when in ("", "_before"))
V_SCORE_DRIFT_WEEKLY = f"""
SELECT week, camera_id, release_id, graded,
    {", ".join(f"{share(key, 'graded')} / 1000000 AS mean_{key}" for key in KEYS)},
    {NOW} AS severity, {BEFORE} AS severity_before, {NOW} - {BEFORE} AS shift
FROM (
    SELECT week, camera_id, release_id, graded, {", ".join(KEYS)}, points,
        CAST(sum(graded) {EARLIER} AS BIGINT) AS graded_before, CAST(sum(points) {EARLIER} AS BIGINT) AS points_before
    FROM (
        SELECT local_week AS week, camera_id, release_id, count(*) AS graded, CAST(sum({SEVERITY}) AS BIGINT) AS points,
            {", ".join(f"CAST(sum(ppm_{key}) AS BIGINT) AS {key}" for key in KEYS)}
        FROM capture WHERE {COUNTS} AND grade IS NOT NULL GROUP BY local_week, camera_id, release_id
    ) AS tally
) AS tallied
"""  # noqa: S608


def ranked(wanted: str, places: str) -> str:
    """Pick from a day's turnarounds by place: a day at a time, so that a few days are found among many."""
    return f"""(SELECT {wanted} FROM (
        SELECT c.turnaround_ms AS ms, row_number() OVER (ORDER BY c.turnaround_ms) AS place
        FROM capture c WHERE c.local_day = day AND c.outcome IS NOT NULL AND NOT c.superseded
    ) AS placed WHERE place IN ({places}))"""  # noqa: S608


MEDIAN = ranked("CAST(avg(ms) AS DOUBLE PRECISION)", "(captures + 1) / 2, captures / 2 + 1")
V_TURNAROUND_DAILY = f"""
SELECT day, captures, {MEDIAN} AS median_ms, {ranked("max(ms)", "(captures * 95 + 99) / 100")} AS p95_ms, max_ms
FROM (
    SELECT local_day AS day, count(*) AS captures, max(turnaround_ms) AS max_ms
    FROM capture WHERE {COUNTS} GROUP BY local_day
) AS counted
"""  # noqa: S608

V_FAILURES_DAILY = """
SELECT day, camera_id, outcome, reason, count(*) AS captures
FROM (
    SELECT local_day AS day, camera_id, 'refused' AS outcome, reason
    FROM capture WHERE outcome = 'refused' AND reason IS NOT NULL AND NOT superseded
    UNION ALL
    SELECT c.local_day, c.camera_id, 'failed', j.reason
    FROM job j JOIN capture c ON c.job_id = j.id WHERE j.state = 'failed' AND NOT c.superseded
) AS lost
GROUP BY day, camera_id, outcome, reason
"""

V_BACKLOG = """
SELECT c.id AS capture_id, c.camera_id, c.path_text AS path, c.received_at, j.state, j.lane = 1 AS backlog, j.attempts,
    j.reason, j.error, j.created_at AS waiting_since, k.offline_reason
FROM job j
JOIN capture c ON c.job_id = j.id
JOIN camera k ON k.id = c.camera_id
WHERE j.state IN ('queued', 'running') AND NOT c.superseded
"""

V_WORKLIST = f"""
SELECT r.urgency, r.exam_id, e.day, r.eye, r.outcome, r.referable, r.grade, {label("r.grade")} AS grade_label, r.reason,
    r.action, r.missing_fields, r.review_id IS NOT NULL AS deferred, c.patient_id, e.patient_key,
    c.camera_id, r.capture_id, c.path_text AS path, c.acquired_at, c.received_at, r.release_id
FROM eye_result r
JOIN exam e ON e.id = r.exam_id
JOIN capture c ON c.id = r.capture_id
WHERE r.urgency > 0
"""  # noqa: S608

V_EYE_RESULT = f"""
SELECT r.exam_id, e.day, e.patient_key, c.patient_id, r.eye, r.outcome, r.referable, r.grade,
    {label("r.grade")} AS grade_label, r.reason, r.action, r.missing_fields, r.captures, r.capture_id, c.camera_id,
    c.path_text AS path, r.release_id, r.final_referable, r.final_grade, r.urgency, r.review_id,
    w.verdict, w.reviewer, w.role, w.created_at AS reviewed_at, r.resulted_at
FROM eye_result r
JOIN exam e ON e.id = r.exam_id
JOIN capture c ON c.id = r.capture_id
LEFT JOIN review w ON w.id = r.review_id
"""  # noqa: S608


def first(column: str, condition: str = "") -> str:
    return f"""(SELECT c.{column} FROM capture c WHERE c.exam_id = e.id AND NOT c.superseded {condition}
        ORDER BY c.id LIMIT 1)"""  # noqa: S608


SEEN = "EXISTS (SELECT 1 FROM eye_result s WHERE s.exam_id = e.id)"
PATIENT_ID = first("patient_id", "AND c.patient_id IS NOT NULL")
V_PERSON_EXAM = f"""
SELECT e.id AS exam_id, e.day, {PATIENT_ID} AS patient_id, e.patient_key, e.study_uid, e.referable, e.grade,
    e.final_referable, e.final_grade, {label("e.final_grade")} AS final_grade_label, e.is_reviewed, e.missing_fields,
    r.outcome AS right_outcome, r.final_referable AS right_referable, r.final_grade AS right_grade,
    l.outcome AS left_outcome, l.final_referable AS left_referable, l.final_grade AS left_grade
FROM exam e
LEFT JOIN eye_result r ON r.exam_id = e.id AND r.eye = 'R'
LEFT JOIN eye_result l ON l.exam_id = e.id AND l.eye = 'L'
WHERE {SEEN}
"""  # noqa: S608

V_INCOMPLETE_EXAM = f"""
SELECT e.id AS exam_id, e.day, {first("camera_id")} AS camera_id, {PATIENT_ID} AS patient_id, e.patient_key, e.missing_fields,
    e.final_referable, e.is_reviewed
FROM exam e
WHERE e.missing_fields <> '' AND {SEEN}
"""  # noqa: S608

V_PROGRESSION = """
SELECT e.patient_key, now.eye, now.exam_id, e.day, now.final_referable AS referable, now.final_grade AS grade,
    p.id AS before_exam_id, p.day AS before_day, past.final_referable AS before_referable,
    past.final_grade AS before_grade, now.final_grade - past.final_grade AS change,
    now.release_id = past.release_id AS same_release
FROM exam e
JOIN eye_result now ON now.exam_id = e.id
JOIN exam p ON p.id = (
    SELECT q.id FROM exam q JOIN eye_result o ON o.exam_id = q.id AND o.eye = now.eye
    WHERE q.patient_key = e.patient_key AND q.day < e.day AND o.final_grade IS NOT NULL
    ORDER BY q.day DESC LIMIT 1
)
JOIN eye_result past ON past.exam_id = p.id AND past.eye = now.eye
WHERE e.patient_key IS NOT NULL AND now.eye <> 'U'
"""

IS_LATEST = """(w.verdict <> 'defer' AND NOT EXISTS (
        SELECT 1 FROM review l WHERE l.exam_id = w.exam_id AND l.eye = w.eye AND l.id > w.id
        AND l.capture_id = w.capture_id AND l.reviewer = w.reviewer AND l.verdict <> 'defer'))"""
MISSED = "w.model_referable = 'no' AND w.referable = 'yes'"
MEANT = {
    "both_refer": "w.model_referable = 'yes' AND w.referable = 'yes'",
    "only_model_refers": "w.model_referable = 'yes' AND w.referable = 'no'",
    "only_reader_refers": MISSED,
    "neither_refers": "w.model_referable = 'no' AND w.referable = 'no'",
    "undecided": "w.model_referable = 'indeterminate' OR w.referable = 'indeterminate'",
    "same_grade": "w.grade = w.model_grade",
}
V_AGREEMENT = f"""
SELECT release_id, role, blinded, readings, agree, override, ungradable, retake, {", ".join(MEANT)},
    {share("both_refer", "both_refer + only_reader_refers")} AS sensitivity,
    {share("neither_refers", "neither_refers + only_model_refers")} AS specificity
FROM (
    SELECT w.release_id, w.role, w.blinded, count(*) AS readings,
        {sums("1", equal("w.verdict", "agree", "override", "ungradable", "retake") | MEANT)}
    FROM review w WHERE {IS_LATEST} GROUP BY w.release_id, w.role, w.blinded
) AS tally
"""  # noqa: S608

V_REVIEW = f"""
SELECT w.id AS review_id, w.exam_id, e.day, w.eye, e.patient_key, w.capture_id, w.release_id, w.model_outcome, w.model_grade,
    w.model_referable, w.verdict, w.grade, w.referable, w.reason, w.reviewer, w.role, w.blinded,
    w.created_at AS reviewed_at, {IS_LATEST} AS is_latest
FROM review w
JOIN exam e ON e.id = w.exam_id
"""  # noqa: S608

V_MISSED_REFERABLE = f"""
SELECT w.id AS review_id, w.exam_id, e.day, w.eye, c.patient_id, e.patient_key, c.camera_id, w.capture_id,
    c.path_text AS path, w.release_id, w.model_grade, w.grade, w.reason, w.reviewer, w.role, w.blinded,
    w.created_at AS reviewed_at
FROM review w
JOIN exam e ON e.id = w.exam_id
JOIN capture c ON c.id = w.capture_id
WHERE {MISSED} AND {IS_LATEST}
"""  # noqa: S608

SAME = """o.exam_id = c.exam_id AND o.eye = c.eye AND coalesce(o.field, '') = coalesce(c.field, '')
        AND NOT o.superseded"""
GRADED = f"(SELECT count(*) FROM capture o WHERE {SAME} AND o.outcome = 'graded')"  # noqa: S608
V_RETAKE = f"""
SELECT c.exam_id, c.local_day AS day, c.eye, c.field, c.camera_id, e.patient_key, c.reason,
    (SELECT count(*) FROM capture o WHERE {SAME} AND o.outcome = 'ungradable') AS ungradable, {GRADED} AS graded,
    {GRADED} > 0 AS rescued
FROM capture c
JOIN exam e ON e.id = c.exam_id
WHERE c.outcome = 'ungradable' AND c.reason IS NOT NULL AND NOT c.superseded
    AND NOT EXISTS (SELECT 1 FROM capture o WHERE {SAME} AND o.outcome = 'ungradable' AND o.id < c.id)
"""  # noqa: S608

RELEASE = (
    "weights_digest", "tokenizer_digest", "preprocessing", "prompt_set", "prompt_digest", "head", "referable_rule",
    "quality_gate", "dtype", "runtime", "program_version",
)  # fmt: skip
V_PROVENANCE = f"""
SELECT c.id AS capture_id, c.camera_id, c.path_text AS path, c.revision, c.superseded, c.digest, c.size, c.hinted,
    c.received_at, j.state, j.attempts, r.id AS result_id, r.created_at AS result_at, r.decode_ms, r.model_ms,
    r.batch_size, {", ".join(f"r.logit_{key}" for key in KEYS)}, j.release_id, e.digest AS release_digest, e.model,
    e.revision AS model_revision, {", ".join(f"e.{name}" for name in RELEASE)}
FROM capture c
JOIN job j ON j.id = c.job_id
JOIN release e ON e.id = j.release_id
LEFT JOIN result r ON r.digest = j.digest AND r.release_id = j.release_id
"""  # noqa: S608

V_ACCESS = """
SELECT patient_key, seq, at, event, code, action, outcome, actor_kind, actor_id, host, entity_kind, entity_id,
    release_id, digest
FROM audit_event WHERE patient_key IS NOT NULL
"""

VIEWS = {
    "v_worklist": V_WORKLIST,
    "v_quality_weekly": V_QUALITY_WEEKLY,
    "v_turnaround_daily": V_TURNAROUND_DAILY,
    "v_class_mix_weekly": V_CLASS_MIX_WEEKLY,
    "v_score_drift_weekly": V_SCORE_DRIFT_WEEKLY,
    "v_review": V_REVIEW,
    "v_agreement": V_AGREEMENT,
    "v_missed_referable": V_MISSED_REFERABLE,
    "v_backlog": V_BACKLOG,
    "v_failures_daily": V_FAILURES_DAILY,
    "v_incomplete_exam": V_INCOMPLETE_EXAM,
    "v_person_exam": V_PERSON_EXAM,
    "v_eye_result": V_EYE_RESULT,
    "v_progression": V_PROGRESSION,
    "v_provenance": V_PROVENANCE,
    "v_access": V_ACCESS,
    "v_retake": V_RETAKE,
}


def upgrade() -> None:
    is_sqlite = op.get_context().dialect.name == "sqlite"
    _copies(is_sqlite=is_sqlite)
    op.drop_index("ix_capture_exam_id", "capture")
    op.create_index(
        "ix_capture_exam_id", "capture", ["exam_id", "eye", "field", "outcome", "superseded"]
    )
    scores = [f"ppm_{key}" for key in KEYS]
    cells = [
        "local_week",
        "camera_id",
        "release_id",
        "outcome",
        "reason",
        "grade",
        "referable",
        *scores,
    ]
    for name, table, columns, condition in (
        ("ix_capture_week", "capture", cells, COUNTS),
        ("ix_capture_day", "capture", ["local_day", "turnaround_ms"], COUNTS),
        ("ix_capture_reason", "capture", ["outcome", "local_day", "camera_id", "reason"], UNGRADED),
        (
            "ix_audit_event_patient_key",
            "audit_event",
            ["patient_key", "seq"],
            "patient_key IS NOT NULL",
        ),
    ):
        where = sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def _copies(*, is_sqlite: bool) -> None:
    """Copy what is counted of results to their captures; scores as millionths."""
    number, whole = (
        ("INTEGER", "CAST({} AS INTEGER)")
        if is_sqlite
        else ("BIGINT", "CAST(floor({}) AS INTEGER)")
    )
    op.execute(f"ALTER TABLE capture ADD COLUMN release_id {number}")
    for name, values in (("outcome", OUTCOMES), ("referable", REFERABLE)):
        rule = f"CONSTRAINT ck_capture_{name} CHECK ({name} IN {values})"
        op.execute(f"ALTER TABLE capture ADD COLUMN {name} TEXT {rule}")
    op.add_column("capture", sa.Column("reason", sa.Text()))
    op.add_column("capture", sa.Column("grade", sa.SmallInteger()))
    for key in KEYS:
        op.add_column("capture", sa.Column(f"ppm_{key}", sa.Integer()))
    scores = ", ".join(
        f"ppm_{key} = {whole.format(f'r.score_{key} * 1000000 + 0.5')}" for key in KEYS
    )
    op.execute(f"""UPDATE capture SET release_id = r.release_id, outcome = r.outcome, reason = r.reason,
        grade = r.grade, referable = r.referable, {scores}
        FROM job j JOIN result r ON r.digest = j.digest AND r.release_id = j.release_id
        WHERE j.id = capture.job_id AND j.state = 'succeeded'""")  # noqa: S608  ours
