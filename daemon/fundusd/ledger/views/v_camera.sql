-- One row per camera, with the outage of its inbox if there is one now.
CREATE VIEW v_camera AS
SELECT
    id AS camera_id,
    registered_at,
    last_sweep_at,
    offline_since,
    offline_reason
FROM camera
