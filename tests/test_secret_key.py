"""The secret file beside the database, and what is derived from it."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from secret_key import SecretKey


@pytest.fixture
def database_path(tmp_path: Path) -> str:
    return str(tmp_path / "tasks.db")


@pytest.fixture
def secret(database_path: str) -> SecretKey:
    return SecretKey.next_to(database_path)


def signature_of(database_path: str) -> str:
    return SecretKey.next_to(database_path).signature("task-1")


def test_the_first_start_makes_a_file_that_only_the_owner_can_read(
    database_path: str, tmp_path: Path
) -> None:
    SecretKey.next_to(database_path)
    (file,) = tmp_path.iterdir()
    assert file.name == "tasks.db.secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(bytes.fromhex(file.read_text("ascii"))) == 32


def test_a_restart_reads_the_same_secret(secret: SecretKey, database_path: str) -> None:
    again = SecretKey.next_to(database_path)
    assert again.signature("task-1") == secret.signature("task-1")
    assert again.digest("a body") == secret.digest("a body")
    assert again.decrypt(secret.encrypt("password")) == "password"


def test_the_setting_can_be_the_key_of_a_file(secret: SecretKey, database_path: str) -> None:
    content = Path(f"{database_path}.secret").read_text("ascii")
    configured = SecretKey.of(f"hex:{content}", "not-read.db")
    assert configured.signature("task-1") == secret.signature("task-1")
    assert configured.decrypt(secret.encrypt("password")) == "password"


def test_any_other_text_as_the_setting_is_a_key_of_its_own(secret: SecretKey, database_path: str) -> None:
    content = Path(f"{database_path}.secret").read_text("ascii")
    assert SecretKey.of(content, database_path).signature("task-1") != secret.signature("task-1")


@pytest.mark.parametrize("content", ["", "00" * 31, "no hex at all"])
def test_a_setting_that_was_cut_off_is_no_key(content: str) -> None:
    with pytest.raises(ValueError, match=r"^SECRET_KEY is damaged: it does not hold 32 bytes in hex$"):
        SecretKey.of(f"hex:{content}", "not-read.db")


def test_workers_that_start_at_once_read_one_secret(database_path: str, tmp_path: Path) -> None:
    program = (
        "import sys; from secret_key import SecretKey;"
        " print(SecretKey.next_to(sys.argv[1]).signature('task-1'))"
    )
    command = [sys.executable, "-c", program, database_path]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    signatures = {worker.communicate()[0].strip() for worker in workers}
    assert signatures == {signature_of(database_path)}
    assert [file.name for file in tmp_path.iterdir()] == ["tasks.db.secret"]


def test_two_installations_have_nothing_in_common(secret: SecretKey, tmp_path: Path) -> None:
    other = SecretKey.next_to(str(tmp_path / "other.db"))
    assert other.signature("task-1") != secret.signature("task-1")
    assert other.digest("a body") != secret.digest("a body")
    assert other.decrypt(secret.encrypt("password")) is None


def test_each_use_has_a_key_of_its_own(secret: SecretKey) -> None:
    assert secret.signature("the same") != secret.digest("the same")


@pytest.mark.parametrize("content", ["", "\n", "00" * 31, "00" * 33, "no hex at all", "é" * 32])
def test_a_damaged_secret_is_refused_and_left_as_it_is(database_path: str, content: str) -> None:
    file = Path(f"{database_path}.secret")
    file.write_text(content, "utf-8")
    with pytest.raises(ValueError, match=r"."):
        SecretKey.next_to(database_path)
    assert file.read_text("utf-8") == content


def test_a_line_end_behind_the_secret_does_no_harm(secret: SecretKey, database_path: str) -> None:
    with Path(f"{database_path}.secret").open("a") as file:
        file.write("\n")
    assert signature_of(database_path) == secret.signature("task-1")


def test_a_directory_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        SecretKey.next_to(str(tmp_path / "nowhere" / "tasks.db"))


@pytest.mark.parametrize("forged", ["", "0" * 64, "é", "\x00"])
def test_only_a_tasks_own_signature_is_one(secret: SecretKey, forged: str) -> None:
    assert secret.is_signature("task-1", secret.signature("task-1"))
    assert not secret.is_signature("task-2", secret.signature("task-1"))
    assert not secret.is_signature("task-1", forged)
    assert not secret.is_signature("task-1", secret.signature("task-1").upper() + forged)


def test_a_sealed_text_is_not_readable_and_never_the_same_twice(secret: SecretKey) -> None:
    first, second = secret.encrypt("密码"), secret.encrypt("密码")
    assert first != second
    assert "密码".encode() not in first
    assert (secret.decrypt(first), secret.decrypt(second)) == ("密码", "密码")


@pytest.mark.parametrize("encrypted", [b"", b"no token", b"\xff" * 100])
def test_what_was_not_encrypted_here_is_none(secret: SecretKey, encrypted: bytes) -> None:
    assert secret.decrypt(encrypted) is None


def test_its_repr_tells_nothing(secret: SecretKey) -> None:
    assert repr(secret) == "SecretKey(***)"
