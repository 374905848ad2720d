"""The shape of a form: what `/get_node_info` returns, and what validation and the cache work with."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import WithJsonSchema
from typing_extensions import TypeAliasType, TypedDict  # pydantic requires this one before Python 3.12

InputType = Literal[
    "text", "textarea", "integer", "number", "boolean", "select", "image", "audio", "video", "file"
]

Value = str | int | float | bool | None
"""A value in the type of its input."""


class Choice(TypedDict):
    """One option of a select; `value` is the string to send back as `fieldValue`."""

    value: str
    label: str
    labelEn: str | None


class FieldInput(TypedDict):
    """How a page shows one field, without knowing RunningHub."""

    type: InputType
    label: str
    labelEn: str
    tooltip: str | None
    default: str | int | float | bool | None
    value: str | int | float | bool | None
    options: list[Choice] | None
    min: int | float | None
    max: int | float | None
    step: int | float | None
    accept: str | None


class NodeField(TypedDict):
    """One entry of RunningHub's `nodeInfoList`, with `input` in place of `fieldData`."""

    nodeId: str
    nodeName: str
    fieldName: str
    fieldType: str
    fieldValue: str
    description: str | None
    descriptionCn: str | None
    descriptionEn: str | None
    input: FieldInput


class Cover(TypedDict):
    """An image or video that shows the app; a video has no width and height."""

    id: str
    url: str
    thumbnailUri: str
    imageWidth: int | None
    imageHeight: int | None


class Tag(TypedDict):
    """A keyword of the app."""

    id: str
    name: str
    nameEn: str


# What forms/json_schema.py writes, for the OpenAPI document; it is not validated when it is returned.
FormSchema = TypeAliasType(
    "FormSchema",
    Annotated[
        dict[str, Any],
        WithJsonSchema(
            {
                "type": "object",
                "description": "A JSON Schema with one property for each field.",
                "required": ["$schema", "title", "type", "properties", "additionalProperties"],
                "properties": {
                    "$schema": {"type": "string"},
                    "title": {"type": "string"},
                    "type": {"const": "object"},
                    "properties": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "required": ["type", "title"],
                            "properties": {
                                "type": {
                                    "type": "string",
                                    "enum": ["string", "integer", "number", "boolean"],
                                },
                                **{name: {"type": "string"} for name in ("title", "description", "format")},
                                "contentMediaType": {"type": "string"},
                                "default": {"type": ["string", "number", "boolean"]},
                                "minimum": {"type": "number"},
                                "maximum": {"type": "number"},
                                "enum": {"type": "array", "items": {"type": "string"}},
                                "oneOf": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "required": ["const", "title"],
                                        "properties": {
                                            "const": {"type": "string"},
                                            "title": {"type": "string"},
                                        },
                                    },
                                },
                            },
                        },
                    },
                    "additionalProperties": {"const": False},
                },
            }
        ),
    ],
)


class FormMembers(TypedDict):
    """What the forms of apps and of workflows have in common."""

    webappName: str
    description: str
    descriptionEn: str
    covers: list[Cover]
    tags: list[Tag]
    accessEncrypted: bool
    statisticsInfo: dict[str, int]
    nodeInfoList: list[NodeField]
    schema: FormSchema
    truncated: NotRequired[Literal[True]]
    """Only where fields were left out, because there were too many or one was too long."""


class _WebappId(TypedDict):
    webappId: str


class _WorkflowId(TypedDict):
    workflowId: str


# The id's own base class comes first, so that it is the first member of the response too.
class WebappForm(_WebappId, FormMembers):
    """The form of an AI app."""


class WorkflowForm(_WorkflowId, FormMembers):
    """The form of a plain workflow; it has no name, description, covers or tags."""


Form = WebappForm | WorkflowForm
