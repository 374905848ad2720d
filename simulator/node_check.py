"""What RunningHub refuses in a `nodeInfoList`: fields the app lacks (803), values ComfyUI rejects (433)."""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from simulator.apps import App, Node

NodeError = dict[str, Any]
_UPLOADED = re.compile(r"(api/|openapi/)?[0-9a-f]{64}(\.\w+)?")
"""The names that uploads are given."""


def unknown_field(app: App, items: list[Any]) -> tuple[str, str, str] | None:
    """`(nodeId, fieldName, reason)` of the first item that the app does not have, or None."""
    node_ids = {node["nodeId"] for node in app.nodes}
    for item in items:
        if not isinstance(item, dict):
            return "null", "null", "node_not_found_in_workflow"
        node_id, field_name = str(item.get("nodeId")), str(item.get("fieldName"))
        if node_id not in node_ids:
            return node_id, field_name, "node_not_found_in_workflow"
        if (node_id, field_name) not in _rules(app):
            return node_id, field_name, "field_not_found_in_node_inputs"
    return None


def node_errors(app: App, items: list[Any]) -> dict[str, NodeError]:
    """ComfyUI's `node_errors` for values that do not fit their fields; empty when all fit."""
    found: dict[str, NodeError] = {}
    for item in items:
        node, rule = _rules(app)[(str(item["nodeId"]), str(item["fieldName"]))]
        value = as_text(item.get("fieldValue"))
        error = None if value == node["fieldValue"] else _value_error(node, rule, value)
        if error:
            found.setdefault(node["nodeId"], _node_error(app, node))["errors"].append(error)
    return found


def missing_files(app: App, items: list[Any], is_known: Callable[[str], bool]) -> dict[str, NodeError]:
    """ComfyUI's `node_errors` for names of uploads that this host does not have."""
    found: dict[str, NodeError] = {}
    for item in items:
        node, _ = _rules(app)[(str(item["nodeId"]), str(item["fieldName"]))]
        name, value = node["fieldName"], as_text(item.get("fieldValue"))
        if value == node["fieldValue"] or not _UPLOADED.fullmatch(value) or is_known(value):
            continue
        details = f"{name} - Invalid file: {value}"
        error = _error("custom_validation_failed", "Custom validation failed for node", details, name, value)
        found.setdefault(node["nodeId"], _node_error(app, node))["errors"].append(error)
    return found


def as_text(value: Any) -> str:
    """A fieldValue as RunningHub reads it: numbers and booleans become text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def errors_as_text(errors: dict[str, NodeError]) -> str:
    """One line for a `msg`, naming each fault the way ComfyUI prints it."""
    return "; ".join(
        f"nodeId={node_id} ({found['class_type']}): {error['type']}: {error['message']}: {error['details']}"
        for node_id, found in errors.items()
        for error in found["errors"]
    )


@lru_cache(maxsize=256)
def _rules(app: App) -> dict[tuple[str, str], tuple[Node, Any]]:
    return {(node["nodeId"], node["fieldName"]): (node, _rule(node)) for node in app.nodes}


def _rule(node: Node) -> Any:
    """The list of legal values, or the dict of bounds, that the node's `fieldData` holds."""
    spec = json.loads(node["fieldData"] or "[]")
    if node["fieldType"] in {"INT", "FLOAT"}:
        return spec[1] if spec else {}
    if node["fieldType"] not in {"LIST", "SWITCH"}:
        return None
    if spec[0] == "COMBO":
        return spec[1]["options"]
    if isinstance(spec[0], list):
        return [str(option) for option in spec[0]]
    return [_index_text(option["index"]) for option in spec if "index" in option]


def _index_text(index: str | float) -> str:
    return index if isinstance(index, str) else str(int(index))


def _value_error(node: Node, rule: Any, value: str) -> dict[str, Any] | None:
    name, kind = node["fieldName"], node["fieldType"]
    if kind in {"LIST", "SWITCH"} and value not in rule:
        return _error(
            "value_not_in_list", "Value not in list", f"{name}: '{value}' not in {rule}", name, value
        )
    if kind == "BOOLEAN" and value not in {"true", "false"}:
        return _not_converted(name, value, kind)
    if kind in {"INT", "FLOAT"}:
        return _number_error(name, kind, rule, value)
    return None


def _number_error(name: str, kind: str, bounds: dict[str, Any], value: str) -> dict[str, Any] | None:
    try:
        number = int(value) if kind == "INT" else float(value)
    except ValueError:
        return _not_converted(name, value, kind)
    low, high = bounds.get("min"), bounds.get("max")
    if low is not None and number < low:
        message = f"Value {number} smaller than min of {low}"
        return _error("value_smaller_than_min", message, name, name, value)
    if high is not None and number > high:
        message = f"Value {number} bigger than max of {high}"
        return _error("value_bigger_than_max", message, name, name, value)
    return None


def _not_converted(name: str, value: str, kind: str) -> dict[str, Any]:
    message = f"Failed to convert an input value to a {kind} value"
    return _error("invalid_input_type", message, f"{name}, {value}", name, value)


def _error(kind: str, message: str, details: str, name: str, value: str) -> dict[str, Any]:
    extra = {"input_name": name, "received_value": value}
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def _node_error(app: App, node: Node) -> NodeError:
    outputs = [node_id for node_id, _ in app.outputs]
    return {"errors": [], "dependent_outputs": outputs, "class_type": node["nodeName"]}
