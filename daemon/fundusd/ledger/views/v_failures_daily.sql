-- Captures that were refused or failed, by day, camera and reason.
CREATE VIEW v_failures_daily AS
SELECT day, camera_id, outcome, reason, count(*) AS captures
FROM (
    SELECT local_day AS day, camera_id, 'refused' AS outcome, reason
    FROM capture
    -- the last two terms are the WHERE clause of the index ix_capture_reason
    WHERE outcome = 'refused' AND reason IS NOT NULL AND NOT superseded
    UNION ALL
    SELECT c.local_day, c.camera_id, 'failed', j.reason
    FROM job j
    JOIN capture c ON c.job_id = j.id
    WHERE j.state = 'failed' AND NOT c.superseded
) AS lost
GROUP BY day, camera_id, outcome, reason
