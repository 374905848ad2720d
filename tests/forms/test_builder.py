"""The form of an app: every known shape of `fieldData`, anything else, and what must never come through."""

import json
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forms.builder import FieldInput, InputType, NodeField, WebappForm, field_keys, sent_value, webapp_form

DATA = Path(__file__).parent.parent / "data"
DEMO = json.loads((DATA / "api-call-demo.json").read_text(encoding="utf-8"))["data"]
SAMPLES = json.loads((DATA / "field-data.json").read_text(encoding="utf-8"))
EXPECTED_INPUTS = json.loads((DATA / "field-inputs.json").read_text(encoding="utf-8"))

NO_CONSTRAINTS: FieldInput = {
    "type": "text",
    "label": "field",
    "labelEn": "field",
    "tooltip": None,
    "default": None,
    "options": None,
    "min": None,
    "max": None,
    "step": None,
    "accept": None,
}
TEXT = NO_CONSTRAINTS | {"default": ""}


def node(field_type: Any = "STRING", field_data: Any = None, **members: Any) -> dict[str, Any]:
    return {
        "nodeId": "1",
        "nodeName": "Node",
        "fieldName": "field",
        "fieldType": field_type,
        "fieldValue": "",
        "fieldData": field_data,
        **members,
    }


def form_of(*nodes: dict[str, Any]) -> WebappForm:
    return webapp_form("1992755951447109633", {"nodeInfoList": list(nodes)})


def input_of(field_type: Any, field_data: Any, **members: Any) -> FieldInput:
    return form_of(node(field_type, field_data, **members))["nodeInfoList"][0]["input"]


def property_of(field_type: Any, field_data: Any, saved: Any = "", **members: Any) -> dict[str, Any]:
    properties = form_of(node(field_type, field_data, fieldValue=saved, **members))["schema"]["properties"]
    found: dict[str, Any] = properties["1.field"]
    return found


def values_of(field_type: str, field_data: Any) -> list[str]:
    return [option["value"] for option in input_of(field_type, field_data)["options"] or []]


def same_choices(*values: str) -> list[dict[str, Any]]:
    return [{"value": value, "label": value, "labelEn": None} for value in values]


def test_the_recorded_app_becomes_the_whole_answer() -> None:
    checkpoint, lora, positive, negative = DEMO["nodeInfoList"]
    unconstrained = {"options": None, "min": None, "max": None, "step": None, "accept": None}

    def field(sent: dict[str, Any], kind: str, tooltip: str | None) -> dict[str, Any]:
        labels = {"label": sent["description"], "labelEn": sent["descriptionEn"]}
        kept = {name: value for name, value in sent.items() if name != "fieldData"}
        return kept | {"input": {"type": kind, **labels, "tooltip": tooltip, "default": "", **unconstrained}}

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


@pytest.mark.parametrize(("sample", "expected"), list(zip(SAMPLES, EXPECTED_INPUTS, strict=True)))
def test_every_sample_from_the_wild_has_its_input(sample: dict[str, Any], expected: FieldInput) -> None:
    assert input_of(sample["fieldType"], sample["fieldData"], fieldName=sample["fieldName"]) == expected


@pytest.mark.parametrize(
    ("field_type", "field_data", "kind"),
    [
        ("int", None, "integer"),
        ("Float", '["FLOAT", {}]', "number"),
        ("NUMBER", None, "number"),
        ("TEXT", '["STRING", {"multiline": true}]', "textarea"),
        ("STRING", '["STRING", {"multiline": false}]', "text"),
        ("FLOAT", '["INT", {"min": 1}]', "number"),
        ("INT", "null", "integer"),
        ("INT", "  ", "integer"),
        ("INT", '["INT"]', "integer"),
        ("INT", "[]", "integer"),
        ("INT", {"min": 0}, "integer"),
        ("BOOLEAN", [["true", "false"]], "boolean"),
        ("COMBO", [["a"]], "select"),
        ("SELECT", [["a"]], "select"),
        ("SWITCH", None, "text"),
        ("SWITCH", [["a", "b"]], "select"),
        ("LIST", [["a"], None], "select"),
        ("LIST", '["INT", {"min": 1}]', "text"),
        ("LIST", ["STRING", "CKPT"], "text"),
        ("LIST", ["CKPT"], "text"),
        ("LIST", ["LORA"], "text"),
        ("LIST", [[]], "text"),
        ("LIST", [[None, {}, []]], "text"),
        ("LIST", ["COMBO", {"options": "a"}], "text"),
        ("CKPT", [["a.safetensors"], {}], "text"),
        ("CKPT", [{}, {"multiline": True}], "text"),
        ("STRING", [["a", "b"]], "text"),
        ("UNHEARD_OF", ["INT", {"min": 1}], "text"),
        (None, ["INT", {"min": 1}], "text"),
        (7, [["a"]], "text"),
        ("ZIP", None, "file"),
        ("IMAGE", "not JSON", "image"),
        ("IMAGE", [["a.png"], {"image_upload": False}], "image"),
        ("LIST", [["a.png"], {"image_upload": True}], "image"),
        ("LIST", [["a.png"], {"image_upload": False}], "select"),
        ("LIST", ["COMBO", {"options": ["a.mp4"], "video_upload": True}], "video"),
        ("STRING", ["STRING", {"audio_upload": True}], "audio"),
        ("CKPT", [{}, {"image_upload": True}], "image"),
    ],
)
def test_the_type_follows_the_field_type_and_the_shape(field_type: Any, field_data: Any, kind: str) -> None:
    assert input_of(field_type, field_data)["type"] == kind


@pytest.mark.parametrize("field_type", ["STRING", "LIST", "INT", "FLOAT", "BOOLEAN", "CKPT", "SOMETHING"])
@pytest.mark.parametrize(
    "field_data",
    [
        "not JSON",
        '["INT", {"min": 0',
        "a, b, c",
        '"text"',
        "5",
        "true",
        5,
        '[1, {"min": 0}]',
        "[null]",
        '["INT", {}] tail',
        "[" * 5_000 + "]" * 5_000,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
        "x" * 100_000,
        json.dumps([[f"option {number}" for number in range(10_000)]]),
        json.dumps([{"name": str(number)} for number in range(1_001)]),
        json.dumps(["COMBO", {"options": list(range(1_001))}]),
        f'["INT", {{"max": {"9" * 5_000}}}]',
    ],
    ids=lambda value: str(value)[:20],
)
def test_broken_unknown_or_oversized_field_data_gives_a_text_input(field_type: str, field_data: Any) -> None:
    assert input_of(field_type, field_data) == TEXT


def test_a_thousand_choices_and_sixty_four_thousand_characters_are_still_read() -> None:
    thousand = [str(number) for number in range(1_000)]

    assert values_of("LIST", json.dumps([thousand])) == values_of("LIST", thousand) == thousand
    assert input_of("INT", '["INT", {"max": 5}]'.ljust(65_536))["max"] == 5
    assert input_of("INT", '["INT", {"max": 5}]'.ljust(65_537)) == TEXT


def test_a_structure_nested_without_end_is_read_as_no_choice() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]

    assert input_of("LIST", nested) == TEXT
    assert form_of(node(fieldValue=nested))["nodeInfoList"][0]["fieldValue"] == ""


@pytest.mark.parametrize(
    ("field_data", "values"),
    [
        ([[10, 1.5, 2.0, True, "x"]], ["10", "1.5", "2", "true", "x"]),
        ([["b", "a", "b", "c", "a"]], ["b", "a", "c"]),
        ([["", "a"]], ["", "a"]),
        (["image", "video"], ["image", "video"]),
        ([["a.png", "example.png", "None", "keep_this_dic"]], ["a.png", "None"]),
        ([["a", None, ["b"], {"name": "c"}]], ["a", "c"]),
        ([{"name": "a"}, {"name": "b", "index": 0}, {"name": "c", "index": ""}], ["a", "0", "c"]),
        ([{"name": "a", "index": "1"}, {"name": "b", "index": 1.0}], ["1"]),
        ([{"index": 2.5}, {"default": 1}, {"name": None, "index": None}], ["2.5"]),
        ([{"index": "1", "value": "2", "name": "3"}, {"value": "4", "name": "5"}], ["1", "4"]),
        ({"options": [{"label": "A", "value": "a"}]}, ["a"]),
        ([{"label": "A", "value": "a"}], ["a"]),
        (["ANYTHING", {"options": ["a", "b"]}], ["a", "b"]),
        ('[{"name":"input1","index":1.0},{"name":"input2","index":2.0}]', ["1", "2"]),
        ('[["\\ud800"]]', ["?"]),
    ],
)
def test_choices_are_strings_in_order_and_each_once(field_data: Any, values: list[str]) -> None:
    assert values_of("LIST", field_data) == values


def test_a_choice_is_labelled_by_description_or_name_or_label_or_value() -> None:
    choices = [
        {"index": "1", "name": "one", "description": "The first", "descriptionEn": "First"},
        {"index": "2", "name": "two", "description": " ", "descriptionEn": ""},
        {"value": "3", "label": "Three"},
        {"index": 4},
    ]

    assert input_of("LIST", choices)["options"] == [
        {"value": "1", "label": "The first", "labelEn": "First"},
        {"value": "2", "label": "two", "labelEn": None},
        {"value": "3", "label": "Three", "labelEn": None},
        {"value": "4", "label": "4", "labelEn": None},
    ]


@pytest.mark.parametrize(
    ("field_type", "field_data", "default"),
    [
        ("INT", ["INT", {"default": 5}], 5),
        ("INT", ["INT", {"default": 5.0}], 5),
        ("INT", ["INT", {"default": "5"}], 5),
        ("INT", ["INT", {"default": 5.5}], None),
        ("INT", ["INT", {"default": True}], None),
        ("INT", ["INT", {"default": 2**53}], None),
        ("FLOAT", ["FLOAT", {"default": 0.7000000000000001}], 0.7000000000000001),
        ("FLOAT", '["FLOAT", {"default": NaN}]', None),
        ("FLOAT", '["FLOAT", {"default": 1e400}]', None),
        ("BOOLEAN", ["BOOLEAN", {"default": True}], True),
        ("BOOLEAN", ["BOOLEAN", {"default": "False"}], False),
        ("BOOLEAN", ["BOOLEAN", {"default": 1}], None),
        ("STRING", ["STRING", {"default": "a cat"}], "a cat"),
        ("STRING", ["STRING", {"default": 5}], "5"),
        ("STRING", ["STRING", {"default": ["a"]}], ""),
        ("IMAGE", [["a.png"], {"image_upload": True, "default": "a.png"}], None),
        ("LIST", [["a", "b"], {"default": "b"}], "b"),
        ("LIST", [["a", "b"], {"default": "c"}], None),
        ("LIST", [["", "b"]], None),
        ("LIST", [[10, 15], {"default": 10}], "10"),
        ("LIST", [["a", "example.png"], {"default": "example.png"}], None),
        ("LIST", [{"name": "x", "index": 2.0}, {"default": 2}], "2"),
        ("LIST", [{"name": "x", "index": 2.0}, {"default": "x"}], "2"),
        ("LIST", [{"name": "x", "index": "example.png"}, {"name": "y"}, {"default": "x"}], None),
        ("LIST", [{"name": None}, {"name": "y"}, {"default": ""}], None),
        ("LIST", [{"name": "x", "index": "y"}, {"name": "y", "index": "z"}, {"default": "y"}], "y"),
    ],
)
def test_the_default_is_the_nodes_own_typed_as_the_input(
    field_type: str, field_data: Any, default: Any
) -> None:
    found = input_of(field_type, field_data)["default"]

    assert (found, type(found)) == (default, type(default))


@pytest.mark.parametrize(
    ("bound", "kept"),
    [
        ("0", 0),
        ("-0.5", -0.5),
        ("9007199254740991", 2**53 - 1),
        ("-9007199254740991", 1 - 2**53),
        ("9007199254740992", None),
        ("9223372036854775807", None),
        ("9223372036854775808", None),
        ("-9223372036854775808", None),
        ("18446744073709551615", None),
        ("1.8446744073709552e19", None),
        ("1.7976931348623157e308", None),
        ("-1.797e308", None),
        ("1e400", None),
        ("NaN", None),
        ("-Infinity", None),
        ("true", None),
        ("null", None),
        ("[1]", None),
        ('"0.25"', 0.25),
        ('"many"', None),
    ],
)
@pytest.mark.parametrize(("name", "keyword"), [("min", "minimum"), ("max", "maximum")])
def test_a_bound_is_kept_where_javascript_holds_it_exactly(
    name: str, keyword: str, bound: str, kept: float | None
) -> None:
    field_data = f'["FLOAT", {{"{name}": {bound}}}]'

    assert input_of("FLOAT", field_data)[name] == kept  # type: ignore[literal-required]
    assert property_of("FLOAT", field_data).get(keyword) == kept


def test_bounds_that_leave_no_value_are_dropped_and_equal_ones_are_kept() -> None:
    crossed = input_of("INT", ["INT", {"min": 5, "max": 4, "step": 2}])
    equal = input_of("INT", ["INT", {"min": 5, "max": 5}])

    assert (crossed["min"], crossed["max"], crossed["step"]) == (None, None, 2)
    assert (equal["min"], equal["max"]) == (5, 5)


@pytest.mark.parametrize(("step", "kept"), [(0.1, 0.1), (1, 1), (0, None), (-1, None), ("x", None)])
def test_a_step_is_positive_or_none(step: Any, kept: float | None) -> None:
    assert input_of("FLOAT", ["FLOAT", {"step": step}])["step"] == kept


@pytest.mark.parametrize(
    ("field_type", "kind", "accept"),
    [
        ("IMAGE", "image", "image/*"),
        ("AUDIO", "audio", "audio/*"),
        ("VIDEO", "video", "video/*"),
        ("ZIP", "file", ".zip"),
    ],
)
def test_a_file_field_says_which_files_it_takes(field_type: str, kind: str, accept: str) -> None:
    assert input_of(field_type, None) == NO_CONSTRAINTS | {"type": kind, "accept": accept}


def test_only_numbers_have_bounds() -> None:
    limits = {"min": 1, "max": 2, "step": 1}

    assert input_of("STRING", ["STRING", limits]) == TEXT
    assert input_of("BOOLEAN", ["BOOLEAN", limits]) == NO_CONSTRAINTS | {"type": "boolean"}


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


@pytest.mark.parametrize(("tooltip", "shown"), [("Help", "Help"), ("", None), (None, None), (["x"], None)])
def test_a_tooltip_is_text_or_none(tooltip: Any, shown: str | None) -> None:
    assert input_of("STRING", ["STRING", {"tooltip": tooltip}])["tooltip"] == shown
    assert property_of("STRING", ["STRING", {"tooltip": tooltip}]).get("description") == shown


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
        ("<div>" * 5_000 + "deep", ""),
        ("<b>" * 5_000 + "deep" + "</b>" * 5_000, "deep"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_description_is_plain_text(markup: Any, text: str) -> None:
    assert webapp_form("1", {"description": markup})["description"] == text


def test_a_description_in_one_language_stands_in_for_the_other() -> None:
    chinese = webapp_form("1", {"description": "<p>中文</p>", "descriptionEn": "<p></p>"})
    english = webapp_form("1", {"description": None, "descriptionEn": "<p>English</p>"})

    assert (chinese["description"], chinese["descriptionEn"]) == ("中文", "中文")
    assert (english["description"], english["descriptionEn"]) == ("English", "English")


def test_an_app_of_which_nothing_is_known_is_an_empty_form() -> None:
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


def test_odd_members_become_the_types_of_the_contract() -> None:
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
            "input": TEXT,
        }
    ]


def with_unknown_members(value: Any) -> Any:
    if isinstance(value, list):
        return [with_unknown_members(entry) for entry in value]
    if isinstance(value, dict):
        return {name: with_unknown_members(entry) for name, entry in value.items()} | {"leak": "SECRET"}
    return value


def test_members_that_the_contract_does_not_list_never_come_through() -> None:
    parsed = [member | {"fieldData": json.loads(member["fieldData"])} for member in DEMO["nodeInfoList"]]
    padded = with_unknown_members(DEMO | {"nodeInfoList": parsed})

    assert webapp_form("1", padded) == webapp_form("1", DEMO)
    assert "00000000000000000000000000000000" not in json.dumps(webapp_form("1", padded))


def test_integers_get_an_integer_schema_with_their_saved_value() -> None:
    field_data = ["INT", {"min": 1, "max": 64, "step": 8, "default": 16, "tooltip": "How many"}]

    assert property_of("INT", field_data, "8", description="数量") == {
        "type": "integer",
        "title": "数量",
        "description": "How many",
        "minimum": 1,
        "maximum": 64,
        "default": 8,
    }


@pytest.mark.parametrize(
    ("field_type", "field_data", "saved", "expected"),
    [
        (
            "FLOAT",
            None,
            "0.7000000000000001",
            {"type": "number", "title": "field", "default": 0.7000000000000001},
        ),
        ("FLOAT", None, "", {"type": "number", "title": "field"}),
        ("INT", None, "18446744073709551615", {"type": "integer", "title": "field"}),
        ("INT", ["INT", {"max": 5}], "6", {"type": "integer", "title": "field", "maximum": 5}),
        ("INT", ["INT", {"min": 5}], "4", {"type": "integer", "title": "field", "minimum": 5}),
        (
            "INT",
            ["INT", {"min": 5, "max": 5}],
            "5",
            {"type": "integer", "title": "field", "minimum": 5, "maximum": 5, "default": 5},
        ),
        ("BOOLEAN", None, "false", {"type": "boolean", "title": "field", "default": False}),
        ("BOOLEAN", None, True, {"type": "boolean", "title": "field", "default": True}),
        ("STRING", None, "hi", {"type": "string", "title": "field", "default": "hi"}),
        (
            "STRING",
            ["STRING", {"multiline": True}],
            "hi",
            {"type": "string", "title": "field", "format": "textarea", "default": "hi"},
        ),
        (
            "IMAGE",
            None,
            "a.png",
            {"type": "string", "title": "field", "contentMediaType": "image/*", "default": "a.png"},
        ),
        (
            "ZIP",
            None,
            "",
            {"type": "string", "title": "field", "contentMediaType": "application/zip", "default": ""},
        ),
        (
            "LIST",
            [["a", "b"]],
            "b",
            {"type": "string", "title": "field", "enum": ["a", "b"], "default": "b"},
        ),
        ("LIST", [["a"]], "", {"type": "string", "title": "field", "enum": ["a"]}),
        (
            "LIST",
            [["", "a"]],
            "",
            {"type": "string", "title": "field", "enum": ["", "a"], "default": ""},
        ),
        (
            "LIST",
            [["a"]],
            "gone",
            {"type": "string", "title": "field", "enum": ["a", "gone"], "default": "gone"},
        ),
        (
            "SWITCH",
            [{"name": "one", "index": 1.0}, {"name": "two", "index": 2.0}],
            "2",
            {
                "type": "string",
                "title": "field",
                "oneOf": [{"const": "1", "title": "one"}, {"const": "2", "title": "two"}],
                "default": "2",
            },
        ),
    ],
)
def test_the_schema_carries_type_choices_hints_and_the_saved_value(
    field_type: str, field_data: Any, saved: Any, expected: dict[str, Any]
) -> None:
    assert property_of(field_type, field_data, saved) == expected


def test_an_untouched_form_fits_its_own_schema() -> None:
    form = form_of(
        *(node(**sample, nodeId=str(number)) for number, sample in enumerate(map(renamed, SAMPLES)))
    )
    properties = form["schema"]["properties"]
    untouched = {key: schema["default"] for key, schema in properties.items() if "default" in schema}

    jsonschema_rs.Draft202012Validator(form["schema"]).validate(untouched)
    assert {key: sent_value(value) for key, value in untouched.items()} == {
        f"{number}.{sample['fieldName']}": sample["fieldValue"] for number, sample in enumerate(SAMPLES)
    }


def renamed(sample: dict[str, Any]) -> dict[str, Any]:
    return {
        "field_type": sample["fieldType"],
        "field_data": sample["fieldData"],
        "fieldName": sample["fieldName"],
        "fieldValue": sample["fieldValue"],
    }


def test_fields_keep_apart_whatever_their_names_hold() -> None:
    identities = [
        ("150:5", "text"),
        ("150:5", "sampling_mode.top_p"),
        ("150", "提示词"),
        ("a", "b.c"),
        ("a.b", "c"),
        ("a.b", "c#2"),
        ("150:5", "text"),
    ]
    form = form_of(*(node(nodeId=node_id, fieldName=name) for node_id, name in identities))

    keys = [
        "150:5.text",
        "150:5.sampling_mode.top_p",
        "150.提示词",
        "a.b.c",
        "a.b.c#2",
        "a.b.c#2#2",
        "150:5.text",
    ]
    assert field_keys(form["nodeInfoList"]) == keys
    assert list(form["schema"]["properties"]) == keys[:-1]


def test_of_two_entries_for_one_field_the_first_draws_it() -> None:
    form = form_of(node("INT"), node("BOOLEAN"))

    assert form["schema"]["properties"] == {"1.field": {"type": "integer", "title": "field"}}


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("as it is ", "as it is "),
        (8, "8"),
        (-0.7, "-0.7"),
        (2.0, "2"),
        (1e22, "1e+22"),
        (18446744073709551615, "18446744073709551615"),
        (True, "true"),
        (False, "false"),
        (None, ""),
        ([1, "图", {"a": None}], '[1,"图",{"a":null}]'),
        ("\ud83d", "?"),
        (["\ud83d"], '["?"]'),
        ([10**5_000], ""),
    ],
)
def test_a_value_goes_up_as_a_string(value: Any, sent: str) -> None:
    assert sent_value(value) == sent


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SETTING_NAMES = ["min", "max", "step", "default", "options", "multiline", "tooltip", "image_upload"]
CHOICE_NAMES = ["name", "index", "value", "label", "description", "descriptionEn", "default"]
SETTINGS = st.dictionaries(st.sampled_from(SETTING_NAMES), JSON)
CHOICES = st.lists(JSON | st.dictionaries(st.sampled_from(CHOICE_NAMES), JSON), max_size=6)
TAGS = st.sampled_from(["STRING", "INT", "FLOAT", "COMBO", "BOOLEAN", "other"])
SHAPES = (
    JSON
    | SETTINGS
    | CHOICES
    | st.tuples(TAGS, SETTINGS).map(list)
    | st.tuples(CHOICES, SETTINGS).map(list)
    | st.tuples(SETTINGS, SETTINGS).map(list)
)
FIELD_TYPES = st.sampled_from(["STRING", "INT", "FLOAT", "LIST", "SWITCH", "BOOLEAN", "IMAGE", "ZIP"]) | JSON
FIELD_MEMBERS = {
    "nodeId": st.sampled_from(["1", "150:5", "a.b"]) | JSON,
    "fieldName": st.sampled_from(["text", "b.c", "c"]) | JSON,
    "fieldType": FIELD_TYPES,
    "fieldData": SHAPES | SHAPES.map(json.dumps) | st.text(),
    "fieldValue": JSON,
    "description": JSON,
    "descriptionCn": JSON,
    "descriptionEn": JSON,
}
APP_MEMBERS = {
    "nodeInfoList": st.lists(st.fixed_dictionaries({}, optional=FIELD_MEMBERS) | JSON, max_size=5) | JSON,
    "covers": st.lists(st.fixed_dictionaries({}, optional={"id": JSON, "imageWidth": JSON})) | JSON,
    "tags": st.lists(st.fixed_dictionaries({}, optional={"id": JSON, "name": JSON})) | JSON,
    "statisticsInfo": st.dictionaries(st.sampled_from(["pv", "likeCount"]), JSON) | JSON,
    "webappName": JSON,
    "description": JSON,
    "descriptionEn": JSON,
    "accessEncrypted": JSON,
}


@settings(deadline=None, max_examples=100)
@given(st.fixed_dictionaries({}, optional=APP_MEMBERS))
def test_whatever_runninghub_answers_the_form_keeps_its_promises(data: dict[str, Any]) -> None:
    form = webapp_form("1", data)

    json.dumps(form, ensure_ascii=False, allow_nan=False).encode()
    jsonschema_rs.meta.validate(form["schema"])
    jsonschema_rs.Draft202012Validator(form["schema"])
    assert set(form) == WebappForm.__required_keys__
    for field in form["nodeInfoList"]:
        assert set(field) == NodeField.__required_keys__
        assert_input_is_sound(field["input"])


def assert_input_is_sound(shown: FieldInput) -> None:
    options = shown["options"]
    assert set(shown) == FieldInput.__required_keys__
    assert shown["type"] in get_args(InputType)
    assert (options is not None) == (shown["type"] == "select")
    assert all(isinstance(option["value"], str) for option in options or [])
    assert all(abs(shown[name] or 0) < 2**53 for name in ("min", "max", "step"))
    assert (shown["accept"] is not None) == (shown["type"] in {"image", "audio", "video", "file"})


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(SAMPLES), JSON)
def test_every_saved_value_is_a_string_and_every_default_fits_its_schema(
    sample: dict[str, Any], saved: Any
) -> None:
    form = form_of(node(sample["fieldType"], sample["fieldData"], fieldValue=saved))
    schema = form["schema"]["properties"]["1.field"]

    assert isinstance(form["nodeInfoList"][0]["fieldValue"], str)
    if "default" in schema:
        jsonschema_rs.Draft202012Validator(schema).validate(schema["default"])
