"""POST /get_node_info: an app's form."""

import httpx
import pytest

from simulator.apps import AUDIO, IMAGE_TO_IMAGE, TEXT_TO_IMAGE, VIDEO, WITH_PASSWORD
from tests.api.routes.calls import Board, Like, Service
from tests.processes import API_KEY

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


async def test_an_app_is_answered_as_a_form_with_only_the_listed_members(
    shared: httpx.AsyncClient, simulator_url: str
) -> None:
    response = await shared.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE})
    form = response.json()
    fields, schema = form.pop("nodeInfoList"), form.pop("schema")
    assert form == {
        "webappId": TEXT_TO_IMAGE,
        "webappName": "【c0029】基础LoRA配合提示词文生图",
        "description": Like("基于 LoRA 应用.*生成。"),
        "descriptionEn": Like("Based on the ComfyUI.*achieved."),
        "covers": [
            {
                "id": "1992755951447109634",
                "url": f"{simulator_url}/covers/{TEXT_TO_IMAGE}.png",
                "thumbnailUri": Like(f"{simulator_url}/covers/{TEXT_TO_IMAGE}.png.imageMogr2/.*"),
                "imageWidth": 1280,
                "imageHeight": 720,
            }
        ],
        "tags": [{"id": "1871151815242543197", "name": "文生图", "nameEn": "Text-to-Image"}],
        "accessEncrypted": False,
        "statisticsInfo": {"likeCount": 0, "downloadCount": 0, "useCount": 0, "pv": 0, "collectCount": 0},
    }
    assert [(field["nodeId"], field["fieldName"]) for field in fields] == [
        ("4", "ckpt_name"),
        ("11", "lora_name"),
        ("15", "text"),
        ("16", "text"),
    ]
    assert fields[2] == {
        "nodeId": "15",
        "nodeName": "Text",
        "fieldName": "text",
        "fieldType": "STRING",
        "fieldValue": Like("upperbody shot.*details,"),
        "description": "正面prompt（英文）",
        "descriptionCn": None,
        "descriptionEn": "Positive prompt (English)",
        "input": {
            "type": "textarea",
            "label": "正面prompt（英文）",
            "labelEn": "Positive prompt (English)",
            "tooltip": None,
            "default": fields[2]["input"]["default"],
            "value": fields[2]["fieldValue"],
            "options": None,
            "min": None,
            "max": None,
            "step": None,
            "accept": None,
        },
    }
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert list(schema["properties"]) == ["4.ckpt_name", "11.lora_name", "15.text", "16.text"]
    assert schema["properties"]["15.text"]["type"] == "string"
    assert API_KEY not in response.text
    assert "curl" not in response.text


async def test_each_kind_of_field_has_its_input(shared: httpx.AsyncClient) -> None:
    kinds = {}
    for webapp_id in (IMAGE_TO_IMAGE, AUDIO, VIDEO):
        form = (await shared.post("/get_node_info", json={"webappId": webapp_id})).json()
        for field in form["nodeInfoList"]:
            kinds[field["fieldName"], field["nodeId"]] = (field["input"]["type"], field["input"]["accept"])
    assert kinds == {
        ("image", "39"): ("image", "image/*"),
        ("prompt", "150:5"): ("textarea", None),
        ("sampling_mode.top_p", "150:5"): ("number", None),
        ("select", "41"): ("select", None),
        ("model", "52"): ("select", None),
        ("aspect_ratio", "52"): ("select", None),
        ("resolution", "60"): ("select", None),
        ("steps", "3"): ("integer", None),
        ("seed", "3"): ("integer", None),
        ("denoise", "3"): ("number", None),
        ("value", "70"): ("boolean", None),
        ("value", "71"): ("boolean", None),
        ("audio", "12"): ("audio", "audio/*"),
        ("text", "13"): ("textarea", None),
        ("language", "14"): ("select", None),
        ("speed", "14"): ("number", None),
        ("video", "30"): ("video", "video/*"),
        ("upload", "31"): ("file", ".zip"),
        ("duration_seconds", "32"): ("select", None),
        ("提示词", "32"): ("text", None),
    }


async def test_choices_keep_runninghubs_order_and_leave_the_default_marker_out(
    shared: httpx.AsyncClient,
) -> None:
    form = (await shared.post("/get_node_info", json={"webappId": IMAGE_TO_IMAGE})).json()
    options = {field["fieldName"]: field["input"]["options"] for field in form["nodeInfoList"]}
    assert options["select"] == [
        {"value": "2", "label": "qwen 大模型生成内容", "labelEn": "qwen large model generates content"},
        {"value": "1", "label": "用户输入内容", "labelEn": "User input content"},
    ]
    assert options["model"] == [
        {"value": "flux-kontext-pro", "label": "flux-kontext-pro 模型（默认）", "labelEn": None},
        {"value": "flux-kontext-max", "label": "flux-kontext-max 模型", "labelEn": None},
    ]
    assert options["image"] is None


async def test_bounds_that_javascript_cannot_hold_are_left_out_and_the_default_is_typed(
    shared: httpx.AsyncClient,
) -> None:
    form = (await shared.post("/get_node_info", json={"webappId": IMAGE_TO_IMAGE})).json()
    inputs = {field["fieldName"]: field["input"] for field in form["nodeInfoList"]}
    assert (inputs["seed"]["min"], inputs["seed"]["max"], inputs["seed"]["default"]) == (0, None, 0)
    assert (inputs["steps"]["min"], inputs["steps"]["max"], inputs["steps"]["default"]) == (1, 60, 20)
    assert inputs["denoise"]["step"] == 0.05
    values = {field["fieldName"]: field["fieldValue"] for field in form["nodeInfoList"]}
    assert (values["seed"], values["sampling_mode.top_p"]) == ("669816362794144", "0.7000000000000001")


async def test_a_form_is_kept_in_memory_until_it_is_asked_for_anew(
    client: httpx.AsyncClient, board: Board
) -> None:
    for _ in range(3):
        await client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE})
    assert await board.calls("apiCallDemo") == 1
    await client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE, "refresh": True})
    assert await board.calls("apiCallDemo") == 2


async def test_a_form_is_asked_for_anew_when_its_time_is_over(service: Service, board: Board) -> None:
    async with service(node_info_ttl_s=0) as client:
        for _ in range(2):
            await client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE})
    assert await board.calls("apiCallDemo") == 2


async def test_an_app_that_needs_a_password_says_so(shared: httpx.AsyncClient) -> None:
    form = (await shared.post("/get_node_info", json={"webappId": WITH_PASSWORD})).json()
    assert form["accessEncrypted"] is True


async def test_a_form_can_go_back_as_it_is_and_only_known_members_go_up(
    shared: httpx.AsyncClient, board: Board
) -> None:
    form = (await shared.post("/get_node_info", json={"webappId": IMAGE_TO_IMAGE})).json()
    response = await shared.post("/submit_task", json=form)
    assert response.status_code == 202, response.text
    sent = await board.sent("run")
    assert list(sent) == ["apiKey", "webappId", "nodeInfoList"]
    assert [list(item) for item in sent["nodeInfoList"]] == [
        ["nodeId", "fieldName", "fieldType", "fieldValue"]
    ] * 12
