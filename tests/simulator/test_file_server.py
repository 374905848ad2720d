"""Result files as an object store serves them."""

import itertools
import time

import httpx
import pytest

from simulator import apps
from simulator.app import create_app
from simulator.switches import Switches
from tests.simulator.calls import Clock, Json, client_of, envelope, poll, start, switch

pytestmark = pytest.mark.anyio
MEGABYTE = 1024 * 1024


async def links_of(client: httpx.AsyncClient, clock: Clock, webapp_id: str = apps.VIDEO) -> list[str]:
    task_id = await start(client, webapp_id)
    clock.now += 60
    return [file["fileUrl"] for file in (await poll(client, task_id))["data"]]


async def link_of(client: httpx.AsyncClient, clock: Clock) -> str:
    (link,) = await links_of(client, clock)
    return link


async def test_a_file_has_no_cors_headers_and_says_what_it_is(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    response = await client.get(await link_of(client, clock), headers={"Origin": "https://page.example"})
    assert (response.status_code, response.headers["content-type"]) == (200, "video/mp4")
    assert [name for name in response.headers if name.startswith("access-control-")] == []
    assert response.headers["accept-ranges"] == "bytes"
    assert int(response.headers["content-length"]) == len(response.content)


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, None),
        ("bytes=-50", -50, None),
        ("bytes=5-999999", 5, None),
    ],
)
async def test_a_part_of_a_file_can_be_fetched(
    client: httpx.AsyncClient, clock: Clock, header: str, start: int, stop: int | None
) -> None:
    link = await link_of(client, clock)
    whole = (await client.get(link)).content
    part = await client.get(link, headers={"Range": header})
    assert (part.status_code, part.content) == (206, whole[start:stop])
    first = start % len(whole)
    expected = f"bytes {first}-{first + len(part.content) - 1}/{len(whole)}"
    assert part.headers["content-range"] == expected


async def test_ranges_that_do_not_apply(client: httpx.AsyncClient, clock: Clock) -> None:
    link = await link_of(client, clock)
    whole = await client.get(link)
    beyond = await client.get(link, headers={"Range": "bytes=99999999-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole.content)}")
    for headers in ({"Range": "bytes=0-1,3-4"}, {"Range": "lines=1-2"}, {"Range": "bytes=-"}):
        assert (await client.get(link, headers=headers)).status_code == 200
    etag = whole.headers["etag"]
    same = await client.get(link, headers={"Range": "bytes=0-9", "If-Range": etag})
    other = await client.get(link, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (same.status_code, other.status_code) == (206, 200)
    assert (await client.get(link, headers={"If-None-Match": etag})).status_code == 304


async def test_head_has_the_headers_of_get_and_no_body(client: httpx.AsyncClient, clock: Clock) -> None:
    link = await link_of(client, clock)
    get, head = await client.get(link), await client.head(link)
    assert (head.status_code, head.content) == (200, b"")
    assert dict(head.headers) == dict(get.headers)


async def test_a_link_expires_and_expires_sooner_when_the_switch_is_lowered(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await switch(client, files_ttl=100)
    link = await link_of(client, clock)
    assert (await client.get(link)).status_code == 200
    await switch(client, files_ttl=10)
    expired = await client.get(link)
    assert expired.status_code == 403
    assert b"<Message>Request has expired</Message>" in expired.content
    await switch(client, files_ttl=100_00)
    assert (await client.get(link)).status_code == 200
    clock.now += 100
    assert (await client.get(link)).status_code == 403
    assert int(httpx.URL(link).params["q-expires"]) < time.time() + 200


async def test_a_link_is_good_for_its_own_file_and_unchanged_only(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    picture, text = await links_of(client, clock, apps.IMAGE_TO_IMAGE)
    signature = httpx.URL(picture).query.decode()
    forged = [
        f"{text.partition('?')[0]}?{signature}",
        picture.partition("?")[0],
        picture.replace("q-expires=1", "q-expires=2"),
        picture[:-1] + ("0" if picture[-1] != "0" else "1"),
        picture.replace("q-expires=", "q-expires=x"),
    ]
    for link in forged:
        response = await client.get(link)
        assert response.status_code == 403
        assert b"SignatureDoesNotMatch" in response.content


async def test_large_files_are_padded_and_their_parts_fit_together(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await switch(client, files_megabytes=3)
    link = await link_of(client, clock)
    whole = (await client.get(link)).content
    assert len(whole) == 3 * MEGABYTE
    cuts = [0, 5, 12_000, 12_700, 65_536, 200_001, 3 * MEGABYTE]
    parts = []
    for first, stop in itertools.pairwise(cuts):
        part = await client.get(link, headers={"Range": f"bytes={first}-{stop - 1}"})
        parts.append(part.content)
    assert b"".join(parts) == whole
    _, text = await links_of(client, clock, apps.IMAGE_TO_IMAGE)
    assert (await client.get(text)).text.startswith("RunningHub simulator: ")


async def test_a_file_may_change_between_two_requests(client: httpx.AsyncClient, clock: Clock) -> None:
    link = await link_of(client, clock)
    before = await client.get(link)
    await switch(client, files_version=7)
    after = await client.get(link, headers={"Range": "bytes=10-", "If-Range": before.headers["etag"]})
    assert (after.status_code, len(after.content)) == (200, len(before.content) + 7)
    assert after.headers["etag"] != before.headers["etag"]


async def test_a_transfer_may_break_and_the_store_may_be_down_for_a_while(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    link = await link_of(client, clock)
    faults = [
        {"kind": "http", "status": 503, "times": 2},
        {"kind": "truncated", "bytes": 1000, "times": 1},
        {"kind": "close_before", "times": 1},
    ]
    await switch(client, faults={"files": faults, "*": {"kind": "http", "status": 500}})
    assert [(await client.get(link)).status_code for _ in range(2)] == [503, 503]
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            await client.get(link)
    assert (await client.get(link)).status_code == 200


async def test_a_transfer_may_be_slow(client: httpx.AsyncClient, clock: Clock) -> None:
    link = await link_of(client, clock)
    size = len((await client.get(link)).content)
    await switch(client, files_bytes_per_second=20 * size)
    response = await client.get(link)
    assert len(response.content) == size
    assert response.elapsed.total_seconds() >= 0.04


async def test_with_a_port_of_their_own_files_are_found_there_only(clock: Clock) -> None:
    app = create_app(Switches(), files_port=9001, clock=clock)
    wrong_path: Json = envelope(412, "TOKEN_INVALID")
    async with client_of(app, port=9000) as api, client_of(app, port=9001) as files:
        link = await link_of(api, clock)
        assert link.startswith("http://rh:9001/files/")
        assert (await files.get(link)).status_code == 200
        elsewhere = await api.get(link.replace("9001", "9000"))
        assert (elsewhere.status_code, elsewhere.json()) == (200, wrong_path)
        missing = await files.post("http://rh:9001/task/openapi/outputs", json={})
        assert (missing.status_code, missing.headers["content-type"]) == (404, "application/xml")


async def test_files_may_be_reached_at_another_address(clock: Clock) -> None:
    async with client_of(create_app(Switches(), files_url="https://files.example", clock=clock)) as client:
        assert (await link_of(client, clock)).startswith("https://files.example/files/")
