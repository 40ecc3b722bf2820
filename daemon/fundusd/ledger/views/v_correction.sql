-- What people corrected; the newest row about a thing counts.
CREATE VIEW v_correction AS
SELECT
    k.id AS correction_id,
    k.kind,
    k.exam_id,
    e.day,
    k.patient_key,
    k.capture_id,
    c.camera_id,
    c.path_text AS path,
    k.other_exam_id,
    k.eye,
    k.reason,
    k.until,
    k.reader,
    k.role,
    k.created_at AS corrected_at
FROM correction k
JOIN exam e ON e.id = k.exam_id
LEFT JOIN capture c ON c.id = k.capture_id
