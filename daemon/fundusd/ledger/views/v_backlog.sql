-- Captures that wait for their result.
CREATE VIEW v_backlog AS
SELECT
    c.id AS capture_id,
    c.camera_id,
    c.path_text AS path,
    c.received_at,
    j.state,
    j.lane = 1 AS backlog,
    j.attempts,
    j.reason,
    j.error,
    j.created_at AS waiting_since,
    k.offline_reason
FROM job j
JOIN capture c ON c.job_id = j.id
JOIN camera k ON k.id = c.camera_id
WHERE j.state IN ('queued', 'running') AND NOT c.superseded
