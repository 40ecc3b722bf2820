-- Eyes that a human still has to read.
CREATE VIEW v_worklist AS
SELECT
    r.urgency,
    CASE
        WHEN r.reading_state = 'disputed' THEN 'arbitration'
        WHEN r.reading_state = 'outdated' THEN 'read_again'
        WHEN r.final_referable = 'yes' THEN 'referable'
        WHEN r.final_referable = 'indeterminate' THEN 'undecided'
        ELSE 'confirmation'
    END AS waits_for,
    r.exam_id,
    e.day,
    r.eye,
    r.outcome,
    r.referable,
    r.grade,
    CASE r.grade
        WHEN 0 THEN 'No DR'
        WHEN 1 THEN 'Mild DR'
        WHEN 2 THEN 'Moderate DR'
        WHEN 3 THEN 'Severe DR'
        WHEN 4 THEN 'PDR'
    END AS grade_label,
    r.final_referable,
    r.final_grade,
    CASE r.final_grade
        WHEN 0 THEN 'No DR'
        WHEN 1 THEN 'Mild DR'
        WHEN 2 THEN 'Moderate DR'
        WHEN 3 THEN 'Severe DR'
        WHEN 4 THEN 'PDR'
    END AS final_grade_label,
    r.reason,
    r.action,
    r.missing_fields,
    r.reading_state = 'unread' AND r.review_id IS NOT NULL AS deferred,
    -- the exam's patient, also if the photograph that decided names nobody
    (
        SELECT
            CASE
                WHEN p.patient_key IN (e.patient_key, e.bare_key) AND p.patient_id IS NOT NULL
                    THEN p.patient_id
                ELSE p.other_patient_id
            END
        FROM capture p
        WHERE
            p.exam_id = e.id
            AND (
                (
                    p.patient_key IN (e.patient_key, e.bare_key) AND p.patient_id IS NOT NULL
                )
                OR (
                    p.other_patient_key IN (e.patient_key, e.bare_key)
                    AND p.other_patient_id IS NOT NULL
                )
            )
        ORDER BY p.id
        LIMIT 1
    ) AS patient_id,
    e.patient_key,
    c.camera_id,
    r.capture_id,
    c.path_text AS path,
    c.acquired_at,
    c.received_at,
    r.release_id,
    -- the stored JSON list of codes as plain text
    nullif(
        replace(replace(replace(replace(c.warnings, '[', ''), ']', ''), '"', ''), ',', ', '), ''
    ) AS warnings
FROM eye_result r
JOIN exam e ON e.id = r.exam_id
JOIN capture c ON c.id = r.capture_id
WHERE r.urgency > 0
