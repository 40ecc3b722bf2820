-- Image quality by week and camera.
CREATE VIEW v_quality_weekly AS
SELECT
    week,
    camera_id,
    captures,
    graded,
    ungradable,
    refused,
    CAST(ungradable AS DOUBLE PRECISION) / nullif(graded + ungradable, 0) AS ungradable_share,
    too_dark,
    too_bright,
    blur,
    low_contrast,
    partial_field,
    media_opacity,
    artefact,
    compression,
    small
FROM (
    SELECT
        week,
        camera_id,
        CAST(sum(n) AS BIGINT) AS captures,
        CAST(coalesce(sum(n) FILTER (WHERE outcome = 'graded'), 0) AS BIGINT) AS graded,
        CAST(coalesce(sum(n) FILTER (WHERE outcome = 'ungradable'), 0) AS BIGINT) AS ungradable,
        CAST(coalesce(sum(n) FILTER (WHERE outcome = 'refused'), 0) AS BIGINT) AS refused,
        CAST(coalesce(sum(n) FILTER (WHERE reason = 'too_dark'), 0) AS BIGINT) AS too_dark,
        CAST(coalesce(sum(n) FILTER (WHERE reason = 'too_bright'), 0) AS BIGINT) AS too_bright,
        CAST(coalesce(sum(n) FILTER (WHERE reason = 'blur'), 0) AS BIGINT) AS blur,
        CAST(coalesce(sum(n) FILTER (WHERE reason = 'low_contrast'), 0) AS BIGINT) AS low_contrast,
        CAST(coalesce(sum(n) FILTER (WHERE reason = 'partial_field'), 0) AS BIGINT)
            AS partial_field,
        CAST(coalesce(sum(n) FILTER (WHERE reason = 'media_opacity'), 0) AS BIGINT)
            AS media_opacity,
        CAST(coalesce(sum(n) FILTER (WHERE reason = 'artefact'), 0) AS BIGINT) AS artefact,
        CAST(coalesce(sum(n) FILTER (WHERE reason = 'compression'), 0) AS BIGINT) AS compression,
        CAST(coalesce(sum(n) FILTER (WHERE reason = 'small'), 0) AS BIGINT) AS small
    FROM (
        -- Counting equal captures first leaves some thousand rows of 200,000 for the sums.
        -- The index ix_capture_week answers this because the WHERE clause is the same as its own.
        SELECT local_week AS week, camera_id, outcome, reason, count(*) AS n
        FROM capture
        WHERE outcome IS NOT NULL AND NOT superseded
        GROUP BY local_week, camera_id, release_id, outcome, reason
    ) AS equal_captures
    GROUP BY week, camera_id
) AS counted
