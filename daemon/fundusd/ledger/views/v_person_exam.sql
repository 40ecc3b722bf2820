-- One row per exam that has a result, or had one until its photographs were excluded or renamed.
CREATE VIEW v_person_exam AS
SELECT
    e.id AS exam_id,
    e.day,
    e.day_doubt,
    CASE e.day_doubt
        WHEN 'received' THEN 'in doubt: no photograph has this date'
        WHEN 'clock_skew' THEN 'in doubt: the camera''s clock may be wrong'
    END AS day_doubt_label,
    (
        SELECT
            CASE
                WHEN c.other_patient_key IN (e.patient_key, e.bare_key) THEN c.other_patient_id
                ELSE c.patient_id
            END
        FROM capture c
        WHERE
            c.exam_id = e.id
            AND (
                (
                    c.patient_key IN (e.patient_key, e.bare_key) AND c.patient_id IS NOT NULL
                )
                OR (
                    c.other_patient_key IN (e.patient_key, e.bare_key)
                    AND c.other_patient_id IS NOT NULL
                )
            )
        ORDER BY c.id
        LIMIT 1
    ) AS patient_id,
    e.patient_key,
    e.study_uid,
    e.referable,
    e.grade,
    e.final_referable,
    e.final_grade,
    CASE e.final_grade
        WHEN 0 THEN 'No DR'
        WHEN 1 THEN 'Mild DR'
        WHEN 2 THEN 'Moderate DR'
        WHEN 3 THEN 'Severe DR'
        WHEN 4 THEN 'PDR'
    END AS final_grade_label,
    e.is_reviewed,
    e.missing_fields,
    r.outcome AS right_outcome,
    r.final_referable AS right_referable,
    r.final_grade AS right_grade,
    l.outcome AS left_outcome,
    l.final_referable AS left_referable,
    l.final_grade AS left_grade
FROM exam e
LEFT JOIN eye_result r ON r.exam_id = e.id AND r.eye = 'R'
LEFT JOIN eye_result l ON l.exam_id = e.id AND l.eye = 'L'
WHERE
    EXISTS (SELECT 1 FROM eye_result s WHERE s.exam_id = e.id)
    OR (
        e.joined_into IS NULL
        AND EXISTS (
            SELECT 1
            FROM capture c
            WHERE c.exam_id = e.id AND (c.moved_to IS NULL OR e.patient_key IS NOT NULL)
        )
    )
