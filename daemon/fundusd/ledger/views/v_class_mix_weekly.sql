-- Grades by week, camera and release.
CREATE VIEW v_class_mix_weekly AS
SELECT
    week,
    camera_id,
    release_id,
    graded,
    no_dr,
    mild,
    moderate,
    severe,
    pdr,
    referable,
    CAST(referable AS DOUBLE PRECISION) / nullif(graded, 0) AS referable_share,
    ungradable
FROM (
    SELECT
        week,
        camera_id,
        release_id,
        CAST(coalesce(sum(n) FILTER (WHERE outcome = 'graded'), 0) AS BIGINT) AS graded,
        CAST(coalesce(sum(n) FILTER (WHERE grade = 0), 0) AS BIGINT) AS no_dr,
        CAST(coalesce(sum(n) FILTER (WHERE grade = 1), 0) AS BIGINT) AS mild,
        CAST(coalesce(sum(n) FILTER (WHERE grade = 2), 0) AS BIGINT) AS moderate,
        CAST(coalesce(sum(n) FILTER (WHERE grade = 3), 0) AS BIGINT) AS severe,
        CAST(coalesce(sum(n) FILTER (WHERE grade = 4), 0) AS BIGINT) AS pdr,
        CAST(coalesce(sum(n) FILTER (WHERE referable = 'yes'), 0) AS BIGINT) AS referable,
        CAST(coalesce(sum(n) FILTER (WHERE outcome = 'ungradable'), 0) AS BIGINT) AS ungradable
    FROM (
        -- Counting equal captures first leaves some thousand rows of 200,000 for the sums.
        -- The index ix_capture_week answers this because the WHERE clause is the same as its own.
        SELECT
            local_week AS week, camera_id, release_id, outcome, grade, referable, count(*) AS n
        FROM capture
        WHERE outcome IS NOT NULL AND NOT superseded
        GROUP BY local_week, camera_id, release_id, outcome, reason, grade, referable
    ) AS equal_captures
    GROUP BY week, camera_id, release_id
) AS counted
