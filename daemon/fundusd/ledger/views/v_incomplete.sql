-- Files in an inbox that are not complete.
CREATE VIEW v_incomplete AS
SELECT
    camera_id,
    path_text AS path,
    reason,
    size,
    since,
    quarantined_at
FROM incomplete
