"""Copies of results when processes, disks and stores fail: nothing is lost, and nothing is left over."""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE
from tests.files.s3 import BUCKET, s3_bucket
from tests.http_client import http_client
from tests.processes import Running, free_port, start_service, start_simulator

pytestmark = pytest.mark.processes

# `CHAOS_ROUNDS=30 pytest tests/test_output_faults.py` for more of them.
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "5"))
PATIENCE_S = 60.0
MB = 2**20

Json = dict[str, Any]


@pytest.fixture
def simulator() -> Iterator[Running]:
    """Results of 2 MB that take about half a second each."""
    with start_simulator(queue_time=0, run_time=0.05, slots=0) as simulator:
        switch(simulator, files_megabytes=2, files_bytes_per_second=4 * MB)
        yield simulator


def switch(simulator: Running, **switches: Any) -> None:
    http_client.patch(f"{simulator.url}/simulator/switches", json=switches).raise_for_status()


def submit(service: Running, text: str) -> str:
    node = {"nodeId": "15", "fieldName": "text", "fieldValue": text}
    body = {"webappId": TEXT_TO_IMAGE, "nodeInfoList": [node]}
    task_id: str = http_client.post(f"{service.url}/submit_task", json=body).json()["task_id"]
    return task_id


def tasks_of(service: Running) -> list[Json]:
    response = http_client.get(f"{service.url}/tasks", params={"limit": 200}, timeout=10)
    found: list[Json] = response.json()["tasks"]
    return found


def outputs_of(service: Running) -> list[Json]:
    return [output for task in tasks_of(service) for output in task["outputs"]]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not become so in time"
        time.sleep(0.05)


def are_kept(service: Running, tasks: int) -> bool:
    outputs = outputs_of(service)
    return len(outputs) == tasks and {output["state"] for output in outputs} == {"KEPT"}


def have_thumbnails(service: Running) -> bool:
    return all(output["thumbnail_url"] for output in outputs_of(service))


def health(service: Running) -> str:
    state: str = http_client.get(f"{service.url}/health", timeout=10).json()["outputs"]
    return state


def assert_all_kept_and_nothing_else(service: Running, folder: Path) -> None:
    """Every output has the bytes of RunningHub's file, the folder nothing but them and their thumbnails."""
    wait_until(lambda: have_thumbnails(service))
    expected = set()
    for task in tasks_of(service):
        for output, result in zip(task["outputs"], task["result_data"], strict=True):
            digest = sha256(http_client.get(result["fileUrl"], timeout=30).content).hexdigest()
            served = http_client.get(f"{service.url}{output['url']}", timeout=30).content
            assert (output["sha256"], sha256(served).hexdigest()) == (digest, digest)
            expected |= {digest, f"{digest}.thumbnail.webp"}
    assert {path.name for path in folder.rglob("*") if path.is_file()} == expected


class Reader(threading.Thread):
    """Fetches all outputs again and again; `wrong` has every complete response that was not the file."""

    def __init__(self, url: str, sizes: set[int]) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.sizes = sizes
        self.wrong: list[str] = []
        self.complete = 0
        self.is_stopped = threading.Event()

    def run(self) -> None:
        while not self.is_stopped.wait(0.05):
            try:
                tasks = http_client.get(f"{self.url}/tasks", timeout=5).json()["tasks"]
                for output in [output for task in tasks for output in task["outputs"]]:
                    self._check(http_client.get(f"{self.url}{output['url']}", timeout=10))
            except (httpx.HTTPError, ValueError, KeyError):
                continue  # the service was killed, or is starting

    def _check(self, response: httpx.Response) -> None:
        if response.status_code != 200:
            return
        self.complete += 1
        if len(response.content) not in self.sizes:
            self.wrong.append(f"{response.url}: {len(response.content)} bytes")


def test_copies_survive_kill_9(simulator: Running, tmp_path: Path) -> None:
    port = free_port()
    reader = Reader(f"http://127.0.0.1:{port}", {2 * MB})
    reader.start()
    for _ in range(ROUNDS):
        with start_service(simulator.url, tmp_path / "tasks.db", port=port) as service:
            for number in range(3):
                submit(service, f"{random.random()} {number}")
            time.sleep(random.uniform(0.2, 1.5))
            service.kill()
    with start_service(simulator.url, tmp_path / "tasks.db", port=port) as service:
        wait_until(lambda: all(task["status"] == "SUCCESS" for task in tasks_of(service)))
        wait_until(lambda: are_kept(service, 3 * ROUNDS))
        reader.is_stopped.set()
        reader.join()
        assert_all_kept_and_nothing_else(service, tmp_path / "outputs")
    assert (reader.wrong, reader.complete > 0) == ([], True)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[tuple[Path, int]]:
    """A folder in which only so much can be stored, and the OUTPUTS_MIN_FREE_MB for that.

    It is a file system of its own, really full; without the right to mount one, a part of the shared memory.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as shared:
            yield Path(shared), shutil.disk_usage(shared).free // MB - megabytes
        return
    try:
        yield folder, 0
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_copies_resume_after_the_disk_was_full(simulator: Running, tmp_path: Path) -> None:
    switch(simulator, files_bytes_per_second=0)
    with small_disk(tmp_path / "disk", 8) as (disk, min_free_mb):
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(7 * MB))
        settings = {"OUTPUTS_URL": f"file://{disk}/outputs", "OUTPUTS_MIN_FREE_MB": str(min_free_mb)}
        with start_service(simulator.url, tmp_path / "tasks.db", env=settings) as service:
            submit(service, "a cat")
            wait_until(lambda: health(service) == "no_space")
            (output,) = outputs_of(service)
            assert output["state"] == "KEEPING"
            assert len(http_client.get(f"{service.url}{output['url']}").content) == 2 * MB
            assert [path for path in (disk / "outputs").rglob("*") if path.is_file()] == []
            ballast.unlink()
            wait_until(lambda: are_kept(service, 1))
            assert health(service) == "ok"
            assert_all_kept_and_nothing_else(service, disk / "outputs")


def test_copies_resume_when_the_folder_is_back(simulator: Running, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "outputs", tmp_path / "elsewhere"
    with start_service(simulator.url, tmp_path / "tasks.db") as service:
        submit(service, "a cat")
        wait_until(lambda: are_kept(service, 1))
        wait_until(lambda: have_thumbnails(service))
        folder.rename(elsewhere)
        submit(service, "a dog")
        wait_until(lambda: health(service) == "unavailable")
        for output in outputs_of(service):
            assert len(http_client.get(f"{service.url}{output['url']}").content) == 2 * MB
        assert not folder.exists()
        shutil.move(elsewhere, folder)
        wait_until(lambda: are_kept(service, 2))
        assert health(service) == "ok"
        assert_all_kept_and_nothing_else(service, folder)


def test_copies_resume_when_the_s3_store_is_back(simulator: Running, tmp_path: Path) -> None:
    port = free_port()
    settings = {
        "OUTPUTS_URL": f"s3://{BUCKET}/kept",
        "AWS_ACCESS_KEY_ID": "an-access-key",
        "AWS_SECRET_ACCESS_KEY": "a-secret-key",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    with start_service(simulator.url, tmp_path / "tasks.db", env=settings) as service:
        submit(service, "a cat")
        wait_until(lambda: health(service) == "unavailable")
        (output,) = outputs_of(service)
        assert len(http_client.get(f"{service.url}{output['url']}").content) == 2 * MB
        with s3_bucket(port=port) as bucket:
            submit(service, "a dog")
            wait_until(lambda: are_kept(service, 2))
            assert health(service) == "ok"
            for task in tasks_of(service):
                (kept,), (result,) = task["outputs"], task["result_data"]
                served = http_client.get(f"{service.url}{kept['url']}").content
                stored = bucket.get(f"/kept/{task['id']}/0.png").content
                assert served == stored == http_client.get(result["fileUrl"], timeout=30).content
        assert "a-secret-key" not in service.log.read_text()
    # uvicorn ends by the signal itself when all is stopped; an abort of S3's threads would be SIGABRT.
    assert service.process.returncode == -signal.SIGTERM


def test_a_relay_that_breaks_off_is_no_complete_response(simulator: Running, tmp_path: Path) -> None:
    with start_service(simulator.url, tmp_path / "tasks.db", env={"OUTPUTS_URL": "none"}) as service:
        submit(service, "a cat")
        wait_until(lambda: len(outputs_of(service)) == 1)
        switch(simulator, faults={"files": {"kind": "truncated"}})
        (output,) = outputs_of(service)
        with pytest.raises(httpx.RemoteProtocolError):
            http_client.get(f"{service.url}{output['url']}", timeout=30)


def memory_mb(service: Running) -> int:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def test_a_large_file_is_copied_and_served_in_little_memory(simulator: Running, tmp_path: Path) -> None:
    with start_service(simulator.url, tmp_path / "tasks.db") as service:
        switch(simulator, files_megabytes=1, files_bytes_per_second=0)
        submit(service, "small")
        wait_until(lambda: are_kept(service, 1))
        before = memory_mb(service)
        switch(simulator, files_megabytes=200)
        submit(service, "large")
        highest = [before]

        def is_kept() -> bool:
            highest.append(memory_mb(service))
            return are_kept(service, 2)

        wait_until(is_kept)
        (output,) = tasks_of(service)[0]["outputs"]
        with http_client.stream("GET", f"{service.url}{output['url']}", timeout=30) as response:
            read = 0
            for chunk in response.iter_bytes(MB):
                read += len(chunk)
                if read % (64 * MB) < len(chunk):
                    highest.append(memory_mb(service))
        assert read == output["bytes"] == 200 * MB
        assert max(highest) - before < 32
