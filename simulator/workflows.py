"""The plain workflows that the simulator knows: ComfyUI graphs in API format, and their inputs as a form."""

import json
from functools import lru_cache
from typing import Any

from simulator.apps import App, Host, Node

Graph = dict[str, Any]

TEXT_TO_IMAGE_WORKFLOW = "1994208430000000101"
MEDIA_WORKFLOW = "1994208430000000102"
NEVER_RUN_WORKFLOW = "1994208430000000103"

_OUTPUTS = {
    "PreviewImage": "png",
    "SaveImage": "png",
    "SaveAudio": "wav",
    "SaveText": "txt",
    "SaveVideo": "mp4",
    "VHS_VideoCombine": "mp4",
}
_MEDIA = {
    ("LoadAudio", "audio"): "AUDIO",
    ("LoadImage", "image"): "IMAGE",
    ("LoadVideo", "file"): "VIDEO",
    ("VHS_LoadVideo", "video"): "VIDEO",
}

_TEXT_TO_IMAGE: Graph = {
    "3": {
        "inputs": {
            "seed": 669816362794144,
            "steps": 20,
            "cfg": 7.5,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1.0,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
        "class_type": "KSampler",
        "_meta": {"title": "K采样器"},
    },
    "4": {
        "inputs": {"ckpt_name": "dreamshaper_8.safetensors"},
        "class_type": "CheckpointLoaderSimple",
        "_meta": {"title": "Checkpoint加载器（简易）"},
    },
    "5": {
        "inputs": {"width": 512, "height": 768, "batch_size": 1},
        "class_type": "EmptyLatentImage",
        "_meta": {"title": "空Latent图像"},
    },
    "6": {
        "inputs": {"text": "a friendly robot in a garden", "clip": ["4", 1]},
        "class_type": "CLIPTextEncode",
        "_meta": {"title": "正面提示词"},
    },
    "7": {
        "inputs": {"text": "text, watermark", "clip": ["4", 1]},
        "class_type": "CLIPTextEncode",
        "_meta": {"title": "负面提示词"},
    },
    "8": {
        "inputs": {"samples": ["3", 0], "vae": ["4", 2]},
        "class_type": "VAEDecode",
        "_meta": {"title": "VAE解码"},
    },
    "9": {
        "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]},
        "class_type": "SaveImage",
        "_meta": {"title": "保存图像"},
    },
}
_MEDIA_GRAPH: Graph = {
    "10": {
        "inputs": {"image": "example.png", "upload": "image"},
        "class_type": "LoadImage",
        "_meta": {"title": "上传图片"},
    },
    "11": {
        "inputs": {"audio": "None"},
        "class_type": "LoadAudio",
        "_meta": {"title": "上传声音"},
    },
    "12": {
        "inputs": {"video": "clip.mp4", "force_rate": 0.0, "frame_load_cap": 0},
        "class_type": "VHS_LoadVideo",
        "_meta": {"title": "上传视频"},
    },
    "150:5": {
        "inputs": {
            "提示词": "a sandy beach",
            "sampling_mode.top_p": 0.7000000000000001,
            "enabled": True,
            "toggles": {"__value__": [False, True]},
            "image": ["10", 0],
            "audio": ["11", 0],
            "video": ["12", 0],
        },
        "class_type": "SceneComposer",
        "_meta": {"title": "合成"},
    },
    "40": {
        "inputs": {"images": ["150:5", 0], "frame_rate": 24, "format": "video/h264-mp4", "save_output": True},
        "class_type": "VHS_VideoCombine",
        "_meta": {"title": "合并为视频"},
    },
    "41": {
        "inputs": {"text": ["150:5", 1], "filename_prefix": "log"},
        "class_type": "SaveText",
        "_meta": {"title": "保存文本"},
    },
}
GRAPHS: dict[str, Graph] = {
    TEXT_TO_IMAGE_WORKFLOW: _TEXT_TO_IMAGE,
    MEDIA_WORKFLOW: _MEDIA_GRAPH,
    NEVER_RUN_WORKFLOW: _TEXT_TO_IMAGE,
}
"""Every workflow's graph; RunningHub gives none for one that was never run."""


def workflow_of(workflow_id: str, name: str, graph: Graph, host: Host) -> App:
    """A graph as something that can be started."""
    return App(
        id=workflow_id,
        name=name,
        description="",
        description_en="",
        tag=("", "", ""),
        nodes=tuple(_inputs(graph)),
        outputs=tuple(
            (node_id, _OUTPUTS[node["class_type"]])
            for node_id, node in graph.items()
            if node["class_type"] in _OUTPUTS
        ),
        kind="workflow",
        host=host,
    )


@lru_cache(maxsize=64)
def replaced_graph(workflow: App, graph_text: str) -> App | None:
    """The workflow with another graph, sent as JSON with a run; None when it is no graph."""
    try:
        graph = json.loads(graph_text)
        return workflow_of(workflow.id, workflow.name, graph, workflow.host) if graph else None
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return None


def _inputs(graph: Graph) -> list[Node]:
    """One form field for each input that is a value and not a link to another node."""
    return [
        {
            "nodeId": node_id,
            "nodeName": node["class_type"],
            "fieldName": name,
            "fieldValue": _text(value),
            "fieldData": None,
            "fieldType": _MEDIA.get((node["class_type"], name)) or _type_name(value),
            "description": node.get("_meta", {}).get("title", ""),
            "descriptionCn": None,
            "descriptionEn": None,
        }
        for node_id, node in graph.items()
        for name, value in node["inputs"].items()
        if not isinstance(value, list)
    ]


def _type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "BOOLEAN"
    return {int: "INT", float: "FLOAT"}.get(type(value), "STRING")


def _text(value: Any) -> str:
    """A value as a fieldValue; a list wrapped in `__value__` as its JSON."""
    if isinstance(value, dict):
        return json.dumps(value.get("__value__", value), ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


WORKFLOWS: dict[str, App] = {
    TEXT_TO_IMAGE_WORKFLOW: workflow_of(TEXT_TO_IMAGE_WORKFLOW, "文生图工作流", _TEXT_TO_IMAGE, "cn"),
    MEDIA_WORKFLOW: workflow_of(MEDIA_WORKFLOW, "图像、声音与视频工作流", _MEDIA_GRAPH, "ai"),
    NEVER_RUN_WORKFLOW: workflow_of(NEVER_RUN_WORKFLOW, "从未运行的工作流", _TEXT_TO_IMAGE, "cn"),
}
