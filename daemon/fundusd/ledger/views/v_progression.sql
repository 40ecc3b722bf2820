-- Each eye of a person beside the same eye on the last earlier day on which it had a grade.
CREATE VIEW v_progression AS
SELECT
    e.patient_key,
    now.eye,
    now.exam_id,
    e.day,
    now.final_referable AS referable,
    now.final_grade AS grade,
    p.id AS before_exam_id,
    p.day AS before_day,
    past.final_referable AS before_referable,
    past.final_grade AS before_grade,
    now.final_grade - past.final_grade AS change,
    now.release_id = past.release_id AS same_release
FROM exam e
JOIN eye_result now ON now.exam_id = e.id
JOIN exam p ON p.id = (
    SELECT q.id
    FROM exam q
    JOIN eye_result o ON o.exam_id = q.id AND o.eye = now.eye
    WHERE q.patient_key = e.patient_key AND q.day < e.day AND o.final_grade IS NOT NULL
    ORDER BY q.day DESC
    LIMIT 1
)
JOIN eye_result past ON past.exam_id = p.id AND past.eye = now.eye
WHERE e.patient_key IS NOT NULL AND now.eye <> 'U'
