"""Captures what the service's own log handler writes."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from config import Settings
from logs import HANDLER_NAME, SecretMask, configure_logging, request_id

KEY = "0123456789abcdef0123456789abcdef"
TOKEN = 'to"ken/ü'
TOUCHED_LOGGERS = (None, "access", "uvicorn", "uvicorn.error", "uvicorn.access", "httpx", "aiosqlite")


def settings(**values: Any) -> Settings:
    return Settings(**{"_env_file": None, "runninghub_api_key": KEY, "access_tokens": TOKEN} | values)


class Log:
    """What the service's own handler wrote."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.mask = SecretMask()

    def configure(self, **values: Any) -> None:
        self.mask = configure_logging(settings(**values))
        self.attach()

    def attach(self) -> None:
        """Capture what the configured handler writes from now on."""
        (handler,) = (found for found in logging.getLogger().handlers if found.name == HANDLER_NAME)
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(self.stream)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def log() -> Iterator[Log]:
    loggers = [logging.getLogger(name) for name in TOUCHED_LOGGERS]
    before = [
        (logger, logger.level, logger.propagate, logger.disabled, logger.handlers) for logger in loggers
    ]
    request_id.set(None)
    yield Log()
    request_id.set(None)
    for logger, level, propagate, disabled, handlers in before:
        logger.setLevel(level)
        logger.propagate, logger.disabled, logger.handlers = propagate, disabled, handlers
