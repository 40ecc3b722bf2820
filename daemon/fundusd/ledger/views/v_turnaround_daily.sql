-- Median and 95th percentile of the turnaround by day.
-- The ranks are computed one day at a time, so that a query for a few days reads only those.
CREATE VIEW v_turnaround_daily AS
SELECT
    day,
    captures,
    (
        SELECT CAST(avg(ms) AS DOUBLE PRECISION)
        FROM (
            SELECT c.turnaround_ms AS ms, row_number() OVER (ORDER BY c.turnaround_ms) AS place
            FROM capture c
            WHERE c.local_day = day AND c.outcome IS NOT NULL AND NOT c.superseded
        ) AS ranked
        WHERE place IN ((captures + 1) / 2, captures / 2 + 1)
    ) AS median_ms,
    (
        SELECT max(ms)
        FROM (
            SELECT c.turnaround_ms AS ms, row_number() OVER (ORDER BY c.turnaround_ms) AS place
            FROM capture c
            WHERE c.local_day = day AND c.outcome IS NOT NULL AND NOT c.superseded
        ) AS ranked
        WHERE place = (captures * 95 + 99) / 100
    ) AS p95_ms,
    max_ms
FROM (
    SELECT local_day AS day, count(*) AS captures, max(turnaround_ms) AS max_ms
    FROM capture
    WHERE outcome IS NOT NULL AND NOT superseded
    GROUP BY local_day
) AS daily
