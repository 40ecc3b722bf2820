-- What has to happen, or has happened, for eyes that a reader could not grade.
CREATE VIEW v_follow_up AS
SELECT
    f.id AS follow_up_id,
    f.exam_id,
    e.day,
    f.eye,
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
    f.kind,
    CASE WHEN f.closed_at IS NULL THEN 'open' ELSE 'closed' END AS state,
    f.opened_at AS since,
    w.reviewer AS opened_by,
    f.review_id,
    f.closed_at,
    f.closed_by,
    f.closed_how
FROM follow_up f
JOIN exam e ON e.id = f.exam_id
JOIN review w ON w.id = f.review_id
