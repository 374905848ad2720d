"""The installation's secret key: signs addresses, encrypts passwords, and tells API keys apart."""

import hashlib
import hmac
import os
from base64 import urlsafe_b64encode
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

SECRET_BYTES = 32
HEX = "hex:"


class SecretKey:
    """32 random bytes. Each use has a key of its own, derived from them."""

    def __init__(self, secret: bytes) -> None:
        self._webhook_key = self._derive(secret, b"webhook")
        self._digest_key = self._derive(secret, b"request digest")
        self._output_link_key = self._derive(secret, b"output link")
        self._socket_key = self._derive(secret, b"progress socket")
        self._fingerprint_key = self._derive(secret, b"api key fingerprint")
        self._fernet = Fernet(urlsafe_b64encode(self._derive(secret, b"seal")))

    def __repr__(self) -> str:
        return "SecretKey(***)"

    @classmethod
    def of(cls, configured: str | None, database_path: str) -> "SecretKey":
        """The setting SECRET_KEY, else the key next to the database. Raises OSError, ValueError.

        `hex:` and the content of such a file is the same key as the file: it outlives a move to PostgreSQL.
        """
        if configured is None:
            return cls.next_to(database_path)
        if configured.startswith(HEX):
            return cls(_bytes(configured.removeprefix(HEX), "SECRET_KEY"))
        return cls(hashlib.sha256(configured.encode()).digest())

    @classmethod
    def next_to(cls, database_path: str) -> "SecretKey":
        """Read `<database>.secret`, or make it (mode 600) at the first start. Raises OSError, ValueError."""
        path = Path(f"{database_path}.secret")
        if not path.exists():
            _create(path)
        return cls(_bytes(path.read_text("ascii").strip(), path.name))

    @staticmethod
    def _derive(secret: bytes, purpose: bytes) -> bytes:
        return hmac.digest(secret, purpose, hashlib.sha256)

    def signature(self, task_id: str) -> str:
        """The last part of a task's webhook address, in hex."""
        return hmac.new(self._webhook_key, task_id.encode(), hashlib.sha256).hexdigest()

    def is_signature(self, task_id: str, signature: str) -> bool:
        return hmac.compare_digest(self.signature(task_id).encode(), signature.encode())

    def output_signature(self, path: str, expires: int) -> str:
        """The part of an output's link that nobody else can make."""
        return hmac.new(self._output_link_key, f"{path} {expires}".encode(), hashlib.sha256).hexdigest()

    def is_output_signature(self, path: str, expires: int, signature: str) -> bool:
        return hmac.compare_digest(self.output_signature(path, expires).encode(), signature.encode())

    def socket_signature(self, task_id: str, expires: int) -> str:
        """The part of the address of a task's WebSocket that nobody else can make."""
        return hmac.new(self._socket_key, f"{task_id} {expires}".encode(), hashlib.sha256).hexdigest()

    def is_socket_signature(self, task_id: str, expires: int, signature: str) -> bool:
        return hmac.compare_digest(self.socket_signature(task_id, expires).encode(), signature.encode())

    def digest(self, text: str) -> str:
        """A fingerprint that tells nothing about the text to whom only reads the database."""
        return hmac.new(self._digest_key, text.encode(), hashlib.sha256).hexdigest()

    def fingerprint(self, api_key: str) -> str:
        """Tells API keys apart in the database, without any way back to the key."""
        return hmac.new(self._fingerprint_key, api_key.encode(), hashlib.sha256).hexdigest()[:32]

    def encrypt(self, text: str) -> bytes:
        return self._fernet.encrypt(text.encode())

    def decrypt(self, encrypted: bytes) -> str | None:
        """None: encrypted with another secret key."""
        try:
            return self._fernet.decrypt(encrypted).decode()
        except InvalidToken:
            return None


def _bytes(text: str, name: str) -> bytes:
    """Raises ValueError, without the text."""
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:  # cut off by a crash: keys derived from nothing are no secret
        raise ValueError(f"{name} is damaged: it does not hold {SECRET_BYTES} bytes in hex")
    return secret


def _create(path: Path) -> None:
    """Written whole and linked into place, so that of two workers that start at once both read one secret."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(os.urandom(SECRET_BYTES).hex(), "ascii")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
