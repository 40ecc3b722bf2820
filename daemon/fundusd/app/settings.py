"""Strict, frozen settings from one TOML file; every mistake is reported at once."""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from fundusd.clinical.camera_conventions import ConventionName  # noqa: TC001  pydantic reads it
from fundusd.clinical.camera_database import Lookup, require_query
from fundusd.clinical.path_rules import Naming, compiled
from fundusd.clinical.pseudonyms import weakness
from fundusd.clinical.quality_thresholds import BOUNDS, DEFAULTS, Thresholds
from fundusd.domain.decoding import Preprocessing
from fundusd.domain.delivery import DocumentKind, Subscription
from fundusd.domain.errors import SettingsError
from fundusd.outbox import transports

DEFAULT_FILE = Path("/etc/fundusd/fundusd.toml")
# Such a model takes seconds, decoding milliseconds: one process is enough, and another for when it hangs
_BESIDE_A_CPU_MODEL = 2


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _store_url(url: str) -> str:
    if re.search(r"://[^/@]*:[^/@]+@", url) or "password=" in url:
        raise ValueError(
            "must not hold a password: put it into the file that [store] password_file names"
        )
    if not url.startswith(("sqlite:////", "postgresql+psycopg://")):
        raise ValueError(
            "must begin with sqlite://// (four slashes, then an absolute path) or postgresql+psycopg://"
        )
    return url


def _web(url: str) -> str:
    if url and not re.match(r"https?://[^/\s@?#]+(/[^\s?#]*)?$", url):
        raise ValueError(
            "must begin with https:// or http://, and hold neither a password nor a question mark"
        )
    return url.rstrip("/")


def _pattern(text: str) -> str:
    if text:
        compiled(text)
    return text


def _query(text: str) -> str:
    if text:
        require_query(text)
    return text


def _threshold(name: str) -> Any:
    low, high = BOUNDS[name]
    return Field(default=getattr(DEFAULTS, name), ge=low, le=high)


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
CameraId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Store(_Section):
    """[store]: where results and audit log are kept."""

    url: Annotated[str, AfterValidator(_store_url)] = "sqlite:////var/lib/fundusd/fundusd.db"
    password_file: str = ""

    @property
    def sqlite_file(self) -> Path | None:
        """Return the file of a SQLite database, None for another one."""
        if not self.url.startswith("sqlite:///"):
            return None
        return Path(self.url.removeprefix("sqlite:///").partition("?")[0])

    def password(self) -> str | None:
        """Read the database password; raises SettingsError."""
        if not self.password_file:
            return None
        try:
            return Path(self.password_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(
                f"[store] password_file cannot be read ({error.strerror}).",
                hint="Create the file for the user that fundusd runs as, mode 0400.",
            ) from None


class Model(_Section):
    """[model]: what classifies, and how."""

    source: str = "google/medsiglip-448"
    revision: Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")] = ""
    weights_digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    backend: Literal["torch", "openvino"] = "torch"
    exact: bool = False
    batch_size: Annotated[int, Field(ge=1, le=256)] = 16
    prompts: str = "icdr-descriptive"
    referable: str = "icdr>=2/argmax"
    preprocessing: Annotated[Preprocessing, Field(strict=False)] = Preprocessing.PAD_SQUARE

    @model_validator(mode="after")
    def _exact_is_not_narrow(self) -> Model:
        if self.exact and self.dtype == "bfloat16":
            raise ValueError(
                "exact = true means float32: set dtype to auto or float32, or exact to false"
            )
        return self


class Intake(_Section):
    """[intake]: when a file is a capture."""

    quiet_seconds: Annotated[float, Field(gt=0, le=3600, strict=False)] = 2.0
    sweep_seconds: Annotated[float, Field(gt=0, le=86400, strict=False)] = 30.0
    mode: Literal["auto", "native", "sweep-only"] = "auto"
    backlog: Literal["newest-first", "baseline"] = "newest-first"
    grace_seconds: Annotated[float, Field(gt=0, le=86400, strict=False)] = 600.0
    retry_seconds: Annotated[
        tuple[Annotated[float, Field(ge=0, strict=False)], ...], Field(max_length=10, strict=False)
    ] = (10.0, 60.0, 600.0)


class Decode(_Section):
    """[decode]: limits on reading hostile bytes."""

    processes: Annotated[int, Field(ge=0, le=64)] = 0
    seconds: Annotated[float, Field(gt=0, le=600, strict=False)] = 20.0
    memory_mb: Annotated[int, Field(ge=256)] = 3072
    max_mb: Annotated[int, Field(ge=1)] = 256
    max_megapixels: Annotated[int, Field(ge=1, le=1000)] = 60

    def processes_beside(self, *, model_on_cpu: bool, batch_size: int) -> int:
        """Return how many decoder processes to start beside a model that takes so many captures at once."""
        if self.processes:
            return self.processes
        if model_on_cpu:
            return _BESIDE_A_CPU_MODEL
        return max(1, min(len(os.sched_getaffinity(0)) - 1, batch_size))


class Privacy(_Section):
    """[privacy]: how patients are written down, and the key that stands between them and logs."""

    identifiers: Literal["clear", "pseudonymous"] = "clear"
    issuer: Annotated[str, Field(max_length=64)] = ""
    site_key_file: Annotated[AbsolutePath, Field(strict=False)] = Path("/var/lib/fundusd/site.key")

    def site_key(self) -> bytes:
        """Read the site key, writing a random one at the first start; raises SettingsError."""
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(self.site_key_file, flags, 0o600), "wb") as file:
                file.write(os.urandom(32).hex().encode())
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            pass
        except OSError as error:
            raise self._unusable(f"cannot be written ({error.strerror})") from None
        return self.present_key()

    def present_key(self) -> bytes:
        """Read the site key that is there; raises SettingsError, also for one that protects nobody."""
        try:
            key = self.site_key_file.read_bytes().strip()
            mode = self.site_key_file.stat().st_mode
        except OSError as error:
            raise self._unusable(f"cannot be read ({error.strerror})") from None
        if weak := weakness(key):
            hint = "Remove the file: a random key is written at the next start. Keys of patients change with it."
            raise SettingsError(f"[privacy] site_key_file {weak}.", hint=hint)
        if mode & stat.S_IROTH:
            hint = (
                f"Let nobody but the user fundusd runs as read it: chmod 0400 {self.site_key_file}"
            )
            raise SettingsError("[privacy] site_key_file can be read by every user.", hint=hint)
        return key

    @staticmethod
    def _unusable(what: str) -> SettingsError:
        return SettingsError(
            f"[privacy] site_key_file {what}.",
            hint="Name a file in a folder that belongs to the user fundusd runs as, such as /var/lib/fundusd.",
        )


class CameraLookup(_Section):
    """[camera.lookup]: the camera's own SQLite file, and how to find a capture in it."""

    database: Annotated[str, Field(max_length=4096)] = ""
    query: Annotated[str, Field(max_length=4000), AfterValidator(_query)] = ""

    @model_validator(mode="after")
    def _both_or_neither(self) -> CameraLookup:
        if bool(self.database) != bool(self.query):
            raise ValueError("database and query go together: set both, or leave both empty")
        if self.database:
            _absolute(Path(self.database))
        return self


class Quality(_Section):
    """[camera.quality]: from where on this camera's captures are ungradable."""

    min_side_pixels: int = _threshold("min_side_pixels")
    min_luminance: float = _threshold("min_luminance")
    max_luminance: float = _threshold("max_luminance")
    max_saturated: float = _threshold("max_saturated")
    min_field: float = _threshold("min_field")
    max_glare: float = _threshold("max_glare")
    min_sharpness: float = _threshold("min_sharpness")
    min_visibility: float = _threshold("min_visibility")
    max_haze: float = _threshold("max_haze")


class Camera(_Section):
    """[[camera]]: one export folder."""

    id: CameraId
    inbox: Annotated[AbsolutePath, Field(strict=False)]
    convention: ConventionName = "generic"
    pattern: Annotated[str, Field(max_length=500), AfterValidator(_pattern)] = ""
    expected_fields: Annotated[tuple[Literal["macula", "disc"], ...], Field(strict=False)] = ()
    lookup: CameraLookup = CameraLookup()
    quality: Quality = Quality()

    @property
    def naming(self) -> Naming:
        """Return how this camera names its captures."""
        return Naming.of(self.convention, self.pattern)

    @property
    def thresholds(self) -> Thresholds:
        """Return from where on this camera's captures are ungradable."""
        return Thresholds(**self.quality.model_dump())

    @property
    def own_database(self) -> Lookup | None:
        """Return how to ask this camera's own database, None where it has none."""
        return (
            Lookup(Path(self.lookup.database), self.lookup.query) if self.lookup.database else None
        )


class Outbox(_Section):
    """[outbox]: when documents are sent."""

    quiet_seconds: Annotated[float, Field(ge=0, le=86400, strict=False)] = 60.0


class Receiver(_Section):
    """[[receiver]]: who is told of results."""

    id: CameraId
    document: Annotated[DocumentKind, Field(strict=False)]
    when: Literal["resulted", "reviewed"] = "resulted"
    folder: Annotated[AbsolutePath, Field(strict=False)] | None = None
    dicom: Annotated[str, Field(pattern=r"^[^@\s]{1,16}@[A-Za-z0-9._-]+:[0-9]{1,5}$")] = ""
    stow: Annotated[str, AfterValidator(_web)] = ""
    fhir: Annotated[str, AfterValidator(_web)] = ""

    @model_validator(mode="after")
    def _has_one_transport_that_carries_the_document(self) -> Receiver:
        possible = transports.carrying(self.document)
        chosen = self._transports()
        if len(chosen) != 1 or chosen[0] not in possible:
            keys = ", ".join(possible)
            raise ValueError(f"document {self.document} needs exactly one of: {keys}")
        return self

    def _transports(self) -> list[str]:
        return [key for key in transports.TRANSPORTS if getattr(self, key)]

    @property
    def transport(self) -> str:
        """Return the key that is set: folder, dicom, stow or fhir."""
        return self._transports()[0]

    @property
    def address(self) -> Path | str:
        """Return where the receiver is, as its transport writes it."""
        address: Path | str = getattr(self, self.transport)
        return address


class Log(_Section):
    """[log]: how much, in what form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Settings(_Section):
    """The whole file."""

    store: Store = Store()
    model: Model = Model()
    intake: Intake = Intake()
    decode: Decode = Decode()
    privacy: Privacy = Privacy()
    outbox: Outbox = Outbox()
    camera: Annotated[tuple[Camera, ...], Field(strict=False)] = ()
    receiver: Annotated[tuple[Receiver, ...], Field(strict=False)] = ()
    log: Log = Log()

    @model_validator(mode="after")
    def _cameras_do_not_overlap(self) -> Settings:
        ids = [camera.id for camera in self.camera]
        if twice := {one for one in ids if ids.count(one) > 1}:
            raise ValueError(f"camera ids must differ: {', '.join(sorted(twice))} stands twice")
        for one in self.camera:
            for other in self.camera:
                if one is not other and one.inbox.is_relative_to(other.inbox):
                    raise ValueError(
                        f"inboxes must not contain each other: {one.id} lies inside {other.id}"
                    )
        return self

    @model_validator(mode="after")
    def _receivers_stand_apart(self) -> Settings:
        ids = [receiver.id for receiver in self.receiver]
        if twice := {one for one in ids if ids.count(one) > 1}:
            raise ValueError(f"receiver ids must differ: {', '.join(sorted(twice))} stands twice")
        for receiver in self.receiver:
            for camera in self.camera:
                if receiver.folder is not None and receiver.folder.is_relative_to(camera.inbox):
                    raise ValueError(
                        f"the folder of receiver {receiver.id} must not lie in an inbox"
                    )
        return self

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Return who is to be told of which exams."""
        return tuple(
            Subscription(one.id, one.document, one.when == "reviewed", self.outbox.quiet_seconds)
            for one in self.receiver
        )

    @model_validator(mode="after")
    def _ledger_outside_inboxes(self) -> Settings:
        for camera in self.camera:
            if self.store.sqlite_file is not None and self.store.sqlite_file.is_relative_to(
                camera.inbox
            ):
                raise ValueError(f"the database must not lie in the inbox of camera {camera.id}")
        return self


def path_of(option: Path | None) -> Path:
    """Return the settings file: the option, else FUNDUSD_CONFIG, else /etc/fundusd/fundusd.toml."""
    return option or Path(os.environ.get("FUNDUSD_CONFIG") or DEFAULT_FILE)


def load(path: Path) -> Settings:
    """Read settings; raises SettingsError that names every mistake with key, value, rule and hint."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(
            f"There is no settings file {path}.",
            hint="Copy config/fundusd.toml there, or name another with --config FILE or FUNDUSD_CONFIG.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read ({error}).", hint="It must be a UTF-8 text file."
        ) from None
    try:
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{path} is not TOML: {error}.", hint="Compare it with config/fundusd.toml."
        ) from None
    except ValidationError as error:
        mistakes = [_mistake(one) for one in error.errors()]
        raise SettingsError(
            f"{path} has {len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}:\n"
            + "\n".join(mistakes),
            hint="Every key is explained in config/fundusd.toml; check again with: fundusd check",
        ) from None


def of_model(source: str, revision: str) -> Model:
    """Make [model] of a source and revision given on the command line; raises SettingsError."""
    try:
        return Model(source=source, revision=revision)
    except ValidationError:
        raise SettingsError(
            "--revision is not the commit of a model.",
            hint="Give its 40 hexadecimal digits, as the hub shows them.",
        ) from None


# names of 0.1 development versions, which some settings files still have
_RENAMED = {
    "smallest_side": "min_side_pixels",
    "least_luminance": "min_luminance",
    "most_luminance": "max_luminance",
    "most_saturated": "max_saturated",
    "least_field": "min_field",
    "most_glare": "max_glare",
    "least_sharpness": "min_sharpness",
    "least_visibility": "min_visibility",
    "most_haze": "max_haze",
}
_SECTIONS = (
    Store,
    Model,
    Intake,
    Decode,
    Privacy,
    Outbox,
    Camera,
    CameraLookup,
    Quality,
    Receiver,
    Log,
)


def _mistake(error: Any) -> str:
    """Describe one mistake: key, value, rule."""
    key = ".".join(str(part) for part in error["loc"]) or "(file)"
    if error["type"] == "extra_forbidden":
        known = {name for section in (Settings, *_SECTIONS) for name in section.model_fields}
        if new_name := _RENAMED.get(str(error["loc"][-1])):
            return f"  {key}: is called {new_name} now"
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        return f"  {key}: there is no such key" + (f"; did you mean {near[0]}?" if near else "")
    if error["type"] == "missing":
        return f"  {key}: is missing"
    value = error["input"]
    if error["loc"][-1:] == ("when",) and value == "judged":
        return f"  {key} = 'judged': is called \"resulted\" now"
    shown = (
        f" = {value!r}"
        if isinstance(value, str | int | float | bool) and "password" not in str(error["msg"])
        else ""
    )
    return f"  {key}{shown}: {error['msg'].removeprefix('Value error, ')}"


def require_camera(settings: Settings) -> None:
    """Refuse settings without a camera, which only some commands can do without; raises SettingsError."""
    if not settings.camera:
        raise SettingsError(
            "No [[camera]] is set.", hint="Add one with id and inbox; see config/fundusd.toml."
        )
