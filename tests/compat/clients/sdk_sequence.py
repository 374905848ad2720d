"""runninghub-sdk, unchanged: its whole sequence of calls. Run with its own environment's Python:

python sdk_sequence.py ADDRESS KEY FOLDER

prints what it got as one line of JSON. Only address and key differ from a use of RunningHub itself.
"""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runninghub_sdk import RunningHubClient, modify_nodes
from runninghub_sdk.typedefs.task import NodeInput

APP, IMAGE_APP, WORKFLOW = "1992755951447109633", "1993104857600000002", "1994208430000000101"
MODEL = "rhart-image/f-2-dev/text-to-image"
POLL_S = 0.05


def sequence(address: str, key: str, folder: Path) -> dict[str, Any]:
    picture = folder / "picture.png"
    picture.write_bytes(b"\x89PNG some bytes")
    with RunningHubClient(api_key=key, base_url=address) as client:
        account, queue = client.get_account_status(), client.get_queue_status()
        form = client.get_ai_app_api_demo(int(APP))
        nodes = [NodeInput(n.node_id, n.field_name, n.field_value) for n in form.node_info_list]
        started = client.run_ai_app(int(APP), nodes)
        outputs = client.wait_for_completion(started.task_id, poll_interval=POLL_S, timeout=20)
        files = client.download_outputs(outputs, folder / "app")

        uploaded = client.upload_file(picture)
        image_form = client.get_ai_app_api_demo(IMAGE_APP)
        image = next(n for n in image_form.node_info_list if n.field_type == "IMAGE")
        with_file = client.run_ai_app(
            IMAGE_APP, [NodeInput(image.node_id, image.field_name, uploaded.file_name)]
        )
        result_v2 = client.wait_for_query_v2_completion(with_file.task_id, poll_interval=POLL_S, timeout=20)

        graph = client.get_workflow_json_parsed(WORKFLOW)
        created = client.run_with_modifier(WORKFLOW, modify_nodes().text("6", "a cat").seed("3", 7))
        created_outputs = client.wait_for_completion(created.task_id, poll_interval=POLL_S, timeout=20)

        model = client.run_model_api(MODEL, {"prompt": "a cat"})
        model_result = client.wait_for_query_v2_completion(model.task_id, poll_interval=POLL_S, timeout=20)

        cancelled = client.run_ai_app(APP, nodes)
        client.cancel(cancelled.task_id)
        return {
            "account": asdict(account),
            "queue": asdict(queue),
            "is_valid_key": client.validate_api_key(),
            "app": form.webapp_name,
            "task_id": started.task_id,
            "outputs": [asdict(output) for output in outputs],
            "files": [(path.name, path.stat().st_size) for path in files],
            "uploaded": asdict(uploaded),
            "v2": str(result_v2.status),
            "graph": sorted(graph),
            "created": len(created_outputs),
            "model": [str(model_result.status), model_result.results],
            "async": asyncio.run(in_async(address, key)),
        }


async def in_async(address: str, key: str) -> str:
    async with RunningHubClient(api_key=key, base_url=address) as client:
        started = await client.async_run_ai_app(APP)
        outputs = await client.async_wait_for_completion(started.task_id, poll_interval=POLL_S, timeout=20)
        return str(outputs[0].file_type)


def has_wrong_key(address: str) -> bool:
    with RunningHubClient(api_key="wrong-key-of-enough-characters", base_url=address) as client:
        return not client.validate_api_key()


if __name__ == "__main__":
    address, key, folder = sys.argv[1:]
    found = sequence(address, key, Path(folder))
    print(json.dumps(found | {"is_wrong_key_refused": has_wrong_key(address)}))
