-- Exams that lack an eye or an expected field, also if no photograph counts any more.
CREATE VIEW v_incomplete_exam AS
SELECT
    e.id AS exam_id,
    e.day,
    e.day_doubt,
    CASE e.day_doubt
        WHEN 'received' THEN 'day of reception; the photographs have no date'
        WHEN 'clock_skew' THEN 'in doubt: the camera''s clock may be wrong'
    END AS day_doubt_label,
    (
        SELECT c.camera_id
        FROM capture c
        WHERE c.exam_id = e.id
        ORDER BY c.id
        LIMIT 1
    ) AS camera_id,
    (
        SELECT c.patient_id
        FROM capture c
        WHERE c.exam_id = e.id AND c.patient_id IS NOT NULL
        ORDER BY c.id
        LIMIT 1
    ) AS patient_id,
    e.patient_key,
    e.missing_fields,
    e.final_referable,
    e.is_reviewed
FROM exam e
WHERE
    e.missing_fields <> ''
    AND (
        EXISTS (SELECT 1 FROM eye_result s WHERE s.exam_id = e.id)
        -- all photographs of a patient are excluded, but not as those of somebody else or as a test
        OR (
            e.patient_key IS NOT NULL
            AND EXISTS (
                SELECT 1
                FROM capture c
                WHERE
                    c.exam_id = e.id
                    AND c.moved_to IS NULL
                    AND c.excluded IN ('not_a_retina', 'retaken', 'other')
            )
        )
    )
