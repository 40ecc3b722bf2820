"""The sections of the settings file that are about the service: store, model, files and log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fundusd.app.settings_rules import ReferralRule, StoreUrl  # noqa: TC001  pydantic reads them
from fundusd.app.settings_section import Section
from fundusd.clinical.grading import Rule
from fundusd.domain.decoding import Preprocessing
from fundusd.domain.errors import SettingsError


class StoreSettings(Section):
    """[store]: where results and the audit log are kept."""

    url: StoreUrl = "sqlite:////var/lib/fundusd/fundusd.db"
    password_file: str = ""

    @property
    def sqlite_file(self) -> Path | None:
        """Return the path of the SQLite database, or None for PostgreSQL."""
        if not self.url.startswith("sqlite:///"):
            return None
        return Path(self.url.removeprefix("sqlite:///").partition("?")[0])

    def password(self) -> str | None:
        """Return the password in `password_file`, or None if no file is named.

        Raises SettingsError if the file cannot be read.
        """
        if not self.password_file:
            return None
        try:
            return Path(self.password_file).read_text(encoding="utf-8-sig").strip()
        except UnicodeDecodeError:
            raise SettingsError(
                "[store] password_file is not UTF-8 text.",
                hint="It must contain the password and nothing else.",
            ) from None
        except OSError as error:
            raise SettingsError(
                f"[store] password_file cannot be read ({error.strerror}).",
                hint="Create the file for the user that fundusd runs as, with mode 0400.",
            ) from None


class ModelSettings(Section):
    """[model]: the model and how it runs."""

    source: str = "google/medsiglip-448"
    revision: Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")] = ""
    weights_digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    backend: Literal["torch", "openvino"] = "torch"
    exact: bool = False
    batch_size: Annotated[int, Field(ge=1, le=256)] = 16
    prompts: str = "icdr-descriptive"
    referable: ReferralRule = "icdr>=2/argmax"
    accept_unsafe_rule: bool = False
    preprocessing: Annotated[Preprocessing, Field(strict=False)] = Preprocessing.PAD_SQUARE

    @model_validator(mode="after")
    def _rule_is_safe_or_accepted(self) -> ModelSettings:
        rule = Rule.parse(self.referable)
        if not rule.is_safe and not self.accept_unsafe_rule:
            raise ValueError(
                f'referable = "{rule.name}" can leave a photograph of grade 3 or 4 not referable: '
                f'use "{rule.safe_name}", or set accept_unsafe_rule = true'
            )
        return self

    @model_validator(mode="after")
    def _exact_is_not_narrow(self) -> ModelSettings:
        if self.exact and self.dtype == "bfloat16":
            raise ValueError(
                "exact = true requires float32: set dtype to auto or float32, or exact to false"
            )
        return self


class IntakeSettings(Section):
    """[intake]: how files are found, and when they count as captures."""

    quiet_seconds: Annotated[float, Field(gt=0, le=3600)] = 2.0
    sweep_seconds: Annotated[float, Field(gt=0, le=86400)] = 30.0
    mode: Literal["auto", "native", "sweep-only"] = "auto"
    backlog: Literal["newest-first", "baseline"] = "newest-first"
    grace_seconds: Annotated[float, Field(gt=0, le=86400)] = 600.0
    retry_seconds: Annotated[
        tuple[Annotated[float, Field(ge=0, le=86400)], ...],
        Field(max_length=10, strict=False),
    ] = (10.0, 60.0, 600.0)


class DecodeSettings(Section):
    """[decode]: the limits of the decoder processes."""

    processes: Annotated[int, Field(ge=0, le=64)] = 0
    seconds: Annotated[float, Field(gt=0, le=600)] = 20.0
    memory_mb: Annotated[int, Field(ge=256)] = 3072
    max_mb: Annotated[int, Field(ge=1)] = 256
    max_megapixels: Annotated[int, Field(ge=1, le=1000)] = 60


class LogSettings(Section):
    """[log]: the level and format of log lines."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
