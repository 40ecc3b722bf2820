-- Audit events about one person.
CREATE VIEW v_access AS
SELECT
    patient_key,
    seq,
    at,
    event,
    code,
    action,
    outcome,
    actor_kind,
    actor_id,
    host,
    entity_kind,
    entity_id,
    release_id,
    digest
FROM audit_event
WHERE patient_key IS NOT NULL
