"""Fetching result files: from where, what is sent, and every way in which a transfer goes wrong."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from files.result_download import (
    MAX_REDIRECTS,
    DownloadFailed,
    ResultDownloader,
    ResultNotAllowed,
    ResultTooLarge,
)
from tests.files.file_host import FileHost, file_host, response

pytestmark = pytest.mark.anyio

MB = 2**20


@pytest.fixture
async def host() -> AsyncIterator[FileHost]:
    async with file_host() as host:
        yield host


def redirect(target: str) -> bytes:
    return response(b"", f"Location: {target}", status="302 Found")


@pytest.fixture
async def downloader() -> AsyncIterator[ResultDownloader]:
    """One that trusts the machine it runs on, as when the simulator is RunningHub."""
    async with ResultDownloader({"127.0.0.1"}) as downloader:
        yield downloader


async def fetch(downloader: ResultDownloader, url: str, *, max_bytes: int = MB) -> bytes:
    download = await downloader.open(url)
    return b"".join([chunk async for chunk in download.chunks(max_bytes)])


# What is fetched


async def test_a_file_is_fetched_with_its_media_type_and_length(
    downloader: ResultDownloader, host: FileHost
) -> None:
    download = await downloader.open(host.url())
    assert (download.status, download.media_type, download.content_length) == (200, "image/png", 5)
    assert b"".join([chunk async for chunk in download.chunks()]) == b"a cat"


async def test_the_request_contains_no_key_and_the_link_as_it_was_signed(
    downloader: ResultDownloader, host: FileHost
) -> None:
    await fetch(downloader, host.url())
    line, *headers = host.heads[0].split("\r\n")
    assert line == "GET /x.png?sign=a%2Fb HTTP/1.1"
    assert sorted(headers) == [
        "",
        "",
        "Accept-Encoding: identity",
        "Accept: */*",
        f"Host: 127.0.0.1:{host.port}",
        "User-Agent: runninghub-gateway",
    ]


async def test_a_link_with_characters_that_need_encoding_is_encoded(
    downloader: ResultDownloader, host: FileHost
) -> None:
    await fetch(downloader, host.url("/输出 1.png"))
    assert host.heads[0].startswith("GET /%E8%BE%93%E5%87%BA%201.png HTTP/1.1\r\n")


async def test_a_range_is_asked_for_and_described(downloader: ResultDownloader, host: FileHost) -> None:
    host.respond = lambda _: response(b"ca", "Content-Range: bytes 2-3/5", status="206 Partial Content")
    download = await downloader.open(host.url(), byte_range="bytes=2-3")
    assert "Range: bytes=2-3\r\n" in host.heads[0]
    assert (download.status, download.content_range) == (206, "bytes 2-3/5")
    download.close()


async def test_a_range_that_cannot_be_satisfied_is_no_failure(
    downloader: ResultDownloader, host: FileHost
) -> None:
    host.respond = lambda _: response(b"", "Content-Range: bytes */5", status="416 Range Not Satisfiable")
    download = await downloader.open(host.url(), byte_range="bytes=9-")
    assert (download.status, download.content_range) == (416, "bytes */5")
    download.close()


# What is not


@asynccontextmanager
async def distrusting() -> AsyncIterator[ResultDownloader]:
    async with ResultDownloader({"www.runninghub.cn"}) as downloader:
        yield downloader


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0", "[::ffff:127.0.0.1]"]
)
async def test_this_machine_is_not_fetched_from_however_it_is_spelt(host: FileHost, name: str) -> None:
    async with distrusting() as downloader:
        with pytest.raises(ResultNotAllowed):
            await downloader.open(host.url(host=name))
    assert host.heads == []


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "192.168.1.1", "[fe80::1]", "[fd00::1]"])
async def test_private_networks_are_not_fetched_from(address: str) -> None:
    async with distrusting() as downloader:
        with pytest.raises(ResultNotAllowed):
            await downloader.open(f"http://{address}/latest/meta-data/")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "//127.0.0.1/x",
        "x.png",
        "",
        "http://",
        "http://user:password@127.0.0.1/x",
        "http://[::1/x",
        "http://127.0.0.1:99999/x",
    ],
)
async def test_only_plain_web_addresses_are_fetched(downloader: ResultDownloader, url: str) -> None:
    with pytest.raises(ResultNotAllowed):
        await downloader.open(url)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_another_port_of_the_accounts_host_is_trusted_by_any_name_of_this_machine(
    host: FileHost, name: str
) -> None:
    async with ResultDownloader({"localhost"}) as downloader:
        assert await fetch(downloader, host.url(host=name)) == b"a cat"


# Redirects


async def test_a_redirect_on_the_trusted_host_is_followed(
    downloader: ResultDownloader, host: FileHost
) -> None:
    host.respond = lambda head: redirect("/y.png") if "/x.png" in head else response(b"moved")
    assert await fetch(downloader, host.url()) == b"moved"


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "file:///etc/passwd", "gopher://x/"],
)
async def test_a_redirect_to_another_kind_of_address_is_refused(
    downloader: ResultDownloader, host: FileHost, target: str
) -> None:
    host.respond = lambda _: redirect(target)
    with pytest.raises(ResultNotAllowed):
        await downloader.open(host.url())


async def test_redirects_end_at_some_point(downloader: ResultDownloader, host: FileHost) -> None:
    host.respond = lambda _: redirect("/x.png")
    with pytest.raises(DownloadFailed, match="redirects too often"):
        await downloader.open(host.url())
    assert len(host.heads) == MAX_REDIRECTS + 1


# Limits and failures


async def test_a_file_over_the_limit_is_refused_by_its_length(
    downloader: ResultDownloader, host: FileHost
) -> None:
    host.respond = lambda _: response(b"", length=MB + 1)
    with pytest.raises(ResultTooLarge):
        await fetch(downloader, host.url())


async def test_a_file_over_the_limit_is_refused_while_it_arrives(
    downloader: ResultDownloader, host: FileHost
) -> None:
    host.respond = lambda _: b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(MB + 1)
    with pytest.raises(ResultTooLarge):
        await fetch(downloader, host.url())


async def test_a_file_of_exactly_the_limit_is_fetched(downloader: ResultDownloader, host: FileHost) -> None:
    host.respond = lambda _: response(bytes(MB))
    assert await fetch(downloader, host.url()) == bytes(MB)


@pytest.mark.parametrize(
    "sent",
    [
        response(b"half", length=100),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
async def test_a_file_that_is_cut_off_is_a_failure(
    downloader: ResultDownloader, host: FileHost, sent: bytes
) -> None:
    host.respond = lambda _: sent
    with pytest.raises(DownloadFailed, match="the transfer broke off"):
        await fetch(downloader, host.url())


async def test_a_transfer_that_stalls_is_a_failure(host: FileHost) -> None:
    host.respond = lambda _: response(b"half", length=100)
    host.is_slow = True
    async with ResultDownloader({"127.0.0.1"}, stalled_s=0.05) as downloader:
        with pytest.raises(DownloadFailed, match="took too long"):
            await fetch(downloader, host.url())


async def test_a_transfer_that_takes_too_long_in_total_is_a_failure(host: FileHost) -> None:
    host.respond = lambda _: b""
    host.is_slow = True
    async with ResultDownloader({"127.0.0.1"}, total_s=0.05) as downloader:
        with pytest.raises(DownloadFailed, match="took too long"):
            await downloader.open(host.url())


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "500 Oops", "304 Not Modified"])
async def test_any_other_status_is_a_failure_that_names_it(
    downloader: ResultDownloader, host: FileHost, status: str
) -> None:
    host.respond = lambda _: response(b"", status=status)
    with pytest.raises(DownloadFailed) as raised:
        await downloader.open(host.url())
    assert raised.value.status == int(status[:3])


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip"])
async def test_a_compressed_file_is_not_what_was_asked_for(
    downloader: ResultDownloader, host: FileHost, encoding: str
) -> None:
    host.respond = lambda _: response(b"compressed", f"Content-Encoding: {encoding}")
    with pytest.raises(DownloadFailed, match="compressed"):
        await downloader.open(host.url())


async def test_what_is_no_http_is_a_failure_and_the_link_stays_out_of_its_text(
    downloader: ResultDownloader, host: FileHost
) -> None:
    host.respond = lambda _: b"220 mail.example.com\r\n"
    with pytest.raises(DownloadFailed) as raised:
        await downloader.open(host.url())
    assert "sign" not in str(raised.value)
    assert raised.value.__cause__ is None


async def test_a_host_that_is_down_is_a_failure(downloader: ResultDownloader) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DownloadFailed, match="could not be reached"):
            await downloader.open(f"http://127.0.0.1:{unused.getsockname()[1]}/")
