-- Everything that fixed a capture's numbers: its bytes, its job, its logits and the release.
CREATE VIEW v_provenance AS
SELECT
    c.id AS capture_id,
    c.camera_id,
    c.path_text AS path,
    c.revision,
    c.superseded,
    c.digest,
    c.size,
    c.hinted,
    c.received_at,
    j.state,
    j.attempts,
    r.id AS result_id,
    r.created_at AS result_at,
    r.decode_ms,
    r.model_ms,
    r.batch_size,
    r.logit_no_dr,
    r.logit_mild,
    r.logit_moderate,
    r.logit_severe,
    r.logit_pdr,
    j.release_id,
    e.digest AS release_digest,
    e.model,
    e.revision AS model_revision,
    e.weights_digest,
    e.tokenizer_digest,
    e.preprocessing,
    e.prompt_set,
    e.prompt_digest,
    e.head,
    e.referable_rule,
    e.quality_gate,
    e.dtype,
    e.runtime,
    e.program_version
FROM capture c
JOIN job j ON j.id = c.job_id
JOIN release e ON e.id = j.release_id
LEFT JOIN result r ON r.digest = j.digest AND r.release_id = j.release_id
