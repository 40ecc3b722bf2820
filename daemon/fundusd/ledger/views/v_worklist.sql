-- Eyes that a human still has to read.
CREATE VIEW v_worklist AS
SELECT
    r.urgency,
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
    r.reason,
    r.action,
    r.missing_fields,
    r.review_id IS NOT NULL AS deferred,
    c.patient_id,
    e.patient_key,
    c.camera_id,
    r.capture_id,
    c.path_text AS path,
    c.acquired_at,
    c.received_at,
    r.release_id
FROM eye_result r
JOIN exam e ON e.id = r.exam_id
JOIN capture c ON c.id = r.capture_id
WHERE r.urgency > 0
