"""The monitoring page lists every metric with its kind."""

import re

import pytest

from metrics import COUNTERS, HISTOGRAMS
from tests.api.test_metrics import GAUGES
from tests.processes import ROOT

KINDS = {
    **{counter.name: "counter" for counter in COUNTERS},
    **{histogram.name: "histogram" for histogram in HISTOGRAMS},
    **dict.fromkeys(GAUGES, "gauge"),
}


@pytest.mark.parametrize("page", ["docs/monitoring.md", "docs/zh-CN/monitoring.md"])
def test_every_metric_is_listed_with_its_kind(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    listed = re.findall(r"(?m)^\| `(\w+)` \| (gauge|counter|histogram) \|", text)
    assert dict(listed) == KINDS
