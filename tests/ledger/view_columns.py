"""The contract with outside readers: each view's columns, which are added to and never renamed."""

COLUMNS = {
    "v_result": """
        capture_id camera_id path revision superseded digest media_type width height eye
        eye_source field patient_id patient_key exam_id excluded acquired_at acquired_day
        received_at state outcome reason action quality_level grade grade_label referable
        score_no_dr score_mild score_moderate score_severe score_pdr model model_revision prompt_set
        preprocessing release_id result_at turnaround_ms attempts error warnings
        moved_to
    """,
    "v_camera": "camera_id registered_at last_sweep_at offline_since offline_reason",
    "v_incomplete": "camera_id path reason size since quarantined_at",
    "v_worklist": """
        urgency waits_for exam_id day eye outcome referable grade grade_label final_referable
        final_grade final_grade_label reason action missing_fields deferred patient_id patient_key
        camera_id capture_id path acquired_at received_at release_id warnings
    """,
    "v_quality_weekly": """
        week camera_id captures graded ungradable refused ungradable_share too_dark too_bright
        blur low_contrast partial_field media_opacity artefact compression small
    """,
    "v_turnaround_daily": "day captures median_ms p95_ms max_ms",
    "v_class_mix_weekly": """
        week camera_id release_id graded no_dr mild moderate severe pdr referable referable_share
        ungradable
    """,
    "v_score_drift_weekly": """
        week camera_id release_id graded mean_no_dr mean_mild mean_moderate mean_severe mean_pdr
        severity severity_before shift
    """,
    "v_review": """
        review_id exam_id day eye patient_key capture_id release_id model_outcome model_grade
        model_referable verdict grade referable reason reviewer role purpose lesion maculopathy
        photocoagulation stable_treated blinded reviewed_at is_latest
    """,
    "v_agreement": """
        release_id role purpose blinded readings agree override ungradable retake both_refer
        only_model_refers only_reader_refers neither_refers undecided same_grade other_lesion
        sensitivity specificity
    """,
    "v_missed_referable": """
        review_id exam_id day eye patient_id patient_key camera_id capture_id path release_id
        model_grade grade reason reviewer role purpose lesion maculopathy blinded reviewed_at
    """,
    "v_backlog": """
        capture_id camera_id path received_at state backlog attempts reason error waiting_since
        offline_reason
    """,
    "v_failures_daily": "day camera_id outcome reason captures",
    "v_incomplete_exam": """
        exam_id day day_doubt day_doubt_label camera_id path acquired_at received_at patient_id
        patient_key missing_fields final_referable is_reviewed
    """,
    "v_person_exam": """
        exam_id day day_doubt day_doubt_label patient_id patient_key study_uid referable grade
        final_referable final_grade final_grade_label is_reviewed missing_fields right_outcome
        right_referable right_grade left_outcome left_referable left_grade
    """,
    "v_eye_result": """
        exam_id day patient_key patient_id eye outcome referable grade grade_label reason action
        missing_fields captures capture_id camera_id path release_id final_referable final_grade
        urgency waits_for reading_state review_id verdict reviewer role purpose lesion maculopathy
        photocoagulation stable_treated reviewed_at former_review_id former_verdict former_grade
        former_referable former_reviewer former_reviewed_at resulted_at
    """,
    "v_progression": """
        patient_key eye exam_id day referable grade before_exam_id before_day before_referable
        before_grade change same_release
    """,
    "v_release": """
        release_id release_digest created_at model model_revision weights_digest tokenizer_digest
        files preprocessing prompt_set prompt_digest head referable_rule quality_gate dtype runtime
        program_version
    """,
    "v_provenance": """
        capture_id camera_id path revision superseded digest size hinted received_at state
        attempts result_id result_at decode_ms model_ms batch_size logit_no_dr logit_mild
        logit_moderate logit_severe logit_pdr release_id release_digest model model_revision
        weights_digest tokenizer_digest preprocessing prompt_set prompt_digest head referable_rule
        quality_gate dtype runtime program_version
    """,
    "v_follow_up": """
        follow_up_id exam_id day eye patient_id patient_key kind state since opened_by review_id
        closed_at closed_by closed_how
    """,
    "v_correction": """
        correction_id kind exam_id day patient_key capture_id camera_id path other_exam_id eye
        reason until reader role corrected_at
    """,
    "v_access": """
        patient_key seq at event code action outcome actor_kind actor_id host entity_kind
        entity_id release_id digest
    """,
    "v_retake": "exam_id day eye field camera_id patient_key reason ungradable graded rescued",
}
