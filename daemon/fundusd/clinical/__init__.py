"""Clinical rules without input or output: eye, patient, grade, quality, referral, exam."""
