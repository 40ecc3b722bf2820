"""The rules by which the worker works."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from fundusd.clinical.grading import DEFAULT_RULE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fundusd.clinical.grading import Rule
    from fundusd.clinical.quality_thresholds import Thresholds


def _local_time() -> datetime:
    return datetime.now().astimezone()


@dataclass(frozen=True, slots=True)
class WorkerRules:
    """The settings that concern the worker."""

    batch_size: int
    retry_seconds: tuple[float, ...]
    max_bytes: int
    decoders: int  # captures decoded at the same time
    model: str  # the model's name in results and in the log
    now: Callable[[], datetime] = _local_time
    referral: Rule = DEFAULT_RULE
    thresholds: Mapping[str, Thresholds] = field(default_factory=dict)  # by camera
    offline_retry_seconds: float = 10.0  # before a job whose inbox is offline is retried

    @property
    def longest_pause(self) -> float:
        """The longest time, in seconds, for which a job is postponed."""
        return max(*self.retry_seconds, self.offline_retry_seconds, 0.0)
