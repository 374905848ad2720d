"""Settings that are wrong, each of them."""

from pathlib import Path

import pytest

from config import STARTUP_FAILURE, Settings, load_settings

WRONG_SETTINGS: dict[str, tuple[str, ...]] = {
    "RUNNINGHUB_API_KEY": ("with space", "\u00e9", "k" * 501),
    "RUNNINGHUB_BASE_URL": (
        "",
        "www.runninghub.cn",
        "ftp://h",
        "http://",
        "http://h:0",
        "http://h:x",
        "http://a@b",
    ),
    "RUNNINGHUB_ACCOUNTS": (
        "{}",
        "[]",
        "[",
        '[{"name": "a"}]',
        '[{"name": "a", "api_key": "k", "apikey": "k"}]',
    ),
    "RUNNINGHUB_TIMEOUT_S": ("", "0", "-1", "nan", "inf", "soon", "1e9"),
    "DATABASE_URL": (
        "",
        "tasks.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://tasks.db",
        "postgres://u:p@h/d",
        "postgresql://h",
    ),
    "SECRET_KEY": ("short", "k" * 501),
    "ACCESS_TOKENS": ("t" * 501, ",", '"quoted-token-of-some-length"'),
    "JWT_SECRET": ("j" * 31,),
    "JWT_JWKS_URL": ("jwks.json", "ftp://login.example/jwks.json"),
    "JWT_ISSUER": ("i" * 501,),
    "JWT_AUDIENCE": ("a" * 501,),
    "JWT_USER_CLAIM": ("", "c" * 101),
    **dict.fromkeys(
        ("USER_MAX_ACTIVE_TASKS", "USER_MAX_PENDING_TASKS", "USER_TASKS_PER_DAY", "USER_COINS_PER_MONTH"),
        ("", "-1", "1.5", "few"),
    ),
    "ALLOWED_HOSTS": (",", "http://tasks.example", "tasks.example/", "*.example", "a b"),
    "CORS_ORIGINS": ("*", "null", "https://shop.example/path", "shop.example"),
    "MAX_UPLOAD_MB": ("", "0", "-1", "1.5", "10001", "many"),
    "MAX_CONCURRENT_TASKS": ("", "-1", "1.5", "100001"),
    "MAX_PENDING_TASKS": ("", "-1", "many", "10000001"),
    "POLL_INTERVAL_S": ("", "0", "-1", "nan", "inf", "often", "16"),
    "POLL_INTERVAL_MAX_S": ("", "0", "-1", "nan", "86401"),
    "OUTPUTS_URL": ("", "outputs", "file:", "s3://", "ftp://host/path"),
    "OUTPUTS_KEEP_DAYS": ("", "-1", "nan", "for ever"),
    "OUTPUTS_MAX_FILE_MB": ("", "0", "nan"),
    "OUTPUTS_MIN_FREE_MB": ("", "-1", "nan"),
    "OUTPUTS_LINK_TTL_S": ("", "0", "nan", "inf"),
    "AWS_ACCESS_KEY_ID": ("a" * 501,),
    "AWS_SECRET_ACCESS_KEY": ("s" * 4001,),
    "AWS_SESSION_TOKEN": ("t" * 4001,),
    "AWS_REGION": ("r" * 501,),
    "AWS_ENDPOINT_URL": ("cos.example", "ftp://cos.example"),
    "TASKS_KEEP_DAYS": ("", "-1", "nan"),
    "WEBHOOK_URL": (
        "shop.example",
        "ftp://shop.example",
        "https://u:p@shop.example",
        "https://shop.example?a b",
    ),
    "WEBHOOK_SECRET": (",", "whsec_", "whsec_c2hvcnQ=", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
    "WEBHOOK_ALLOW_PRIVATE": ("", "maybe"),
    "PROGRESS": ("", "maybe"),
    "NODE_INFO_TTL_S": ("", "-1", "nan", "inf"),
    "PUBLIC_URL": ("tasks.example", "ftp://tasks.example", "https://tasks.example?a=b", "https://a b"),
    "RATE_LIMIT_PER_MINUTE": ("", "-1", "1.5", "1000001"),
    "LOG_LEVEL": ("", "loud", "TRACE"),
    "LOG_FORMAT": ("", "xml", "JSON"),
}


def test_the_wrong_settings_name_every_setting() -> None:
    assert WRONG_SETTINGS.keys() == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG_SETTINGS.items() for value in values]
)
def test_a_wrong_setting_ends_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        load_settings()
    assert end.value.code == STARTUP_FAILURE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name} is wrong: ")
