-- Agreement of readers and model by release, role and purpose, from each reader's latest review of a result.
CREATE VIEW v_agreement AS
SELECT
    release_id,
    role,
    purpose,
    blinded,
    readings,
    agree,
    override,
    ungradable,
    retake,
    both_refer,
    only_model_refers,
    only_reader_refers,
    neither_refers,
    undecided,
    same_grade,
    other_lesion,
    CAST(both_refer AS DOUBLE PRECISION) / nullif(both_refer + only_reader_refers, 0)
        AS sensitivity,
    CAST(neither_refers AS DOUBLE PRECISION) / nullif(neither_refers + only_model_refers, 0)
        AS specificity
FROM (
    SELECT
        release_id,
        role,
        purpose,
        blinded,
        count(*) AS readings,
        count(*) FILTER (WHERE verdict = 'agree') AS agree,
        count(*) FILTER (WHERE verdict = 'override') AS override,
        count(*) FILTER (WHERE verdict = 'ungradable') AS ungradable,
        count(*) FILTER (WHERE verdict = 'retake') AS retake,
        count(*) FILTER (WHERE model_referable = 'yes' AND referable = 'yes') AS both_refer,
        count(*) FILTER (WHERE model_referable = 'yes' AND referable = 'no') AS only_model_refers,
        count(*) FILTER (WHERE model_referable = 'no' AND referable = 'yes') AS only_reader_refers,
        count(*) FILTER (WHERE model_referable = 'no' AND referable = 'no') AS neither_refers,
        count(*) FILTER (WHERE model_referable = 'indeterminate' OR referable = 'indeterminate')
            AS undecided,
        count(*) FILTER (WHERE grade = model_grade) AS same_grade,
        count(*) FILTER (WHERE lesion IS NOT NULL) AS other_lesion
    FROM v_review
    WHERE is_latest
    GROUP BY release_id, role, purpose, blinded
) AS counted
