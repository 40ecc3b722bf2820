-- Fields of an eye that had an ungradable capture, and whether another capture was graded.
-- A field that is not known cannot be rescued, because the other capture may show another one. It is
-- known if the camera photographs nothing but the macula.
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
        coalesce(c.field, CASE WHEN k.fields = 'one' THEN 'macula' END) AS field,
        c.camera_id,
        e.patient_key,
        c.reason,
        (
            SELECT count(*)
            FROM capture o
            JOIN camera p ON p.id = o.camera_id
            WHERE o.exam_id = c.exam_id
                AND coalesce(o.corrected_eye, o.eye) = coalesce(c.corrected_eye, c.eye)
                AND coalesce(o.field, CASE WHEN p.fields = 'one' THEN 'macula' END, '')
                    = coalesce(c.field, CASE WHEN k.fields = 'one' THEN 'macula' END, '')
                AND NOT o.superseded
                AND o.excluded IS NULL
                AND o.outcome = 'ungradable'
        ) AS ungradable,
        (
            SELECT count(*)
            FROM capture o
            JOIN camera p ON p.id = o.camera_id
            WHERE o.exam_id = c.exam_id
                AND coalesce(o.corrected_eye, o.eye) = coalesce(c.corrected_eye, c.eye)
                AND coalesce(o.field, CASE WHEN p.fields = 'one' THEN 'macula' END, '')
                    = coalesce(c.field, CASE WHEN k.fields = 'one' THEN 'macula' END, '')
                AND NOT o.superseded
                AND o.excluded IS NULL
                AND o.outcome = 'graded'
                -- a photograph that may be of the other eye or of somebody else replaces none
                AND (
                    o.corrected_eye IS NOT NULL
                    OR replace(o.warnings, '"eye_contradicted"', '') = o.warnings
                )
                AND (
                    o.belongs
                    OR (
                        replace(o.warnings, '"patient_conflict"', '') = o.warnings
                        AND replace(o.warnings, '"digest_of_two_patients"', '') = o.warnings
                        AND replace(o.warnings, '"not_a_patient"', '') = o.warnings
                    )
                )
        ) AS graded
    FROM capture c
    JOIN exam e ON e.id = c.exam_id
    JOIN camera k ON k.id = c.camera_id
    WHERE c.outcome = 'ungradable'
        -- the WHERE clause of the index ix_capture_reason
        AND c.reason IS NOT NULL
        AND NOT c.superseded
        AND c.excluded IS NULL
        AND NOT EXISTS (
            SELECT 1
            FROM capture o
            JOIN camera p ON p.id = o.camera_id
            WHERE o.exam_id = c.exam_id
                AND coalesce(o.corrected_eye, o.eye) = coalesce(c.corrected_eye, c.eye)
                AND coalesce(o.field, CASE WHEN p.fields = 'one' THEN 'macula' END, '')
                    = coalesce(c.field, CASE WHEN k.fields = 'one' THEN 'macula' END, '')
                AND NOT o.superseded
                AND o.excluded IS NULL
                AND o.outcome = 'ungradable'
                AND o.id < c.id
        )
) AS first_ungradable
