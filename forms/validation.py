"""Validation before anything is paid: the values of a submit, validated against the form."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jsonschema_rs import Draft202012Validator

from forms.json_schema import field_keys
from forms.types import Form, NodeField
from forms.values import read_number, sent_value

MAX_ALLOWED_SHOWN = 20
NO_FIELD_IN_APP = "The app has no such field."
NO_FIELD_IN_WORKFLOW = "The workflow has no such field."
KEY_FORMAT = "A key is the node id, a dot and the field name."

NodeInfo = Mapping[str, Any]
"""One entry of a submitted `nodeInfoList`."""


class _Rule(NamedTuple):
    field: NodeField
    schema: dict[str, Any]
    validator: Draft202012Validator


def validate_node_info(form: Form, node_info_list: Sequence[NodeInfo]) -> list[dict[str, Any]]:
    """What is wrong with the values, in their order; empty when nothing is.

    Each is `{"nodeId", "fieldName", "msg"}`, with the first choices as `allowed` where there are choices.
    A form that is empty or truncated does not know every field, so it rejects none.
    """
    items = [(_identity(item), item.get("fieldValue")) for item in node_info_list]
    rules = _rules(form, {identity for identity, _ in items})
    unknown_fault = {"msg": _no_such_field(form)} if _is_complete(form) else None
    errors: list[dict[str, Any]] = []
    for identity, value in items:
        fault = _fault(rules[identity], value) if identity in rules else unknown_fault
        if fault:
            errors.append({"nodeId": identity[0], "fieldName": identity[1], **fault})
    return errors


def _rules(form: Form, identities: set[tuple[str, str]]) -> dict[tuple[str, str], _Rule]:
    """The rule for each of the fields; where two have the same identity, the first one counts."""
    return {
        identity: _Rule(field, schema, Draft202012Validator(schema))
        for _, field, schema in reversed(_fields(form))
        if (identity := _identity(field)) in identities
    }


def node_info_from_values(
    form: Form | None, values: Mapping[str, Any]
) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """The `nodeInfoList` for a flat object with the keys of `schema`, and an error for each unknown key.

    Without a complete form (None, or an empty or truncated one) an unknown key is split at its first dot:
    node ids have none in practice, and RunningHub rejects a field that does not exist.
    """
    known = {key: field for key, field, _ in reversed(_fields(form))} if form else {}
    unknown_msg = _no_such_field(form) if form and _is_complete(form) else None
    node_info_list: list[dict[str, str]] = []
    errors: list[dict[str, Any]] = []
    for key, value in values.items():
        node_id, _, field_name = key.partition(".")
        msg = unknown_msg or (None if node_id and field_name else KEY_FORMAT)
        if field := known.get(key):
            # A workflow's types are derived from its values; RunningHub knows the real ones.
            field_type = "" if form and "workflowId" in form else field["fieldType"]
            node_info_list.append(_item(field["nodeId"], field["fieldName"], field_type, value))
        elif msg:
            errors.append({"nodeId": node_id, "fieldName": field_name, "msg": msg})
        else:
            node_info_list.append(_item(node_id, field_name, "", value))
    return node_info_list, errors


def _item(node_id: str, field_name: str, field_type: str, value: Any) -> dict[str, str]:
    kind = {"fieldType": field_type} if field_type else {}
    return {"nodeId": node_id, "fieldName": field_name, **kind, "fieldValue": sent_value(value)}


def value_warnings(form: Form, node_info_list: Sequence[NodeInfo]) -> list[dict[str, Any]]:
    """Warnings for files that stay as the author saved them, whether sent as saved or not sent at all.

    The task runs and is charged for, but on the author's file, which is rarely intended.
    """
    sent = {_identity(item): sent_value(item.get("fieldValue")) for item in node_info_list}
    return [
        {
            "nodeId": field["nodeId"],
            "fieldName": field["fieldName"],
            "message": "The author's sample file will be used; upload your own if that is not meant.",
        }
        for field in form["nodeInfoList"]
        if _has_sample(field) and sent.get(_identity(field), field["fieldValue"]) == field["fieldValue"]
    ]


def _has_sample(field: NodeField) -> bool:
    saved = field["fieldValue"].strip()
    return field["input"]["accept"] is not None and saved.lower() not in {"", "none"}


def _identity(item: Mapping[str, Any]) -> tuple[str, str]:
    return sent_value(item.get("nodeId")), sent_value(item.get("fieldName"))


def _fields(form: Form) -> list[tuple[str, NodeField, dict[str, Any]]]:
    """Each field with its key and the schema that its values must pass."""
    fields, properties = form["nodeInfoList"], form["schema"]["properties"]
    keyed = zip(field_keys(fields), fields, strict=True)
    return [(key, field, _value_schema(form, properties[key])) for key, field in keyed]


def _value_schema(form: Form, schema: dict[str, Any]) -> dict[str, Any]:
    """In a workflow's graph `8` can be the 8.0 of a float, so that any number may be valid there."""
    if "workflowId" in form and schema["type"] == "integer":
        return schema | {"type": "number"}
    return schema


def _is_complete(form: Form) -> bool:
    """RunningHub describes an app that was never run on its site without any field."""
    return bool(form["nodeInfoList"]) and not form.get("truncated")


def _no_such_field(form: Form) -> str:
    return NO_FIELD_IN_WORKFLOW if "workflowId" in form else NO_FIELD_IN_APP


def _fault(rule: _Rule, sent: Any) -> dict[str, Any] | None:
    field, schema, validator = rule
    value = _instance(schema, sent)
    if value == _instance(schema, field["fieldValue"]):
        return None
    error = next(validator.iter_errors(value), None)
    if error is None:
        return None
    options = field["input"]["options"] or []
    allowed = [option["value"] for option in options[:MAX_ALLOWED_SHOWN]]
    return {"msg": _message(error.kind.name, schema)} | ({"allowed": allowed} if allowed else {})


def _instance(schema: Mapping[str, Any], value: Any) -> str | int | float | bool:
    """The value in its schema's type; a text of another type stays a text, which the schema then rejects."""
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
