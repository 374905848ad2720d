"""The monitoring page lists every metric; the alerts and the dashboard ask for no other."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from metrics import COUNTERS, HISTOGRAMS
from models import AccountState, TaskStatus
from tests.api.test_metrics import GAUGES, PREFIX
from tests.processes import ROOT

KINDS = {
    **{counter.name: "counter" for counter in COUNTERS},
    **{histogram.name: "histogram" for histogram in HISTOGRAMS},
    **dict.fromkeys(GAUGES, "gauge"),
}
# By the name of a series: the labels that it has.
GAUGE_LABELS: dict[str, set[str]] = {
    "info": {"version"},
    "tasks": {"status"},
    "account_tasks": {"account"},
    "account_slots": {"account"},
    "account_state": {"account", "state"},
}
SERIES: dict[str, set[str]] = {
    "up": {"job", "instance"},
    **{PREFIX + name: GAUGE_LABELS.get(name, set()) for name in GAUGES},
    **{PREFIX + counter.name: set(counter.labels) for counter in COUNTERS},
    **{
        f"{PREFIX}{histogram.name}_{part}": {*histogram.labels, *labels}
        for histogram in HISTOGRAMS
        for part, labels in {"bucket": {"le"}, "count": set[str](), "sum": set[str]()}.items()
    },
}
VALUES = {"status": {*TaskStatus}, "state": {*AccountState}}
ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"].replace("$__rate_interval", "5m") for panel in PANELS for target in panel["targets"]
]


@pytest.mark.parametrize("page", ["docs/monitoring.md", "docs/zh-CN/monitoring.md"])
def test_every_metric_is_listed_with_its_kind(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    listed = re.findall(r"(?m)^\| `(\w+)` \| (gauge|counter|histogram) \|", text)
    assert dict(listed) == KINDS


def selectors(expression: Any) -> Iterator[Any]:
    """Every series that a parsed expression asks for."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for name in ("lhs", "rhs", "expr", "vector_selector"):
        if (part := getattr(expression, name, None)) is not None:
            yield from selectors(part)
    for argument in getattr(expression, "args", None) or ():
        yield from selectors(argument)


def grouping(expression: str) -> set[str]:
    return {label.strip() for group in re.findall(r"by \((.+?)\)", expression) for label in group.split(",")}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_asks_for_series_and_labels_that_exist(expression: str) -> None:
    found = list(selectors(promql_parser.parse(expression)))
    assert found
    for selector in found:
        labels = SERIES[selector.name]
        matchers = selector.matchers.matchers
        assert {matcher.name for matcher in matchers} <= labels
        assert grouping(expression) <= labels
        for matcher in matchers:
            known = VALUES.get(matcher.name)
            assert known is None or {*matcher.value.split("|")} <= known


def test_the_dashboard_shows_every_metric() -> None:
    shown = {selector.name for each in EXPRESSIONS for selector in selectors(promql_parser.parse(each))}
    names = {re.sub("_(bucket|count|sum)$", "", name).removeprefix(PREFIX) for name in shown}
    assert names == KINDS.keys() | {"up"}


def test_no_two_panels_overlap() -> None:
    cells = [
        (x, y)
        for panel in PANELS
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_every_alert_says_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) == 5
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_scrape_configuration_names_the_alerts_and_the_job_that_they_ask_for() -> None:
    scrape = yaml.safe_load(Path(ROOT / "deploy/prometheus/scrape.yml").read_text("utf-8"))
    assert scrape["rule_files"] == ["alerts.yml"]
    (job,) = scrape["scrape_configs"]
    assert f'job="{job["job_name"]}"' in RULES[0]["expr"]
