from __future__ import annotations

import structlog

from fundusd.worker.unknown_format_log import UnknownFormatLog


def test_the_first_of_a_minute_are_logged_and_the_others_counted_in_one_line() -> None:
    time = [0.0]
    with structlog.testing.capture_logs() as lines:
        log = UnknownFormatLog(lambda: time[0])
        assert sum(log.is_to_be_logged() for _ in range(1000)) == 10
        log.log_counted()
        assert lines == []
        time[0] = 60.0
        log.log_counted()
        log.log_counted()
        assert [(line["event"], line["count"]) for line in lines] == [
            ("capture.unknown_format", 990)
        ]
        assert sum(log.is_to_be_logged() for _ in range(12)) == 10
        log.log_counted(at_end=True)
        assert lines[-1]["count"] == 2
