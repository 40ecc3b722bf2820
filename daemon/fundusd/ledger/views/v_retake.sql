-- Fields of an eye that had an ungradable capture, and whether another capture was graded.
-- A field that is not known cannot be rescued, because the other capture may show another one.
CREATE VIEW v_retake AS
SELECT
    exam_id,
    day,
    eye,
    field,
    camera_id,
    patient_key,
    reason,
    ungradable,
    graded,
    graded > 0 AND field IS NOT NULL AS rescued
FROM (
    SELECT
        c.exam_id,
        c.local_day AS day,
        coalesce(c.corrected_eye, c.eye) AS eye,
        c.field,
        c.camera_id,
        e.patient_key,
        c.reason,
        (
            SELECT count(*)
            FROM capture o
            WHERE o.exam_id = c.exam_id
                AND coalesce(o.corrected_eye, o.eye) = coalesce(c.corrected_eye, c.eye)
                AND coalesce(o.field, '') = coalesce(c.field, '')
                AND NOT o.superseded
                AND o.excluded IS NULL
                AND o.outcome = 'ungradable'
        ) AS ungradable,
        (
            SELECT count(*)
            FROM capture o
            WHERE o.exam_id = c.exam_id
                AND coalesce(o.corrected_eye, o.eye) = coalesce(c.corrected_eye, c.eye)
                AND coalesce(o.field, '') = coalesce(c.field, '')
                AND NOT o.superseded
                AND o.excluded IS NULL
                AND o.outcome = 'graded'
        ) AS graded
    FROM capture c
    JOIN exam e ON e.id = c.exam_id
    WHERE c.outcome = 'ungradable'
        -- the WHERE clause of the index ix_capture_reason
        AND c.reason IS NOT NULL
        AND NOT c.superseded
        AND c.excluded IS NULL
        AND NOT EXISTS (
            SELECT 1
            FROM capture o
            WHERE o.exam_id = c.exam_id
                AND coalesce(o.corrected_eye, o.eye) = coalesce(c.corrected_eye, c.eye)
                AND coalesce(o.field, '') = coalesce(c.field, '')
                AND NOT o.superseded
                AND o.excluded IS NULL
                AND o.outcome = 'ungradable'
                AND o.id < c.id
        )
) AS first_ungradable
