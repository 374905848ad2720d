"""The simulator as a process: its command line and how connections end."""

import asyncio
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from simulator.__main__ import main
from simulator.switches import Switches
from tests.simulator.calls import counters, poll, run, start, switch

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


@contextmanager
def serving(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "simulator", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().removeprefix("listening on ").strip()
        try:
            yield url, process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as (url, _):
        yield url


@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_ends_without_a_reply_before_or_after_the_run_is_accepted(
    server: str, reset: bool
) -> None:
    async with httpx.AsyncClient(base_url=server) as client:
        await client.post("/simulator/reset")
        for kind, accepted in (("close_before", 0), ("lost_reply", 1)):
            await switch(client, faults={"run": {"kind": kind, "times": 1, "reset": reset}})
            with pytest.raises(httpx.ReadError if reset else httpx.RemoteProtocolError):
                await run(client)
            assert (await counters(client))["runs_accepted"] == accepted
        await start(client)


def test_the_help_explains_every_switch(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    said = capsys.readouterr().out
    assert stopped.value.code == 0
    assert [name for name in Switches.model_fields if f"--{name.replace('_', '-')}" not in said] == []


async def test_the_process_stops_at_once_while_a_request_hangs() -> None:
    with serving("--faults", '{"outputs": {"kind": "hang"}}') as (url, process):
        async with httpx.AsyncClient(base_url=url) as client:
            hanging = asyncio.create_task(poll(client, "1990000000000000003"))
            while (await counters(client))["calls"] == {}:
                pass
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.RemoteProtocolError):
                await hanging
            await asyncio.to_thread(process.wait, 5)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--slots", "many"], "argument --slots: Input should be a valid integer"),
        (["--faults", "{"], "argument --faults: no JSON"),
        (["--faults", '{"run": {"kind": "fire"}}'], "argument --faults.run"),
        (["--port", "70000"], "argument --port: '70000' is not a port number"),
        (["--public-url", "ftp://x"], "argument --public-url: 'ftp://x' is no http:// or https:// address"),
        (["--fire"], "unrecognized arguments: --fire"),
    ],
)
def test_a_wrong_option_gives_one_line(
    capsys: pytest.CaptureFixture[str], options: list[str], line: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(options)
    said = capsys.readouterr().err
    assert (stopped.value.code, said.count("\n")) == (2, 1)
    assert line in said


def test_a_port_in_use_gives_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as stopped:
            main(["--port", str(port)])
    assert stopped.value.code == 1
    said = f"python -m simulator: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert capsys.readouterr().err == said


async def test_result_files_have_a_listener_of_their_own() -> None:
    with serving("--queue-time", "0", "--run-time", "0") as (url, process):
        assert process.stdout
        files_url = process.stdout.readline().removeprefix("result files on ").strip()
        async with httpx.AsyncClient(base_url=url) as client:
            client.headers["Host"] = "www.runninghub.cn"
            link = (await poll(client, await start(client)))["data"][0]["fileUrl"]
            assert link.startswith(f"{files_url}/files/")
            assert files_url != url
            assert (await client.get(link)).headers["content-type"] == "image/png"
            assert (await client.get(link.replace(files_url, url))).json()["code"] == 412


async def test_a_stream_is_a_websocket() -> None:
    with serving("--queue-time", "0", "--run-time", "0.2") as (url, _):
        async with httpx.AsyncClient(base_url=url) as client:
            address = (await run(client))["data"]["netWssUrl"]
        async with websockets.connect(address) as stream:
            messages = [json.loads(message) async for message in stream]
    assert [messages[0]["type"], messages[-2]["type"]] == ["status", "execution_success"]
    assert messages[-1]["data"]["node"] is None


async def test_with_tls_the_names_of_runninghub_are_trusted(tmp_path: Path) -> None:
    async def get_tasks(url: str, name: str) -> Any:
        trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        async with httpx.AsyncClient(base_url=url, verify=trusted) as client:
            return (await client.get("/simulator/tasks", extensions={"sni_hostname": name})).json()

    with serving("--tls", "--tls-directory", str(tmp_path)) as (url, _):
        assert url.startswith("https://127.0.0.1:")
        for name in ("127.0.0.1", "localhost", "www.runninghub.cn", "www.runninghub.ai"):
            assert await get_tasks(url, name) == []
        with pytest.raises(httpx.ConnectError):
            await get_tasks(url, "www.example.com")
    assert (tmp_path / "server.key").stat().st_mode & 0o077 == 0


def test_the_port_of_files_in_use_gives_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit):
            main(["--port", "0", "--files-port", str(port)])
    said = f"python -m simulator: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert capsys.readouterr().err == said
