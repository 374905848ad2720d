"""The check before paying: values about to be sent, held against the app's form."""

from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema_rs import Draft202012Validator

from forms.builder import NodeField, WebappForm, field_keys, read_number, sent_value

MAX_ALLOWED_SHOWN = 20

NodeInfo = Mapping[str, Any]
"""One entry of a submitted `nodeInfoList`."""


def validate_node_info(form: WebappForm, node_info_list: Sequence[NodeInfo]) -> list[dict[str, Any]]:
    """What is wrong with the values, in their order; empty when nothing is.

    Each is `{"nodeId", "fieldName", "msg"}`, with the first choices as `allowed` where there are choices.
    """
    known = _known_fields(form)
    errors: list[dict[str, Any]] = []
    for item in node_info_list:
        node_id, field_name = _identity(item)
        fault = _fault(item, known.get((node_id, field_name)))
        if fault:
            errors.append({"nodeId": node_id, "fieldName": field_name, **fault})
    return errors


def value_warnings(form: WebappForm, node_info_list: Sequence[NodeInfo]) -> list[dict[str, Any]]:
    """The files that would run as the author left them, sent as saved or not sent at all.

    They run and cost like any other, on the author's picture; rarely is that meant.
    """
    sent = {_identity(item): sent_value(item.get("fieldValue")) for item in node_info_list}
    return [
        {
            "nodeId": field["nodeId"],
            "fieldName": field["fieldName"],
            "message": "The author's sample file will be used; upload your own if that is not meant.",
        }
        for field in form["nodeInfoList"]
        if _holds_sample(field) and sent.get(_identity(field), field["fieldValue"]) == field["fieldValue"]
    ]


def _holds_sample(field: NodeField) -> bool:
    saved = field["fieldValue"].strip()
    return field["input"]["accept"] is not None and saved.lower() not in {"", "none"}


def _identity(item: Mapping[str, Any]) -> tuple[str, str]:
    return sent_value(item.get("nodeId")), sent_value(item.get("fieldName"))


def _known_fields(form: WebappForm) -> dict[tuple[str, str], tuple[NodeField, dict[str, Any]]]:
    known: dict[tuple[str, str], tuple[NodeField, dict[str, Any]]] = {}
    fields = form["nodeInfoList"]
    for key, field in zip(field_keys(fields), fields, strict=True):
        known.setdefault(_identity(field), (field, form["schema"]["properties"][key]))
    return known


def _fault(item: NodeInfo, known: tuple[NodeField, dict[str, Any]] | None) -> dict[str, Any] | None:
    if known is None:
        return {"msg": "The app has no such field."}
    field, schema = known
    value = _instance(schema, item.get("fieldValue"))
    if value == _instance(schema, field["fieldValue"]):
        return None
    error = next(Draft202012Validator(schema).iter_errors(value), None)
    if error is None:
        return None
    options = field["input"]["options"] or []
    allowed = [option["value"] for option in options[:MAX_ALLOWED_SHOWN]]
    return {"msg": _message(error.kind.name, schema)} | ({"allowed": allowed} if allowed else {})


def _instance(schema: Mapping[str, Any], value: Any) -> str | int | float | bool:
    """The value as its schema's type; a text that is none stays a text, which the schema then refuses."""
    text = sent_value(value)
    if schema["type"] == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if schema["type"] == "string":
        return text
    number = read_number(text)
    return text if number is None else number


def _message(keyword: str, schema: Mapping[str, Any]) -> str:
    if keyword == "minimum":
        return f"Must be at least {schema['minimum']}."
    if keyword == "maximum":
        return f"Must be at most {schema['maximum']}."
    if keyword in {"enum", "oneOf"}:
        return "Is not one of the choices."
    return {
        "integer": "Must be a whole number.",
        "number": "Must be a number.",
        "boolean": "Must be true or false.",
    }[schema["type"]]
