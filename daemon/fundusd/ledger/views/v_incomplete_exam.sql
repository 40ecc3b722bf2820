-- Exams that lack an eye or an expected field, also if no photograph counts any more, unless a later
-- exam of the patient lacks nothing.
CREATE VIEW v_incomplete_exam AS
SELECT
    e.id AS exam_id,
    e.day,
    e.day_doubt,
    CASE e.day_doubt
        WHEN 'received' THEN 'in doubt: no photograph has this date'
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
        SELECT c.path_text
        FROM capture c
        WHERE c.exam_id = e.id
        ORDER BY c.id
        LIMIT 1
    ) AS path,
    (
        SELECT c.acquired_at
        FROM capture c
        WHERE c.exam_id = e.id
        ORDER BY c.id
        LIMIT 1
    ) AS acquired_at,
    (
        SELECT c.received_at
        FROM capture c
        WHERE c.exam_id = e.id
        ORDER BY c.id
        LIMIT 1
    ) AS received_at,
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
                (c.patient_key IN (e.patient_key, e.bare_key) AND c.patient_id IS NOT NULL)
                OR (
                    c.other_patient_key IN (e.patient_key, e.bare_key)
                    AND c.other_patient_id IS NOT NULL
                )
            )
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
    AND e.joined_into IS NULL
    AND (
        EXISTS (SELECT 1 FROM eye_result s WHERE s.exam_id = e.id)
        -- no photograph counts any more: all are excluded or, of a known patient, are elsewhere now
        OR EXISTS (
            SELECT 1
            FROM capture c
            WHERE c.exam_id = e.id AND (c.moved_to IS NULL OR e.patient_key IS NOT NULL)
        )
    )
    -- the patient was here again, and nothing is missing since
    AND (
        replace(e.missing_fields, 'capture/', '') <> e.missing_fields
        -- an eye that was photographed, although the patient is said to lack it
        OR EXISTS (
            SELECT 1
            FROM eye_result s
            WHERE
                s.exam_id = e.id
                AND replace(' ' || e.missing_fields || ' ', ' ' || s.eye || ' ', '')
                    <> ' ' || e.missing_fields || ' '
        )
        OR NOT EXISTS (
            SELECT 1
            FROM exam o
            WHERE
                o.patient_key = e.patient_key
                AND o.day > e.day
                AND o.day_doubt = ''
                AND o.missing_fields = ''
                AND o.joined_into IS NULL
        )
    )
