-- One row per release: the model, and everything else that determines a result.
CREATE VIEW v_release AS
SELECT
    id AS release_id,
    digest AS release_digest,
    created_at,
    model,
    revision AS model_revision,
    weights_digest,
    tokenizer_digest,
    files,
    preprocessing,
    prompt_set,
    prompt_digest,
    head,
    referable_rule,
    quality_gate,
    dtype,
    runtime,
    program_version
FROM release
