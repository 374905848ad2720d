"""The service's settings: every default, limit and URL, read once from the environment and `.env`."""

import re
import sys
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=86_400)]


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    if parts.query or parts.fragment or parts.username or parts.password or re.search(r"\s", value):
        raise ValueError("must be a plain address without user, query, fragment or spaces")
    if parts.port is not None and not 0 < parts.port < 65_536:
        raise ValueError("the port must lie between 1 and 65535")
    return value.rstrip("/")


def _sqlite_url(value: str) -> str:
    if not value.startswith("sqlite:///") or value in {"sqlite:///", "sqlite:////"}:
        raise ValueError("must be sqlite:///relative/path or sqlite:////absolute/path")
    return value


def _origin(value: str) -> str:
    parts = urlsplit(_http_url(value))
    if parts.path:
        raise ValueError("an origin has no path")
    return f"{parts.scheme}://{parts.netloc}".lower()


def _header_text(value: SecretStr) -> SecretStr:
    """The key travels in a header."""
    if not re.fullmatch(r"[!-~]{1,500}", value.get_secret_value()):
        raise ValueError("must be 1 to 500 visible ASCII characters without spaces")
    return value


def _blank_is_none(value: object) -> object:
    return (value.strip() or None) if isinstance(value, str) else value


def _comma_separated(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_comma_separated)
]
ApiKey = Annotated[SecretStr, AfterValidator(_header_text)]
Secrets = Annotated[
    tuple[Annotated[SecretStr, Field(min_length=1, max_length=500)], ...],
    NoDecode,
    BeforeValidator(_comma_separated),
]


class Settings(BaseSettings):
    """One frozen set of settings; `.env.example` explains each for people.

    Raises pydantic's ValidationError for a wrong value; `load_settings` makes one line of it.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    runninghub_api_key: Annotated[ApiKey | None, BeforeValidator(_blank_is_none)] = None
    runninghub_base_url: HttpUrl = "https://www.runninghub.cn"
    runninghub_timeout_s: Seconds = 30
    database_url: Annotated[str, AfterValidator(_sqlite_url)] = "sqlite:///tasks.db"
    access_tokens: Secrets = ()
    allowed_hosts: Names = ()
    cors_origins: Origins = ()
    max_upload_mb: Annotated[int, Field(ge=1, le=10_000)] = 30
    max_concurrent_tasks: Annotated[int, Field(ge=0, le=100_000)] = 0
    max_pending_tasks: Annotated[int, Field(ge=0, le=10_000_000)] = 1000
    poll_interval_s: Seconds = 2
    poll_interval_max_s: Seconds = 15
    node_info_ttl_s: Annotated[float, Field(ge=0, le=86_400)] = 300
    public_url: Annotated[HttpUrl | None, BeforeValidator(_blank_is_none)] = None
    rate_limit_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
    ] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @property
    def database_path(self) -> str:
        """The file behind DATABASE_URL, as SQLAlchemy reads such addresses."""
        return self.database_url.removeprefix("sqlite:///")

    @property
    def upload_limit(self) -> int:
        """The largest file that may be uploaded, in bytes."""
        return self.max_upload_mb * 1024 * 1024


# For the one line about a wrong value, where the default is no example.
EXAMPLES = {
    "runninghub_api_key": "0123456789abcdef0123456789abcdef",
    "access_tokens": "a-long-random-word",
    "allowed_hosts": "tasks.example.com",
    "cors_origins": "https://shop.example.com",
    "public_url": "https://tasks.example.com",
}
# uvicorn's own exit code for a failed start: with any other, `--workers` starts the process again for ever.
STARTUP_FAILURE = 3


def load_settings() -> Settings:
    """The settings; a wrong one ends the process after one line on stderr.

    Call it while the app is imported: inside the lifespan uvicorn would print a traceback.
    """
    try:
        return Settings()
    except ValidationError as exc:
        problem = "; ".join(_wrong_setting(str(error["loc"][0]), error["msg"]) for error in exc.errors())
    except UnicodeDecodeError:
        problem = ".env cannot be read: it is not UTF-8 text"
    except OSError as exc:
        problem = f".env cannot be read: {exc.strerror}"
    print(problem, file=sys.stderr)
    raise SystemExit(STARTUP_FAILURE)


def _wrong_setting(field: str, fault: str) -> str:
    name, example = field.upper(), EXAMPLES.get(field, Settings.model_fields[field].default)
    return f"{name} is wrong: {fault.removeprefix('Value error, ')}. Example: {name}={example}"
