"""Settings from the environment and `.env`; a wrong one ends the start with one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

import config
from config import EXAMPLES, STARTUP_FAILURE, AccountSettings, Settings, invalid_setting_line, load_settings

SECRET = "s3cret-value"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def last_words(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that `load_settings` ends with."""
    with pytest.raises(SystemExit) as ended:
        load_settings()
    assert ended.value.code == STARTUP_FAILURE
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    return line


def test_every_setting_has_a_default() -> None:
    assert load_settings() == Settings()


def test_settings_are_read_from_the_dotenv_file_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("MAX_UPLOAD_MB=5\nPOLL_INTERVAL_S=3\nSOMETHING_ELSE=1\n", encoding="utf-8")
    monkeypatch.setenv("MAX_UPLOAD_MB", "7")
    settings = load_settings()
    assert (settings.max_upload_mb, settings.poll_interval_s) == (7, 3)


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_TOKENS", " one, two,,")
    monkeypatch.setenv("ALLOWED_HOSTS", "a.example , b.example")
    monkeypatch.setenv("CORS_ORIGINS", "https://Shop.example/,http://localhost:5173")
    settings = load_settings()
    assert [token.get_secret_value() for token in settings.access_tokens] == ["one", "two"]
    assert settings.allowed_hosts == ("a.example", "b.example")
    assert settings.cors_origins == ("https://shop.example", "http://localhost:5173")


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "RUNNINGHUB_BASE_URL",
            "www.runninghub.cn",
            "RUNNINGHUB_BASE_URL is wrong: must be an http:// or https:// address. "
            "Example: RUNNINGHUB_BASE_URL=https://www.runninghub.cn",
        ),
        (
            "DATABASE_URL",
            f"mysql://user:{SECRET}@db/tasks",
            "DATABASE_URL is wrong: must be sqlite:///relative/path, sqlite:////absolute/path or "
            "postgresql://user:password@host:port/name. Example: DATABASE_URL=sqlite:///tasks.db",
        ),
        (
            "ALLOWED_HOSTS",
            "http://tasks.example.com",
            "ALLOWED_HOSTS is wrong: must be host names alone, without http:// and without a path. "
            "Example: ALLOWED_HOSTS=tasks.example.com",
        ),
        (
            "ACCESS_TOKENS",
            ",",
            "ACCESS_TOKENS is wrong: is set, but contains only commas. "
            "Example: ACCESS_TOKENS=a-long-random-word",
        ),
        (
            "PUBLIC_URL",
            '"https://tasks.example.com"',
            "PUBLIC_URL is wrong: the quotes around it are part of the value; remove them. "
            "Example: PUBLIC_URL=https://tasks.example.com",
        ),
        (
            "POLL_INTERVAL_S",
            "20",
            "POLL_INTERVAL_S is wrong: must not exceed POLL_INTERVAL_MAX_S (15). Example: POLL_INTERVAL_S=2",
        ),
        (
            "DATABASE_URL",
            "postgresql://user:password@db/tasks",
            f"SECRET_KEY is wrong: is required with PostgreSQL. Example: SECRET_KEY={EXAMPLES['secret_key']}",
        ),
        (
            "WEBHOOK_URL",
            "https://shop.example.com/hooks",
            "WEBHOOK_SECRET is wrong: is required where WEBHOOK_URL is set. "
            f"Example: WEBHOOK_SECRET={EXAMPLES['webhook_secret']}",
        ),
        (
            "JWT_ISSUER",
            "https://login.example.com",
            "JWT_SECRET is wrong: or JWT_JWKS_URL is required where JWT_ISSUER or JWT_AUDIENCE is set. "
            f"Example: JWT_SECRET={EXAMPLES['jwt_secret']}",
        ),
        (
            "RUNNINGHUB_ACCOUNTS",
            f'[{{"name": "a", "api_key": "{SECRET}"}}, {{"name": "b", "api_key": "{SECRET}", "wieght": 2}}]',
            "RUNNINGHUB_ACCOUNTS is wrong: 1.wieght: Extra inputs are not permitted. "
            f"Example: RUNNINGHUB_ACCOUNTS={EXAMPLES['runninghub_accounts']}",
        ),
        (
            "RUNNINGHUB_ACCOUNTS",
            f'[{{"name": "a", "api_key": "{SECRET}"}}, {{"name": "a", "api_key": "{SECRET}"}}]',
            "RUNNINGHUB_ACCOUNTS is wrong: two accounts have the same name. "
            f"Example: RUNNINGHUB_ACCOUNTS={EXAMPLES['runninghub_accounts']}",
        ),
        (
            "RUNNINGHUB_ACCOUNTS",
            f'[{{"name": "a", "api_key": "{SECRET}"',
            "RUNNINGHUB_ACCOUNTS is wrong: is not valid JSON: Expecting ',' delimiter: "
            f"line 1 column 41 (char 40). Example: RUNNINGHUB_ACCOUNTS={EXAMPLES['runninghub_accounts']}",
        ),
        (
            "POLL_INTERVAL_S",
            "often",
            "POLL_INTERVAL_S is wrong: Input should be a valid number, unable to parse string as a number. "
            "Example: POLL_INTERVAL_S=2",
        ),
        (
            "CORS_ORIGINS",
            "*",
            "CORS_ORIGINS is wrong: must be an http:// or https:// address. "
            "Example: CORS_ORIGINS=https://shop.example.com",
        ),
        (
            "LOG_LEVEL",
            "loud",
            "LOG_LEVEL is wrong: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'. "
            "Example: LOG_LEVEL=INFO",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_fault_and_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, line: str
) -> None:
    monkeypatch.setenv(name, value)
    assert last_words(capsys) == line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUNNINGHUB_BASE_URL", ""),
        ("RUNNINGHUB_BASE_URL", "http://[::1"),
        ("RUNNINGHUB_BASE_URL", "https://user:pw@www.runninghub.cn"),
        ("RUNNINGHUB_TIMEOUT_S", "0"),
        ("RUNNINGHUB_TIMEOUT_S", "nan"),
        ("DATABASE_URL", "sqlite:///"),
        ("DATABASE_URL", "tasks.db"),
        ("DATABASE_URL", "postgresql:///tasks"),
        ("DATABASE_URL", "postgresql://db"),
        ("SECRET_KEY", "x" * 31),
        ("SECRET_KEY", "hex:" + "ab" * 31),
        ("SECRET_KEY", "hex:" + "xy" * 32),
        ("JWT_SECRET", "x" * 31),
        ("ACCESS_TOKENS", "x" * 501),
        ("CORS_ORIGINS", "https://shop.example/path"),
        ("MAX_UPLOAD_MB", "0"),
        ("MAX_UPLOAD_MB", "1.5"),
        ("MAX_CONCURRENT_TASKS", "-1"),
        ("MAX_PENDING_TASKS", "many"),
        ("POLL_INTERVAL_S", "inf"),
        ("POLL_INTERVAL_MAX_S", "-1"),
        ("NODE_INFO_TTL_S", "-1"),
        ("PUBLIC_URL", "ftp://tasks.example"),
        ("RATE_LIMIT_PER_MINUTE", "-1"),
        ("LOG_LEVEL", ""),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_setting_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    line = last_words(capsys)
    assert line.startswith(f"{name} is wrong: ")
    assert f". Example: {name}=" in line


NEEDED_WITH = {"WEBHOOK_URL": "WEBHOOK_SECRET", "JWT_ISSUER": "JWT_SECRET", "JWT_AUDIENCE": "JWT_SECRET"}


@pytest.mark.parametrize("name", [field.upper() for field in Settings.model_fields])
def test_the_example_of_every_setting_is_right(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    line = invalid_setting_line(name.lower(), "bad")
    monkeypatch.setenv(name, line.partition(f"Example: {name}=")[2])
    if name in NEEDED_WITH:
        monkeypatch.setenv(NEEDED_WITH[name], EXAMPLES[NEEDED_WITH[name].lower()])
    load_settings()


def test_one_key_is_one_account_named_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().accounts == ()
    monkeypatch.setenv("RUNNINGHUB_API_KEY", "k1")
    monkeypatch.setenv("RUNNINGHUB_BASE_URL", "https://www.runninghub.ai/")
    (account,) = load_settings().accounts
    assert (account.name, account.api_key.get_secret_value()) == ("default", "k1")
    assert (account.base_url, account.max_concurrent_tasks) == ("https://www.runninghub.ai", None)


def test_several_accounts_are_a_json_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "RUNNINGHUB_ACCOUNTS",
        """[{"name": "cn", "api_key": "k1", "max_concurrent_tasks": 3, "weight": 2},
            {"name": "ai", "api_key": "k2", "base_url": "https://www.runninghub.ai"}]""",
    )
    assert load_settings().accounts == (
        AccountSettings(name="cn", api_key=SecretStr("k1"), max_concurrent_tasks=3, weight=2),
        AccountSettings(name="ai", api_key=SecretStr("k2"), base_url="https://www.runninghub.ai"),
    )


@pytest.mark.parametrize(
    ("name", "value"), [("RUNNINGHUB_API_KEY", "k2"), ("RUNNINGHUB_BASE_URL", "https://www.runninghub.ai")]
)
def test_several_accounts_and_a_single_one_exclude_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv("RUNNINGHUB_ACCOUNTS", EXAMPLES["runninghub_accounts"])
    monkeypatch.setenv(name, value)
    assert last_words(capsys) == (
        "RUNNINGHUB_ACCOUNTS is wrong: replaces RUNNINGHUB_API_KEY and RUNNINGHUB_BASE_URL; set one or the "
        f"other. Example: RUNNINGHUB_ACCOUNTS={EXAMPLES['runninghub_accounts']}"
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////data/tasks.db", "sqlite:////data/tasks.db"),
        ("postgresql://db/tasks", "postgresql://db/tasks"),
        (f"postgresql://user:{SECRET}@db:5432/tasks", "postgresql://user:***@db:5432/tasks"),
        (f"postgresql://user@db/tasks?password={SECRET}", "postgresql://user@db/tasks"),
    ],
)
def test_a_database_url_is_shown_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str, shown: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("SECRET_KEY", EXAMPLES["secret_key"])
    assert load_settings().database_url_without_password == shown


@pytest.mark.parametrize(
    "password", [f"{SECRET}/more", f"{SECRET}#more", f"{SECRET}]more", f"{SECRET}:more/"]
)
def test_a_password_that_is_not_encoded_is_refused_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], password: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://user:{password}@db/tasks")
    line = last_words(capsys)
    assert line.startswith("DATABASE_URL is wrong: must be postgresql://user:password@host:port/name")
    assert SECRET not in line


def test_a_blank_value_of_an_optional_setting_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET_KEY", "JWT_SECRET", "WEBHOOK_URL", "WEBHOOK_SECRET", "RUNNINGHUB_ACCOUNTS"):
        monkeypatch.setenv(name, "")
    assert load_settings() == Settings()


def test_every_secret_is_listed_for_masking(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNNINGHUB_ACCOUNTS", "SECRET_KEY", "ACCESS_TOKENS", "JWT_SECRET", "WEBHOOK_SECRET"):
        monkeypatch.setenv(name, EXAMPLES[name.lower()])
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:pass%40word@db/tasks")
    assert load_settings().secret_values == [
        EXAMPLES["runninghub_api_key"],
        EXAMPLES["secret_key"],
        EXAMPLES["access_tokens"],
        EXAMPLES["jwt_secret"],
        EXAMPLES["webhook_secret"],
        "pass@word",
    ]


def test_several_wrong_settings_share_the_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAX_UPLOAD_MB", "0")
    monkeypatch.setenv("LOG_FORMAT", "xml")
    assert last_words(capsys) == (
        "MAX_UPLOAD_MB is wrong: Input should be greater than or equal to 1. Example: MAX_UPLOAD_MB=30; "
        "LOG_FORMAT is wrong: Input should be 'text' or 'json'. Example: LOG_FORMAT=text"
    )


def test_a_wrong_secret_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ACCESS_TOKENS", SECRET * 50)
    assert SECRET not in last_words(capsys)


def test_a_dotenv_file_that_is_no_text_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".env").write_bytes(b"RUNNINGHUB_API_KEY=\xff\xfe")
    assert last_words(capsys) == ".env cannot be read: it is not UTF-8 text"


def test_a_dotenv_file_that_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").touch(mode=0o000)
    # Root may read every file unless it gives up the capabilities that allow this.
    as_user = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    ended = subprocess.run(
        [*as_user, sys.executable, "-c", "from config import load_settings; load_settings()"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(config.__file__).parent)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.stderr == ".env cannot be read: Permission denied\n"
    assert ended.returncode == STARTUP_FAILURE


def test_uvicorn_ends_with_the_line_alone(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text("from config import load_settings\nload_settings()\n", encoding="utf-8")
    project = str(Path(config.__file__).parent)
    ended = subprocess.run(
        [sys.executable, "-m", "uvicorn", "toy:app", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": project, "LOG_FORMAT": "xml"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.stderr == "LOG_FORMAT is wrong: Input should be 'text' or 'json'. Example: LOG_FORMAT=text\n"
    assert ended.returncode == STARTUP_FAILURE
