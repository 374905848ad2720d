"""The AI apps that the simulator knows, as plain data in RunningHub's own shapes."""

import json
from dataclasses import dataclass
from typing import Any, Literal

Node = dict[str, Any]

TEXT_TO_IMAGE = "1992755951447109633"
IMAGE_TO_IMAGE = "1993104857600000002"
AUDIO = "1993104857600000003"
VIDEO = "1993104857600000004"
ALWAYS_FAILS = "1993104857600000005"
WITH_PASSWORD = "1993104857600000006"  # noqa: S105 - an app's id
ACCESS_PASSWORD = "open-sesame"  # noqa: S105 - the simulator's own, printed in its README


Host = Literal["cn", "ai"]
"""RunningHub's two hosts; an app exists at one of them."""


@dataclass(frozen=True, slots=True, eq=False)
class App:
    """What can be started: an AI app, a workflow or a standard model; its form and its results."""

    id: str
    name: str
    description: str
    description_en: str
    tag: tuple[str, str, str]
    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, str], ...]
    """`(nodeId, file extension)` of each result."""
    failing_node: tuple[str, str] | None = None
    """`(nodeId, nodeName)` that every run breaks at, or None."""
    access_password: str | None = None
    kind: Literal["webapp", "workflow", "model"] = "webapp"
    host: Host = "cn"


def _node(
    node_id: str,
    node_name: str,
    field_name: str,
    field_type: str,
    field_value: str,
    field_data: str | None,
    description: str,
    description_en: str,
) -> Node:
    return {
        "nodeId": node_id,
        "nodeName": node_name,
        "fieldName": field_name,
        "fieldValue": field_value,
        "fieldData": field_data,
        "fieldType": field_type,
        "description": description,
        "descriptionCn": None,
        "descriptionEn": description_en,
    }


_MULTILINE = '["STRING", {"multiline": true}]'
_PROMPT = (
    "upperbody shot, 1girl,solo,chibi,long hairs, happy, laugh, hugging a teddy bear, looking at viewers, "
    "dancing stand, cute, soft color, flowers in background, many flowers, among flowers, best quality, "
    "highres, delicate details,"
)
_NEGATIVE_PROMPT = (
    "(worst quality, low quality:1.4), (bad anatomy), text, error, missing fingers, extra digit, "
    "fewer digits, cropped, jpeg artifacts, signature, watermark, username, blurry, deformed face"
)
_MODELS = [
    {"name": "flux-kontext-pro", "index": "flux-kontext-pro", "description": "flux-kontext-pro 模型（默认）"},
    {"name": "flux-kontext-max", "index": "flux-kontext-max", "description": "flux-kontext-max 模型"},
    {"default": "flux-kontext-pro", "description": "忽略"},
]
_PROMPT_SOURCES = [
    {
        "name": "input2",
        "index": 2.0,
        "description": "qwen 大模型生成内容",
        "fastIndex": 2.0,
        "descriptionEn": "qwen large model generates content",
    },
    {
        "name": "input1",
        "index": 1.0,
        "description": "用户输入内容",
        "fastIndex": 1.0,
        "descriptionEn": "User input content",
    },
]
_RATIOS = ["1:1 (Square)", "2:3 (Portrait Photo)", "3:2 (Photo)", "16:9 (Widescreen)"]
_RATIO = ["COMBO", {"default": _RATIOS[0], "options": _RATIOS, "tooltip": "The aspect ratio of the result."}]
_CLIPS = [{"name": seconds, "index": seconds, "description": "", "fastIndex": 1.0} for seconds in ("5", "10")]

_APPS = (
    App(
        id=TEXT_TO_IMAGE,
        name="【c0029】基础LoRA配合提示词文生图",
        description="<p>基于 LoRA 应用 的 ComfyUI 工作流，通过加载预训练基础模型并叠加多个 LoRA 模型，"
        "实现了特定风格和主题的图像生成。</p>",
        description_en="<p>Based on the ComfyUI workflow of LoRA applications, by loading the pre-trained "
        "base model and overlaying multiple LoRA models, specific styles and themes of image generation are "
        "achieved.</p>",
        tag=("1871151815242543197", "文生图", "Text-to-Image"),
        nodes=(
            _node(
                "4",
                "CheckpointLoaderSimple",
                "ckpt_name",
                "CKPT",
                "dreamshaper_8.safetensors",
                '[{},{"tooltip":"The name of the checkpoint (model) to load."}]',
                "选择模型",
                "Select model",
            ),
            _node(
                "11",
                "LoraLoader",
                "lora_name",
                "LORA",
                "风格化三维-3D-迪士尼皮克斯_v1.0.safetensors",
                '[{},{"tooltip":"The name of the LoRA."}]',
                "选择微调LoRA",
                "Select fine-tune LoRA",
            ),
            _node(
                "15",
                "Text",
                "text",
                "STRING",
                _PROMPT,
                _MULTILINE,
                "正面prompt（英文）",
                "Positive prompt (English)",
            ),
            _node(
                "16",
                "Text",
                "text",
                "STRING",
                _NEGATIVE_PROMPT,
                _MULTILINE,
                "负面prompt（英文）",
                "negative prompt (English)",
            ),
        ),
        outputs=(("9", "png"),),
    ),
    App(
        id=IMAGE_TO_IMAGE,
        name="图生图：换一种画风",
        description="<p>上传一张图片，选择模型与比例，重新绘制。</p>",
        description_en="<p>Upload a picture, choose a model and a ratio, and have it painted anew.</p>",
        tag=("1871151815242543198", "图生图", "Image-to-Image"),
        nodes=(
            _node(
                "39",
                "LoadImage",
                "image",
                "IMAGE",
                "fa4b06dee7ca8624d0ed22e146fa7f1f1edfe5bd8e290aa38e16ce2ad687593a.png",
                '[["example.png", "keep_this_dic"], {"image_upload": true}]',
                "上传图片",
                "Upload a picture",
            ),
            _node(
                "150:5",
                "TextGenerate",
                "prompt",
                "STRING",
                "a friendly robot in a garden, watercolour",
                '["STRING", {"default": "", "multiline": true, "dynamicPrompts": true}]',
                "提示词",
                "Prompt",
            ),
            _node(
                "150:5",
                "TextGenerate",
                "sampling_mode.top_p",
                "FLOAT",
                "0.7000000000000001",
                '["FLOAT", {"default": 0.95, "min": 0.0, "max": 1.0, "step": 0.01, "tooltip": "Nucleus"}]',
                "采样 top_p",
                "Sampling top_p",
            ),
            _node(
                "41",
                "ImpactSwitch",
                "select",
                "SWITCH",
                "2",
                json.dumps(_PROMPT_SOURCES, ensure_ascii=False),
                "提示词来源",
                "Where the prompt comes from",
            ),
            _node(
                "52",
                "FluxKontext",
                "model",
                "LIST",
                "flux-kontext-pro",
                json.dumps(_MODELS, ensure_ascii=False),
                "模型",
                "Model",
            ),
            _node(
                "52",
                "FluxKontext",
                "aspect_ratio",
                "LIST",
                "1:1 (Square)",
                json.dumps(_RATIO),
                "比例",
                "Aspect ratio",
            ),
            _node(
                "60",
                "ImageScale",
                "resolution",
                "LIST",
                "2k",
                '[["1k", "2k", "4k"], {"default": "1k"}]',
                "分辨率",
                "Resolution",
            ),
            _node(
                "3",
                "KSampler",
                "steps",
                "INT",
                "20",
                '["INT", {"default": 20, "min": 1, "max": 60}]',
                "步数",
                "Steps",
            ),
            _node(
                "3",
                "KSampler",
                "seed",
                "INT",
                "669816362794144",
                '["INT", {"default": 0, "min": 0, "max": 18446744073709551615, '
                '"control_after_generate": true}]',
                "随机种子",
                "Seed",
            ),
            _node(
                "3",
                "KSampler",
                "denoise",
                "FLOAT",
                "0.6",
                '["FLOAT", {"default": 1, "min": 0.1, "max": 1, "step": 0.05}]',
                "重绘幅度",
                "Denoise",
            ),
            _node(
                "70",
                "easy boolean",
                "value",
                "BOOLEAN",
                "false",
                '["BOOLEAN", {"default": true}]',
                "面部修复",
                "Restore faces",
            ),
            _node(
                "71", "PrimitiveBoolean", "value", "BOOLEAN", "true", None, "保留原图颜色", "Keep the colours"
            ),
        ),
        outputs=(("9", "png"), ("80", "txt")),
    ),
    App(
        id=AUDIO,
        name="声音克隆",
        description="<p>上传一段声音，用它朗读文字。</p>",
        description_en="<p>Upload a voice and let it read your text.</p>",
        tag=("1871151815242543199", "音频", "Audio"),
        nodes=(
            _node("12", "LoadAudio", "audio", "AUDIO", "None", None, "上传声音", "Upload a voice"),
            _node(
                "13",
                "Text",
                "text",
                "STRING",
                "你好，世界。",
                '["STRING", {"default": "", "multiline": true}]',
                "要朗读的文字",
                "Text to read",
            ),
            _node(
                "14",
                "TTS",
                "language",
                "LIST",
                "Auto",
                '[["Auto", "Chinese", "English"], {"default": "Auto"}]',
                "语言",
                "Language",
            ),
            _node("14", "TTS", "speed", "FLOAT", "1", None, "语速", "Speed"),
        ),
        outputs=(("20", "wav"),),
        host="ai",
    ),
    App(
        id=VIDEO,
        name="视频换背景",
        description="<p>上传视频和一包图片，得到新的视频。</p>",
        description_en="<p>Upload a video and a bundle of pictures, and get a new video.</p>",
        tag=("1871151815242543200", "视频", "Video"),
        nodes=(
            _node(
                "30",
                "VHS_LoadVideo",
                "video",
                "VIDEO",
                "clip.mp4",
                '[["clip.mp4", "None", "keep_this_dic"], {"video_upload": true}]',
                "上传视频",
                "Upload a video",
            ),
            _node(
                "31",
                "LoadImages(zip)",
                "upload",
                "ZIP",
                "None",
                None,
                "上传图片包（zip）",
                "Upload pictures (zip)",
            ),
            _node(
                "32",
                "VideoSettings",
                "duration_seconds",
                "LIST",
                "5",
                json.dumps(_CLIPS),
                "时长（秒）",
                "Length (seconds)",
            ),
            _node("32", "VideoSettings", "提示词", "STRING", "a sandy beach", None, "提示词", "Prompt"),
        ),
        outputs=(("40", "mp4"),),
        host="ai",
    ),
    App(
        id=ALWAYS_FAILS,
        name="总是失败的应用",
        description="<p>每次运行都会失败，用来看失败的样子。</p>",
        description_en="<p>Every run of it fails: to see what a failure looks like.</p>",
        tag=("1871151815242543201", "测试", "Testing"),
        nodes=(_node("15", "Text", "text", "STRING", "a cat", _MULTILINE, "提示词", "Prompt"),),
        outputs=(),
        failing_node=("3", "KSampler"),
    ),
    App(
        id=WITH_PASSWORD,
        name="加密的应用",
        description=f"<p>需要访问密码：{ACCESS_PASSWORD}</p>",
        description_en=f"<p>Needs an access password: {ACCESS_PASSWORD}</p>",
        tag=("1871151815242543197", "文生图", "Text-to-Image"),
        nodes=(_node("15", "Text", "text", "STRING", "a cat", _MULTILINE, "提示词", "Prompt"),),
        outputs=(("9", "png"),),
        access_password=ACCESS_PASSWORD,
    ),
)
APPS: dict[str, App] = {app.id: app for app in _APPS}


def api_call_demo(app: App, base_url: str, files_url: str, api_key: str) -> dict[str, Any]:
    """The `data` of apiCallDemo, with the caller's key inside `curl` as RunningHub has it."""
    cover = f"{files_url}/covers/{app.id}.png"
    tag_id, tag_name, tag_name_en = app.tag
    return {
        "descriptionEn": app.description_en,
        "curl": _curl(app, base_url, api_key),
        "webappName": app.name,
        "description": app.description,
        "accessEncrypted": app.access_password is not None,
        "statisticsInfo": {
            "likeCount": "0",
            "downloadCount": "0",
            "useCount": "0",
            "pv": "0",
            "collectCount": "0",
        },
        "nodeInfoList": list(app.nodes),
        "covers": [
            {
                "id": str(int(app.id) + 1),
                "objName": f"covers/{app.id}.png",
                "url": cover,
                "thumbnailUri": f"{cover}?imageMogr2/format/jpg/ignore-error/1",
                "imageWidth": "1280",
                "imageHeight": "720",
            }
        ],
        "tags": [{"id": tag_id, "name": tag_name, "nameEn": tag_name_en, "labels": None}],
    }


def _curl(app: App, base_url: str, api_key: str) -> str:
    members = ("nodeId", "fieldName", "fieldValue", "description")
    body = {
        "webappId": "null",
        "apiKey": api_key,
        "nodeInfoList": [{name: node[name] for name in members} for node in app.nodes],
    }
    return (
        f"curl --location --request POST '{base_url}/task/openapi/ai-app/run' \\\n"
        "--header 'Host: www.runninghub.cn' \\\n"
        "--header 'Content-Type: application/json' \\\n"
        f"--data-raw '{json.dumps(body, ensure_ascii=False, indent=4)}'"
    )
