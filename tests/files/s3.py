"""An S3 server process with one bucket, for the tests of what is kept there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from files.s3_store import S3Location
from tests.http_client import http_client
from tests.processes import Running, start_s3_server

BUCKET = "results"


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is in the bucket, read past our own code."""

    server: Running

    @property
    def location(self) -> S3Location:
        return S3Location(
            BUCKET,
            prefix="kept/here",
            endpoint=self.server.url,
            region="us-east-1",
            access_key_id="an-access-key",
            secret_access_key="a-secret-key",
        )

    def create(self) -> None:
        http_client.put(f"{self.server.url}/{BUCKET}").raise_for_status()

    def get(self, path: str) -> httpx.Response:
        return http_client.get(f"{self.server.url}/{BUCKET}{path}")

    @property
    def has_unfinished_uploads(self) -> bool:
        return "<Upload>" in self.get("?uploads").text

    @property
    def is_empty(self) -> bool:
        """Neither an object nor a part of an unfinished one."""
        return "<Key>" not in self.get("").text and not self.has_unfinished_uploads


@contextmanager
def s3_bucket(*, port: int = 0) -> Iterator[Bucket]:
    with start_s3_server(port=port) as server:
        bucket = Bucket(server)
        bucket.create()
        yield bucket
