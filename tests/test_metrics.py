"""What a process has recorded: counted, put into buckets, taken once, and put back."""

import pytest

from metrics import DATABASE_WRITE, DELIVERIES, RUN, Metrics


def test_counts_add_up_by_label_until_they_are_taken() -> None:
    metrics = Metrics()
    metrics.count(DELIVERIES, "delivered")
    metrics.count(DELIVERIES, "delivered", by=2)
    metrics.count(DELIVERIES, "failed")

    name = DELIVERIES.name
    assert metrics.take() == {(name, ("delivered",), "total"): 3, (name, ("failed",), "total"): 1}
    assert metrics.take() == {}


@pytest.mark.parametrize(
    ("seconds", "bound", "added"), [(-1, "1", 0), (1, "1", 1), (1.01, "2.5", 1.01), (9999, "+Inf", 9999)]
)
def test_a_value_is_in_the_first_bucket_that_is_not_below_it(
    seconds: float, bound: str, added: float
) -> None:
    metrics = Metrics()
    metrics.observe(RUN, seconds)
    assert metrics.take() == {(RUN.name, (), bound): 1, (RUN.name, (), "sum"): added}


def test_what_is_put_back_is_added_to_what_came_since() -> None:
    metrics = Metrics()
    metrics.count(DELIVERIES, "failed")
    taken = metrics.take()
    metrics.count(DELIVERIES, "failed")
    metrics.put_back(taken)
    assert metrics.take() == {(DELIVERIES.name, ("failed",), "total"): 2}


def test_the_transaction_that_stored_the_last_samples_is_no_reason_for_another() -> None:
    metrics = Metrics()
    assert not metrics.is_worth_storing
    metrics.observe(DATABASE_WRITE, 0.01)
    assert not metrics.is_worth_storing
    metrics.observe(DATABASE_WRITE, 0.01)
    assert metrics.is_worth_storing
    metrics.take()
    metrics.count(DELIVERIES, "failed")
    assert metrics.is_worth_storing
