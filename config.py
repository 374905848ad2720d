"""The service's settings: every default, limit and URL, read once from the environment and `.env`."""

import base64
import binascii
import json
import re
import sys
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models import UserLimits

# The release, in one place: the OpenAPI document and the log show it.
VERSION = "1.1.0.dev0"

DEFAULT_ACCOUNT = "default"
MIN_SECRET_KEY_CHARS = 32
MIN_JWT_SECRET_BYTES = 32  # RFC 7518: a key of at least the hash's size
WEBHOOK_SECRET_BYTES = range(24, 65)
MAX_WEBHOOK_SECRETS = 2

AnySettings = TypeVar("AnySettings", bound=BaseSettings)
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Days = Annotated[float, Field(ge=0, le=36_500)]
# 0: no limit
Limit = Annotated[int, Field(ge=0, le=1_000_000_000)]


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    if parts.query or parts.fragment or parts.username or parts.password or re.search(r"\s", value):
        raise ValueError("must be a plain address without user, query, fragment or spaces")
    if parts.port is not None and not 0 < parts.port < 65_536:
        raise ValueError("the port must lie between 1 and 65535")
    return value.rstrip("/")


def checked_webhook_url(value: str) -> str:
    """Unlike our own addresses, a receiver's may have a query, and a slash at its end counts."""
    address, _, query = value.partition("?")
    if re.search(r"[\s#]", query):
        raise ValueError("must be a plain address without fragment or spaces")
    _http_url(address)
    return value


def checked_database_url(value: str) -> str:
    """Raises ValueError, whose text has no part of the address."""
    if value.startswith("postgresql://"):
        try:
            parts = urlsplit(value)
            is_complete = bool(parts.hostname and parts.path.strip("/") and parts.port != 0)
        except ValueError:  # its text may quote a part of the password
            is_complete = False
        if not is_complete:
            raise ValueError(
                "must be postgresql://user:password@host:port/name, / @ : # ? [ ] and % in the password"
                " percent-encoded, and a port between 1 and 65535"
            )
    elif value == "sqlite:///:memory:":
        raise ValueError("must name a file: tasks in memory would be lost when the service stops")
    elif not value.startswith("sqlite:///") or value in {"sqlite:///", "sqlite:////"}:
        raise ValueError(
            "must be sqlite:///relative/path, sqlite:////absolute/path"
            " or postgresql://user:password@host:port/name"
        )
    return value


def without_password(database_url: str) -> str:
    """For people and log lines; what follows a `?` may hold a password too."""
    password = urlsplit(database_url).password
    return database_url.replace(f":{password}@", ":***@", 1).partition("?")[0]


def _secret_key(value: SecretStr) -> SecretStr:
    if re.fullmatch(r"(?!hex:).*|hex:[0-9A-Fa-f]{64}", value.get_secret_value(), re.DOTALL) is None:
        raise ValueError("after hex: must follow the 64 digits of the file that ends in .secret")
    return value


def _outputs_url(value: str) -> str:
    if not re.fullmatch(r"none|file:(///)?[^/?#\s][^?#]*|s3://[^/?#\s]+(/[^?#\s]*)?(\?[^#\s]*)?", value):
        raise ValueError("must be file:relative/path, file:///absolute/path, s3://bucket/prefix or none")
    return value


def _origin(value: str) -> str:
    parts = urlsplit(_http_url(value))
    if parts.path:
        raise ValueError("an origin has no path")
    return f"{parts.scheme}://{parts.netloc}".lower()


def _host_name(value: str) -> str:
    if not re.fullmatch(r"\*|(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?", value):
        raise ValueError("must be host names alone, without http:// and without a path")
    return value


def _header_text(value: SecretStr) -> SecretStr:
    """The key travels in a header."""
    if not re.fullmatch(r"[!-~]{1,500}", value.get_secret_value()):
        raise ValueError("must be 1 to 500 visible ASCII characters without spaces")
    return value


def _long_enough(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value().encode()) < MIN_JWT_SECRET_BYTES:
        raise ValueError(f"must have at least {MIN_JWT_SECRET_BYTES} bytes")
    return value


def _webhook_secret(value: SecretStr) -> SecretStr:
    prefix, _, encoded = value.get_secret_value().partition("_")
    try:
        size = len(base64.b64decode(encoded, validate=True))
    except binascii.Error:
        size = 0
    if prefix != "whsec" or size not in WEBHOOK_SECRET_BYTES:
        raise ValueError("must be whsec_ followed by the base64 of 24 to 64 bytes")
    return value


def _blank_is_none(value: object) -> object:
    return (value.strip() or None) if isinstance(value, str) else value


def _comma_separated(value: object) -> object:
    if not isinstance(value, str):
        return value
    parts = tuple(part.strip() for part in value.split(",") if part.strip())
    if value.strip() and not parts:
        raise ValueError("is set, but contains only commas")
    return parts


def _json_list(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not value.strip():
        return ()
    try:
        items = json.loads(value)
    except ValueError as exc:
        raise ValueError(f"is not valid JSON: {exc}") from None
    if not items:
        raise ValueError("is set, but lists nothing")
    return items


def _upper_case(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
OptionalUrl = Annotated[HttpUrl | None, BeforeValidator(_blank_is_none)]
OptionalText = Annotated[
    Annotated[str, Field(min_length=1, max_length=500)] | None, BeforeValidator(_blank_is_none)
]
OptionalSecret = Annotated[
    Annotated[SecretStr, Field(min_length=1, max_length=4000)] | None, BeforeValidator(_blank_is_none)
]
Hosts = Annotated[
    tuple[Annotated[str, AfterValidator(_host_name)], ...], NoDecode, BeforeValidator(_comma_separated)
]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_comma_separated)
]
ApiKey = Annotated[SecretStr, AfterValidator(_header_text)]
Secrets = Annotated[
    tuple[Annotated[SecretStr, Field(min_length=1, max_length=500)], ...],
    NoDecode,
    BeforeValidator(_comma_separated),
]
WebhookSecrets = Annotated[
    tuple[Annotated[SecretStr, AfterValidator(_webhook_secret)], ...],
    NoDecode,
    BeforeValidator(_comma_separated),
    Field(max_length=MAX_WEBHOOK_SECRETS),
]


class AccountSettings(BaseModel):
    """One RunningHub account. `max_concurrent_tasks` None: as many as RunningHub allows it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[\w.@-]{1,64}$")]
    api_key: ApiKey
    base_url: HttpUrl = "https://www.runninghub.cn"
    max_concurrent_tasks: Annotated[int, Field(ge=1, le=100_000)] | None = None
    weight: Annotated[float, Field(gt=0, le=1000)] = 1


class Settings(BaseSettings):
    """One frozen set of settings; `.env.example` explains each for people.

    Raises pydantic's ValidationError for an invalid value; `load_settings` makes one line of it.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    runninghub_api_key: Annotated[ApiKey | None, BeforeValidator(_blank_is_none)] = None
    runninghub_base_url: HttpUrl = "https://www.runninghub.cn"
    runninghub_accounts: Annotated[tuple[AccountSettings, ...], NoDecode, BeforeValidator(_json_list)] = ()
    runninghub_timeout_s: Seconds = 30
    database_url: Annotated[str, AfterValidator(checked_database_url)] = "sqlite:///tasks.db"
    secret_key: Annotated[
        Annotated[
            SecretStr,
            Field(min_length=MIN_SECRET_KEY_CHARS, max_length=500),
            AfterValidator(_secret_key),
        ]
        | None,
        BeforeValidator(_blank_is_none),
    ] = None
    access_tokens: Secrets = ()
    jwt_secret: Annotated[
        Annotated[SecretStr, AfterValidator(_long_enough)] | None, BeforeValidator(_blank_is_none)
    ] = None
    jwt_jwks_url: OptionalUrl = None
    jwt_issuer: OptionalText = None
    jwt_audience: OptionalText = None
    jwt_user_claim: Annotated[str, Field(min_length=1, max_length=100)] = "sub"
    user_max_active_tasks: Limit = 0
    user_max_pending_tasks: Limit = 0
    user_tasks_per_day: Limit = 0
    user_coins_per_month: Limit = 0
    allowed_hosts: Hosts = ()
    cors_origins: Origins = ()
    max_upload_mb: Annotated[int, Field(ge=1, le=10_000)] = 30
    max_concurrent_tasks: Annotated[int, Field(ge=0, le=100_000)] = 0
    max_pending_tasks: Annotated[int, Field(ge=0, le=10_000_000)] = 1000
    poll_interval_s: Seconds = 2
    poll_interval_max_s: Seconds = 15
    outputs_url: Annotated[str, AfterValidator(_outputs_url)] = "file:outputs"
    outputs_keep_days: Days = 30
    outputs_max_file_mb: Annotated[float, Field(gt=0, le=10_000_000)] = 2048
    outputs_min_free_mb: Annotated[float, Field(ge=0, le=1_000_000_000)] = 1024
    outputs_link_ttl_s: Annotated[float, Field(gt=0, le=31_536_000)] = 86_400
    aws_access_key_id: OptionalText = None
    aws_secret_access_key: OptionalSecret = None
    aws_session_token: OptionalSecret = None
    aws_region: OptionalText = None
    aws_endpoint_url: OptionalUrl = None
    tasks_keep_days: Days = 0
    webhook_url: Annotated[
        Annotated[str, AfterValidator(checked_webhook_url)] | None, BeforeValidator(_blank_is_none)
    ] = None
    webhook_secret: WebhookSecrets = ()
    webhook_allow_private: bool = False
    node_info_ttl_s: Annotated[float, Field(ge=0, le=86_400)] = 300
    progress: bool = False
    public_url: OptionalUrl = None
    rate_limit_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper_case)] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @field_validator("*", mode="before")
    @classmethod
    def _has_no_quotes(cls, value: object) -> object:
        """`docker run --env-file` and systemd keep them: a key in quotes would be refused by RunningHub."""
        if isinstance(value, str) and re.fullmatch(r"""\s*(".*"|'.*')\s*""", value, re.DOTALL):
            raise ValueError("the quotes around it are part of the value; remove them")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        names = [account.name for account in self.runninghub_accounts]
        if names and (self.runninghub_api_key or "runninghub_base_url" in self.model_fields_set):
            raise _conflict(
                "runninghub_accounts",
                "replaces RUNNINGHUB_API_KEY and RUNNINGHUB_BASE_URL; set one or the other",
            )
        if len(set(names)) < len(names):
            raise _conflict("runninghub_accounts", "two accounts have the same name")
        if self.poll_interval_s > self.poll_interval_max_s:
            raise _conflict(
                "poll_interval_s", f"must not exceed POLL_INTERVAL_MAX_S ({self.poll_interval_max_s:g})"
            )
        if self.uses_postgresql and self.secret_key is None:
            raise _conflict("secret_key", "is required with PostgreSQL")
        if (self.jwt_issuer or self.jwt_audience) and not (self.jwt_secret or self.jwt_jwks_url):
            raise _conflict(
                "jwt_secret", "or JWT_JWKS_URL is required where JWT_ISSUER or JWT_AUDIENCE is set"
            )
        if self.webhook_url and not self.webhook_secret:
            raise _conflict("webhook_secret", "is required where WEBHOOK_URL is set")
        return self

    @property
    def accounts(self) -> tuple[AccountSettings, ...]:
        """The accounts to submit with: those listed, or the one named `default`; none where no key is set."""
        if self.runninghub_accounts or self.runninghub_api_key is None:
            return self.runninghub_accounts
        account = AccountSettings(
            name=DEFAULT_ACCOUNT, api_key=self.runninghub_api_key, base_url=self.runninghub_base_url
        )
        return (account,)

    @property
    def needs_token(self) -> bool:
        """Whether requests must have a token; otherwise everybody on loopback is the operator."""
        return bool(self.access_tokens or self.jwt_secret or self.jwt_jwks_url)

    @property
    def user_limits(self) -> UserLimits:
        """The limits of users who have none of their own."""
        return UserLimits(
            max_active_tasks=self.user_max_active_tasks,
            max_pending_tasks=self.user_max_pending_tasks,
            tasks_per_day=self.user_tasks_per_day,
            coins_per_month=self.user_coins_per_month,
        )

    @property
    def uses_postgresql(self) -> bool:
        return self.database_url.startswith("postgresql://")

    @property
    def database_path(self) -> str:
        """The file behind an sqlite:// DATABASE_URL, as SQLAlchemy reads such addresses."""
        return self.database_url.removeprefix("sqlite:///")

    @property
    def database_location(self) -> str:
        """What `Database` opens: a file's path, or a server's address."""
        return self.database_url if self.uses_postgresql else self.database_path

    @property
    def database_url_without_password(self) -> str:
        return without_password(self.database_url)

    @property
    def upload_limit(self) -> int:
        """The largest file that may be uploaded, in bytes."""
        return self.max_upload_mb * 1024 * 1024

    @property
    def secret_values(self) -> list[str]:
        """Everything that no log line may contain."""
        secrets = [
            self.runninghub_api_key,
            *(account.api_key for account in self.runninghub_accounts),
            self.secret_key,
            *self.access_tokens,
            self.jwt_secret,
            *self.webhook_secret,
            self.aws_secret_access_key,
            self.aws_session_token,
        ]
        password = unquote(urlsplit(self.database_url).password or "")
        return [*(secret.get_secret_value() for secret in secrets if secret), *filter(None, [password])]


class ServerSettings(BaseSettings):
    """Where `python main.py` listens; uvicorn's own command has options for it."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True)

    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8000


def _conflict(field: str, fault: str) -> PydanticCustomError:
    """What is wrong between two settings, under the name of the one to change."""
    return PydanticCustomError("conflict", "{fault}", {"fault": fault, "field": field})


# For the one line about an invalid value, where the default is no example.
EXAMPLES = {
    "runninghub_api_key": "0123456789abcdef0123456789abcdef",
    "runninghub_accounts": '[{"name": "first", "api_key": "0123456789abcdef0123456789abcdef"}]',
    "secret_key": "any-32-or-more-random-characters-kept-secret",
    "access_tokens": "a-long-random-word",
    "jwt_secret": "any-32-or-more-random-bytes-shared-with-the-issuer",
    "jwt_jwks_url": "https://login.example.com/.well-known/jwks.json",
    "jwt_issuer": "https://login.example.com/",
    "jwt_audience": "runninghub-gateway",
    "allowed_hosts": "tasks.example.com",
    "cors_origins": "https://shop.example.com",
    "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "aws_region": "ap-guangzhou",
    "aws_endpoint_url": "https://cos.ap-guangzhou.myqcloud.com",
    "webhook_url": "https://shop.example.com/hooks/tasks",
    "webhook_secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "public_url": "https://tasks.example.com",
}
# uvicorn's own exit code for a failed start: with any other, `--workers` starts the process again for ever.
STARTUP_FAILURE = 3


def load_settings() -> Settings:
    """The settings; an invalid one ends the process after one line on stderr.

    Call it while the app is imported: inside the lifespan uvicorn would print a traceback.
    """
    return _load(Settings)


def load_server_settings() -> ServerSettings:
    """As `load_settings`."""
    return _load(ServerSettings)


def _load(settings_class: type[AnySettings]) -> AnySettings:
    try:
        return settings_class()
    except ValidationError as exc:
        problem = "; ".join(map(_invalid_setting, exc.errors()))
    except UnicodeDecodeError:
        problem = ".env cannot be read: it is not UTF-8 text"
    except OSError as exc:
        problem = f".env cannot be read: {exc.strerror}"
    print(problem, file=sys.stderr)
    raise SystemExit(STARTUP_FAILURE)


def _invalid_setting(error: ErrorDetails) -> str:
    field, *member = error["loc"] or (error["ctx"]["field"],)
    # In a list of objects, such as accounts: which member of which item.
    place = f"{'.'.join(map(str, member))}: " if member and isinstance(member[-1], str) else ""
    return invalid_setting_line(str(field), place + error["msg"].removeprefix("Value error, "))


def invalid_setting_line(field: str, fault: str) -> str:
    fields = Settings.model_fields | ServerSettings.model_fields
    name, example = field.upper(), EXAMPLES.get(field, fields[field].default)
    return f"{name} is wrong: {fault}. Example: {name}={example}"
