-- Eyes that the model called not referable and a reader referable.
CREATE VIEW v_missed_referable AS
SELECT
    w.review_id,
    w.exam_id,
    w.day,
    w.eye,
    CASE
        WHEN c.other_patient_key IN (e.patient_key, e.bare_key) THEN c.other_patient_id
        WHEN c.patient_key IN (e.patient_key, e.bare_key) THEN c.patient_id
    END AS patient_id,
    w.patient_key,
    c.camera_id,
    w.capture_id,
    c.path_text AS path,
    w.release_id,
    w.model_grade,
    w.grade,
    w.reason,
    w.reviewer,
    w.role,
    w.purpose,
    w.lesion,
    w.maculopathy,
    w.blinded,
    w.reviewed_at
FROM v_review w
JOIN exam e ON e.id = w.exam_id
JOIN capture c ON c.id = w.capture_id
WHERE w.model_referable = 'no' AND w.referable = 'yes' AND w.is_latest
