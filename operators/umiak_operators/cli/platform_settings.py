"""What the operator is told about an installation: defaults, then a YAML file, then `UMIAK_...` variables."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from cryptography import x509
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from umiak_operators.plan.model import Platform, SecretKey
from umiak_operators.runtime.local.keys import load_or_make
from umiak_workers.contract import endpoints
from umiak_workers.contract.errors import ConfigError
from umiak_workers.contract.wire import explain

Url = Annotated[str, Field(pattern=r"^(https?|mqtts?)://[^\s]+$")]
DEFAULT_IMAGES = {
    "operator": "umiak/operator:dev",
    "edge": "umiak/edge:dev",
    "cloud": "umiak/cloud:dev",
    "trainer": "umiak/cloud:dev",
    "hub": "umiak/hub:dev",
    "signer": "umiak/hub:dev",
}
"""role -> image; a trainer needs what a cloud worker has, a signer less than a hub."""
_PEM: Final = "-----BEGIN CERTIFICATE-----"


class DatabaseSecret(BaseModel):
    """Where the URL of the hub's PostgreSQL stands: a key of a Secret beside the hub. Never the URL itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    existing_secret: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}$")] = "url"


class PlatformSettings(BaseSettings):
    """An installation as its administrator writes it (camelCase in the file)."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, env_prefix="UMIAK_"
    )

    hub: Url = "http://127.0.0.1:8800"
    """Where edges find the hub."""
    broker: Url = "mqtt://127.0.0.1:1883"
    """Where edges find the broker."""
    cloud: Url | None = None
    """Gateway in front of every cloud worker; `/<namespace>/<resource>` is appended. None: their Services."""
    inside_hub: Url | None = None
    """Where pods beside the hub find it; None: as edges do."""
    inside_broker: Url | None = None
    operator_hub: Url | None = None
    """Where the operator itself finds the hub; None: as pods beside it do."""
    images: dict[str, str] = {}
    """role -> image; what is absent keeps its development tag."""
    operator_key_file: Path | None = None
    """Hex text of the key under which tokens are HMACs. None: made once under the state folder."""
    trusted_keys: tuple[str, ...] = ()
    """Ed25519 public keys of the signer, base64. Empty: of the signing key made under the state folder."""
    ca: str = ""
    """Authorities that pods trust beside those of their image: PEM text, or a file of it. Empty: none."""
    state_volume: Literal["hostPath", "persistentVolumeClaim"] = "hostPath"
    storage_class: str | None = None
    state_size: str = "4Gi"
    host_path_root: str = "/var/lib/umiak"
    hub_database: DatabaseSecret | None = None
    """None: SQLite in the hub's claim."""
    figures_seconds: Annotated[float, Field(ge=0, le=3600)] = 30
    """How often a status in which only the hub's figures moved may be written."""

    @model_validator(mode="after")
    def _roles(self) -> Self:
        if strangers := sorted(set(self.images) - set(DEFAULT_IMAGES)):
            raise ValueError(f"images: no such role: {', '.join(strangers)}; known: {', '.join(DEFAULT_IMAGES)}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables win over the file, which arrives as init arguments."""
        return env_settings, init_settings


def load(file: Path | None, hub: str | None) -> PlatformSettings:
    """Settings from a YAML file (or none) with `hub` on top; raises ConfigError in one line that names the field."""
    text = _read(file) if file else {}
    try:
        found = PlatformSettings(**text)
        return found.model_copy(update={"hub": hub}) if hub else found
    except ValidationError as error:
        raise ConfigError(f"{file or 'UMIAK_ variables'}: {explain(error)}") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict | None):
        raise ConfigError(f"{file}: expected a map of settings")
    return found or {}


def platform(settings: PlatformSettings, state: Path) -> Platform:
    """The plan's Platform; keys that are not named are made once under `state`. Raises ConfigError."""
    key, trusted = _keys(settings, state)
    outside = {endpoints.HUB: settings.hub, endpoints.BROKER: settings.broker}
    if settings.cloud:
        outside["umiak://cloud"] = settings.cloud
    inside = {endpoints.HUB: settings.inside_hub, endpoints.BROKER: settings.inside_broker}
    return Platform(
        images={**DEFAULT_IMAGES, **settings.images},
        endpoints=outside,
        inside={symbol: url for symbol, url in inside.items() if url},
        operator_key=key,
        trusted_keys=trusted,
        state_volume=settings.state_volume,
        storage_class=settings.storage_class,
        state_size=settings.state_size,
        host_path_root=settings.host_path_root,
        ca=authorities(settings.ca),
        hub_database=SecretKey(found.existing_secret, found.key) if (found := settings.hub_database) else None,
    )


def authorities(given: str) -> str:
    """PEM text as it stands, or that of a named file; raises ConfigError unless it is all certificates."""
    if not given.strip():
        return ""
    try:
        text = given if _PEM in given else Path(given).read_text(errors="replace")
        x509.load_pem_x509_certificates(text.encode())
    except (OSError, ValueError) as error:
        where = "the text" if _PEM in given else given
        raise ConfigError(f"ca: {where}: expected certificates in PEM ({error})") from error
    return text.encode("ascii", "ignore").decode().strip() + "\n"  # comments may be in any language


def _keys(settings: PlatformSettings, state: Path) -> tuple[bytes, tuple[str, ...]]:
    made = load_or_make(state / "keys") if not (settings.operator_key_file and settings.trusted_keys) else None
    trusted = settings.trusted_keys or ((made.trusted,) if made else ())
    if settings.operator_key_file is None:
        return (made.operator if made else b""), trusted
    try:
        return bytes.fromhex(settings.operator_key_file.read_text().strip()), trusted
    except (OSError, ValueError) as error:
        raise ConfigError(f"{settings.operator_key_file}: expected hex text of the operator's key ({error})") from error
