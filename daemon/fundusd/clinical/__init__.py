"""Clinical rules: eyes, patients, grades, quality, referrals and exams."""
