"""comfykit, unchanged: a workflow with its parameters, and a file. Run with its own environment's Python:

python comfykit_sequence.py ADDRESS KEY FOLDER

prints what it got as one line of JSON. Only address and key differ from a use of RunningHub itself.
"""

import asyncio
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from comfykit import ComfyKit
from comfykit.comfyui.runninghub_client import RunningHubClient

WORKFLOW = "1994208430000000101"


async def sequence(address: str, key: str, folder: Path) -> dict[str, Any]:
    picture = folder / "picture.png"
    picture.write_bytes(b"\x89PNG some bytes")
    async with RunningHubClient(api_key=key, base_url=address, retry_count=0) as client:
        uploaded = await client.upload_file(str(picture))
    kit = ComfyKit(runninghub_url=address, runninghub_api_key=key, runninghub_timeout=30)
    result = await kit.execute(WORKFLOW, {})
    await kit.close()
    return {
        "uploaded": uploaded,
        "status": result.status,
        "message": result.msg,
        "task_id": result.prompt_id,
        "images": result.images,
    }


if __name__ == "__main__":
    address, key, folder = sys.argv[1:]
    found = asyncio.run(sequence(address, key, Path(folder)))
    with urllib.request.urlopen(found["images"][0]) as image:  # noqa: S310 - the address is a test's own
        found["bytes"] = len(image.read())
    print(json.dumps(found))
