-- Mean scores by week, camera and release, and how far they moved from the weeks before.
-- Scores are added as whole millionths: sums of those are the same on every database.
CREATE VIEW v_score_drift_weekly AS
SELECT
    week,
    camera_id,
    release_id,
    graded,
    CAST(no_dr AS DOUBLE PRECISION) / nullif(graded, 0) / 1000000 AS mean_no_dr,
    CAST(mild AS DOUBLE PRECISION) / nullif(graded, 0) / 1000000 AS mean_mild,
    CAST(moderate AS DOUBLE PRECISION) / nullif(graded, 0) / 1000000 AS mean_moderate,
    CAST(severe AS DOUBLE PRECISION) / nullif(graded, 0) / 1000000 AS mean_severe,
    CAST(pdr AS DOUBLE PRECISION) / nullif(graded, 0) / 1000000 AS mean_pdr,
    CAST(points AS DOUBLE PRECISION) / nullif(graded, 0) / 1000000 AS severity,
    CAST(points_before AS DOUBLE PRECISION) / nullif(graded_before, 0) / 1000000
        AS severity_before,
    CAST(points AS DOUBLE PRECISION) / nullif(graded, 0) / 1000000
        - CAST(points_before AS DOUBLE PRECISION) / nullif(graded_before, 0) / 1000000 AS shift
FROM (
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
        points,
        CAST(sum(graded) OVER earlier AS BIGINT) AS graded_before,
        CAST(sum(points) OVER earlier AS BIGINT) AS points_before
    FROM (
        SELECT
            local_week AS week,
            camera_id,
            release_id,
            count(*) AS graded,
            CAST(sum(ppm_no_dr) AS BIGINT) AS no_dr,
            CAST(sum(ppm_mild) AS BIGINT) AS mild,
            CAST(sum(ppm_moderate) AS BIGINT) AS moderate,
            CAST(sum(ppm_severe) AS BIGINT) AS severe,
            CAST(sum(ppm_pdr) AS BIGINT) AS pdr,
            CAST(sum(ppm_mild + 2 * ppm_moderate + 3 * ppm_severe + 4 * ppm_pdr) AS BIGINT)
                AS points
        FROM capture
        -- the first two terms are the WHERE clause of the index ix_capture_week
        WHERE outcome IS NOT NULL AND NOT superseded AND grade IS NOT NULL
        GROUP BY local_week, camera_id, release_id
    ) AS weekly
    WINDOW earlier AS (
        PARTITION BY camera_id, release_id
        ORDER BY week
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
) AS with_earlier_weeks
