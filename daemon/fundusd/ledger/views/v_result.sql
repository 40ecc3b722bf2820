-- One row per capture, older revisions included.
CREATE VIEW v_result AS
SELECT
    c.id AS capture_id,
    c.camera_id,
    c.path_text AS path,
    c.revision,
    c.superseded,
    c.digest,
    c.media_type,
    c.width,
    c.height,
    coalesce(c.corrected_eye, c.eye) AS eye,
    CASE WHEN c.corrected_eye IS NULL THEN c.eye_source ELSE 'reader' END AS eye_source,
    c.field,
    c.patient_id,
    c.patient_key,
    c.exam_id,
    c.excluded,
    c.acquired_at,
    c.acquired_day,
    c.received_at,
    j.state,
    CASE WHEN j.state = 'failed' THEN 'failed' ELSE r.outcome END AS outcome,
    coalesce(r.reason, j.reason) AS reason,
    coalesce(r.action, j.action) AS action,
    r.quality_level,
    r.grade,
    CASE r.grade
        WHEN 0 THEN 'No DR'
        WHEN 1 THEN 'Mild DR'
        WHEN 2 THEN 'Moderate DR'
        WHEN 3 THEN 'Severe DR'
        WHEN 4 THEN 'PDR'
    END AS grade_label,
    CASE WHEN j.state = 'failed' THEN 'indeterminate' ELSE r.referable END AS referable,
    r.score_no_dr,
    r.score_mild,
    r.score_moderate,
    r.score_severe,
    r.score_pdr,
    e.model,
    e.revision AS model_revision,
    e.prompt_set,
    e.preprocessing,
    j.release_id,
    r.created_at AS result_at,
    c.turnaround_ms,
    j.attempts,
    j.error,
    -- the stored JSON list of codes as plain text
    nullif(
        replace(replace(replace(replace(c.warnings, '[', ''), ']', ''), '"', ''), ',', ', '), ''
    ) AS warnings,
    c.moved_to
FROM capture c
JOIN job j ON j.id = c.job_id
JOIN release e ON e.id = j.release_id
LEFT JOIN result r ON r.digest = j.digest AND r.release_id = j.release_id
