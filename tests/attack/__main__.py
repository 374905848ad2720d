"""`make attack`: the requests of all families with random changes, against a service that is measured.

python -m tests.attack --seconds 600
Ends with 1 at the first request that harms the service, and prints it with the seed that repeats it.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.attack.cases import FAMILIES, ODD_IDS
from tests.attack.target import Target, check_raw_answer, start_target
from tests.faults.calls import exchange, send_raw
from tests.processes import start_simulator

SECONDS = 600
BATCH = 100
AT_ONCE = 8
# A changed request may promise more than it has.
PATIENCE_S = 2.0
SPICES = (
    *(b"\x00", b"\r\n", b"\xff", b"\xed\xa0\x80", b"%00", b'"', b"\\", b"{", b"[", b"-1", b"1e999", b"null"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n", b"--x\r\n", *map(str.encode, ODD_IDS)),
)


def changed(request: bytes, chance: random.Random) -> bytes:
    """A request with one to four random changes: bytes flipped, cut out, repeated, or put in."""
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(request) + 1)
        length = min(chance.choice([1, 1, 2, 8, 64]), len(request) - place)
        part = request[place : place + length]
        new = chance.choice(
            [b"", part * 2, part * 50, chance.choice(SPICES), bytes(chance.randrange(256) for _ in part)]
        )
        request = request[:place] + new + request[place + length :]
    return request


async def attack(target: Target, seconds: float, chance: random.Random) -> int:
    """Returns how many requests were sent. Raises AssertionError where one did harm."""
    requests = [request for family in FAMILIES.values() for request in family]
    deadline, sent = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        batch = [changed(chance.choice(requests), chance) for _ in range(BATCH)]
        for start in range(0, BATCH, AT_ONCE):
            await asyncio.gather(*(send(target, request) for request in batch[start : start + AT_ONCE]))
        await asyncio.to_thread(target.check)
        sent += BATCH
    return sent


async def send(target: Target, request: bytes) -> None:
    try:
        answer = await send_raw(target.url, request, patience_s=PATIENCE_S)
        check_raw_answer(answer)
    except (AssertionError, ValueError, IndexError) as exc:
        raw_answer = await exchange(target.url, request, PATIENCE_S)
        if raw_answer.count(b"HTTP/1.1 ") > 1:  # two requests now: each has its answer
            return
        raise AssertionError(f"{request[:2000]!r} was answered by {raw_answer[:2000]!r}") from exc


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    options = parser.parse_args()
    print(f"{options.seconds:g} s, seed {options.seed}", flush=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        start_simulator(run_time=0, queue_time=0, slots=0) as simulator,
        start_target(simulator.url, Path(directory)) as target,
    ):
        try:
            sent = asyncio.run(attack(target, options.seconds, random.Random(options.seed)))
        except AssertionError as harm:
            print(harm, target.blocks.read_text(), f"{target.peak_memory_mb:.0f} MB")
            return 1
        print(f"{sent} requests, {target.peak_memory_mb:.0f} MB at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
