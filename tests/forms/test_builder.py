"""The form of an app, whatever RunningHub's description of it lacks, and what must never be passed on."""

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forms.builder import webapp_form
from forms.types import NodeField, WebappForm
from tests.forms.samples import APP_MEMBERS, DEMO, TEXT, assert_input_is_sound, form_of, input_of, node


def test_the_recorded_app_gives_the_whole_response() -> None:
    checkpoint, lora, positive, negative = DEMO["nodeInfoList"]
    unconstrained = {"options": None, "min": None, "max": None, "step": None, "accept": None}

    def field(sent: dict[str, Any], kind: str, tooltip: str | None) -> dict[str, Any]:
        labels = {"label": sent["description"], "labelEn": sent["descriptionEn"]}
        kept = {name: value for name, value in sent.items() if name != "fieldData"}
        shown = {"type": kind, **labels, "tooltip": tooltip, "default": ""}
        shown |= {"value": sent["fieldValue"], **unconstrained}
        return kept | {"input": shown}

    def schema_of(sent: dict[str, Any], **more: str) -> dict[str, Any]:
        return {"type": "string", "title": sent["description"], **more, "default": sent["fieldValue"]}

    model_tip, lora_tip = "The name of the checkpoint (model) to load.", "The name of the LoRA."
    assert webapp_form("1992755951447109633", DEMO) == {
        "webappId": "1992755951447109633",
        "webappName": "【c0029】基础LoRA配合提示词文生图",
        "description": "基于 LoRA 应用 的 ComfyUI 工作流，通过加载预训练基础模型并叠加多个 LoRA 模型，"
        "实现了特定风格和主题的图像生成。",
        "descriptionEn": "Based on the ComfyUI workflow of LoRA applications, by loading the pre-trained "
        "base model and overlaying multiple LoRA models, specific styles and themes of image generation "
        "are achieved.",
        "covers": [
            {
                "id": "1992766471596208129",
                "url": DEMO["covers"][0]["url"],
                "thumbnailUri": DEMO["covers"][0]["thumbnailUri"],
                "imageWidth": 1280,
                "imageHeight": 720,
            }
        ],
        "tags": [{"id": "1871151815242543197", "name": "文生图", "nameEn": "Text-to-Image"}],
        "accessEncrypted": False,
        "statisticsInfo": {"likeCount": 0, "downloadCount": 0, "useCount": 0, "pv": 0, "collectCount": 0},
        "nodeInfoList": [
            field(checkpoint, "text", model_tip),
            field(lora, "text", lora_tip),
            field(positive, "textarea", None),
            field(negative, "textarea", None),
        ],
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "【c0029】基础LoRA配合提示词文生图",
            "type": "object",
            "properties": {
                "4.ckpt_name": schema_of(checkpoint, description=model_tip),
                "11.lora_name": schema_of(lora, description=lora_tip),
                "15.text": schema_of(positive, format="textarea"),
                "16.text": schema_of(negative, format="textarea"),
            },
            "additionalProperties": False,
        },
    }


@pytest.mark.parametrize(
    ("own", "chinese", "english", "label", "label_en"),
    [
        ("图", "图片", "Picture", "图", "Picture"),
        (None, "图片", "Picture", "图片", "Picture"),
        ("", None, "Picture", "Picture", "Picture"),
        ("图", None, None, "图", "图"),
        (None, "图片", "  ", "图片", "图片"),
        (None, None, None, "field", "field"),
        (["图"], {}, 7, "7", "7"),
    ],
)
def test_where_one_language_is_missing_the_other_labels_the_field(
    own: Any, chinese: Any, english: Any, label: str, label_en: str
) -> None:
    found = input_of("STRING", None, description=own, descriptionCn=chinese, descriptionEn=english)

    assert (found["label"], found["labelEn"]) == (label, label_en)


def test_descriptions_of_a_field_stay_as_runninghub_sent_them() -> None:
    sent = {"description": "", "descriptionCn": "图", "descriptionEn": None}
    field = form_of(node(**sent))["nodeInfoList"][0]

    assert {name: field[name] for name in sent} == sent  # type: ignore[literal-required]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (None, ""),
        ("", ""),
        ("no markup", "no markup"),
        ("<p>one</p><p>two</p>", "one\ntwo"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<ul><li>one</li><li>two</li></ul>tail", "one\ntwo\ntail"),
        ("<p>one</p><p><br></p><p><br></p><p>two</p>", "one\n\ntwo"),
        ("<p>a <b>bold</b>&nbsp; &lt;tag&gt; &amp;amp; &#20013;</p>", "a bold <tag> &amp; 中"),
        ("<script>alert(1)</script><style>p{}</style><!-- c --><p onclick='x'>text</p>", "text"),
        ("<a href='javascript:x'>link</a><img src=x onerror=y>", "link"),
        ("1 < 2", "1 < 2"),
        ("<p unfinished", ""),
        ("half \ud800 pair", "half ? pair"),
        ("<div>" * 3_000 + "deep", ""),
        ("<b>" * 2_000 + "deep" + "</b>" * 2_000, "deep"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_description_is_plain_text(markup: Any, text: str) -> None:
    assert webapp_form("1", {"description": markup})["description"] == text


def test_a_description_in_one_language_replaces_a_missing_one() -> None:
    chinese = webapp_form("1", {"description": "<p>中文</p>", "descriptionEn": "<p></p>"})
    english = webapp_form("1", {"description": None, "descriptionEn": "<p>English</p>"})

    assert (chinese["description"], chinese["descriptionEn"]) == ("中文", "中文")
    assert (english["description"], english["descriptionEn"]) == ("English", "English")


def test_an_app_without_any_member_gives_an_empty_form() -> None:
    assert webapp_form("7", {}) == {
        "webappId": "7",
        "webappName": "",
        "description": "",
        "descriptionEn": "",
        "covers": [],
        "tags": [],
        "accessEncrypted": False,
        "statisticsInfo": {"likeCount": 0, "downloadCount": 0, "useCount": 0, "pv": 0, "collectCount": 0},
        "nodeInfoList": [],
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "",
            "type": "object",
            "properties": {},
            "additionalProperties": False,
        },
    }


def test_members_of_other_types_become_the_types_of_the_contract() -> None:
    form = webapp_form(
        "7",
        {
            "covers": [{"id": 1992766471596208129, "imageWidth": None, "imageHeight": "tall"}, "x", None],
            "tags": [{"id": 2, "nameEn": "Only"}, {"id": "3", "name": "只有"}],
            "accessEncrypted": True,
            "statisticsInfo": {"likeCount": "12", "useCount": 3, "pv": None, "collectCount": "-"},
            "nodeInfoList": [
                node(nodeId=150, nodeName=None, fieldType=None, fieldValue=0.5),
                node(nodeId=None),
                node(fieldName=""),
                "x",
            ],
        },
    )

    cover = {"url": "", "thumbnailUri": "", "imageWidth": None, "imageHeight": None}
    assert form["covers"] == [{"id": "1992766471596208129", **cover}]
    assert form["tags"] == [
        {"id": "2", "name": "Only", "nameEn": "Only"},
        {"id": "3", "name": "只有", "nameEn": "只有"},
    ]
    assert form["accessEncrypted"] is True
    assert form["statisticsInfo"] == {
        "likeCount": 12,
        "downloadCount": 0,
        "useCount": 3,
        "pv": 0,
        "collectCount": 0,
    }
    assert form["nodeInfoList"] == [
        {
            "nodeId": "150",
            "nodeName": "",
            "fieldName": "field",
            "fieldType": "",
            "fieldValue": "0.5",
            "description": None,
            "descriptionCn": None,
            "descriptionEn": None,
            "input": TEXT | {"value": "0.5"},
        }
    ]


def with_unknown_members(value: Any) -> Any:
    if isinstance(value, list):
        return [with_unknown_members(entry) for entry in value]
    if isinstance(value, dict):
        return {name: with_unknown_members(entry) for name, entry in value.items()} | {"leak": "SECRET"}
    return value


def test_members_that_the_contract_does_not_list_are_never_passed_on() -> None:
    parsed = [member | {"fieldData": json.loads(member["fieldData"])} for member in DEMO["nodeInfoList"]]
    padded = with_unknown_members(DEMO | {"nodeInfoList": parsed})

    assert webapp_form("1", padded) == webapp_form("1", DEMO)
    assert "00000000000000000000000000000000" not in json.dumps(webapp_form("1", padded))


@settings(deadline=None, max_examples=100)
@given(st.fixed_dictionaries({}, optional=APP_MEMBERS))
def test_any_response_gives_a_well_formed_form(data: dict[str, Any]) -> None:
    form = webapp_form("1", data)

    json.dumps(form, ensure_ascii=False, allow_nan=False).encode()
    jsonschema_rs.meta.validate(form["schema"])
    jsonschema_rs.Draft202012Validator(form["schema"])
    assert set(form) == WebappForm.__required_keys__
    for field in form["nodeInfoList"]:
        assert set(field) == NodeField.__required_keys__
        assert_input_is_sound(field["input"])
