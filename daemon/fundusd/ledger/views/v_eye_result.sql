-- One row per eye of an exam: the model's result and what a reader made of it.
CREATE VIEW v_eye_result AS
SELECT
    r.exam_id,
    e.day,
    e.patient_key,
    CASE
        WHEN c.other_patient_key IN (e.patient_key, e.bare_key) THEN c.other_patient_id
        WHEN c.patient_key IN (e.patient_key, e.bare_key) THEN c.patient_id
    END AS patient_id,
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
    r.captures,
    r.capture_id,
    c.camera_id,
    c.path_text AS path,
    r.release_id,
    r.final_referable,
    r.final_grade,
    r.urgency,
    CASE
        WHEN r.urgency = 0 THEN NULL
        WHEN r.reading_state = 'disputed' THEN 'arbitration'
        WHEN r.reading_state = 'outdated' THEN 'read_again'
        WHEN r.final_referable = 'yes' THEN 'referable'
        WHEN r.final_referable = 'indeterminate' THEN 'undecided'
        ELSE 'confirmation'
    END AS waits_for,
    r.reading_state,
    r.review_id,
    w.verdict,
    w.reviewer,
    w.role,
    w.purpose,
    w.lesion,
    w.maculopathy,
    w.photocoagulation,
    w.stable_treated,
    w.created_at AS reviewed_at,
    r.former_review_id,
    f.verdict AS former_verdict,
    f.grade AS former_grade,
    f.referable AS former_referable,
    f.reviewer AS former_reviewer,
    f.created_at AS former_reviewed_at,
    r.resulted_at
FROM eye_result r
JOIN exam e ON e.id = r.exam_id
JOIN capture c ON c.id = r.capture_id
LEFT JOIN review w ON w.id = r.review_id
LEFT JOIN review f ON f.id = r.former_review_id
