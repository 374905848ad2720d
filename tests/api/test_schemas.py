"""Request and response bodies."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from api.schemas import MAX_METADATA_BYTES, MAX_SHOWN_CHARS, MAX_WARNINGS, SubmitRequest


def ignored(**members: Any) -> list[dict[str, Any]]:
    body = SubmitRequest.model_validate({"webappId": "1", "nodeInfoList": []} | members)
    return body.ignored_members()


def warning(name: str, suggestion: str = "") -> dict[str, Any]:
    return {"nodeId": None, "fieldName": name, "message": f"Unknown member, ignored.{suggestion}"}


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("instancetype", " Did you mean instanceType?"),
        ("acces_password", " Did you mean accessPassword?"),
        ("note", ""),
        ("", ""),
    ],
)
def test_an_unknown_member_is_named_with_what_was_probably_meant(name: str, suggestion: str) -> None:
    assert ignored(**{name: "x"}) == [warning(name, suggestion)]


def test_known_members_in_either_spelling_and_an_api_key_cause_no_warning() -> None:
    assert ignored(instanceType="plus", access_password="p", apiKey="somebody's") == []


def test_the_second_spelling_of_a_member_is_ignored_and_named() -> None:
    assert ignored(webapp_id="2") == [warning("webapp_id", " Did you mean webappId?")]


def test_a_body_of_many_unknown_members_causes_few_short_warnings() -> None:
    found = ignored(**{f"{number}{'x' * 500}": 1 for number in range(1000)})
    assert len(found) == MAX_WARNINGS
    assert {len(each["fieldName"]) for each in found} == {MAX_SHOWN_CHARS}


def test_metadata_is_measured_as_a_client_sends_it() -> None:
    # `{"tags":["x","x",…]}` without spaces: 4,096 bytes.
    tags = ["x"] * 1020 + ["xxx"]
    body = {"webappId": "1", "nodeInfoList": [], "metadata": {"tags": tags}}
    assert len(json.dumps(body["metadata"], separators=(",", ":"))) == MAX_METADATA_BYTES
    SubmitRequest.model_validate(body)
    tags[0] = "xx"
    with pytest.raises(ValidationError, match="must be at most 4096 bytes"):
        SubmitRequest.model_validate(body)
