-- Every review of an eye.
CREATE VIEW v_review AS
SELECT
    w.id AS review_id,
    w.exam_id,
    e.day,
    w.eye,
    e.patient_key,
    w.capture_id,
    w.release_id,
    w.model_outcome,
    w.model_grade,
    w.model_referable,
    w.verdict,
    w.grade,
    w.referable,
    w.reason,
    w.reviewer,
    w.role,
    w.purpose,
    w.lesion,
    w.maculopathy,
    w.photocoagulation,
    w.stable_treated,
    w.blinded,
    w.created_at AS reviewed_at,
    w.verdict <> 'defer' AND NOT EXISTS (
        SELECT 1
        FROM review l
        WHERE l.exam_id = w.exam_id
            AND l.eye = w.eye
            AND l.id > w.id
            AND l.capture_id = w.capture_id
            AND l.reviewer = w.reviewer
            AND l.purpose = w.purpose
            AND l.verdict <> 'defer'
    ) AS is_latest
FROM review w
JOIN exam e ON e.id = w.exam_id
