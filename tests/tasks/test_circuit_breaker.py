"""Free calls are held back while RunningHub is broken, and bounded by the second."""

from tasks.circuit_breaker import FAILURES, LONGEST_PAUSE_S, CircuitBreaker, TokenBucket


def tripped(now: float = 100.0) -> CircuitBreaker:
    breaker = CircuitBreaker()
    for _ in range(FAILURES):
        breaker.failed(now)
    return breaker


def test_a_few_failures_hold_nothing_back() -> None:
    breaker = CircuitBreaker()
    for _ in range(FAILURES - 1):
        breaker.failed(100.0)
    assert breaker.allows(100.0, in_flight=3)


def test_failures_with_a_success_between_them_hold_nothing_back() -> None:
    breaker = CircuitBreaker()
    for _ in range(3 * FAILURES):
        breaker.failed(100.0)
        breaker.succeeded()
    assert breaker.allows(100.0, in_flight=9)


def test_after_five_failures_in_a_row_there_is_a_pause_and_then_one_call() -> None:
    breaker = tripped()
    assert not breaker.allows(100.79, in_flight=0)
    assert breaker.allows(101.21, in_flight=0)
    assert not breaker.allows(101.21, in_flight=1)


def test_a_trial_that_fails_doubles_the_pause_up_to_a_limit() -> None:
    breaker, now = tripped(), 100.0
    for pause_s in (2, 4, 8, 16, LONGEST_PAUSE_S, LONGEST_PAUSE_S):
        now = breaker.open_until
        breaker.failed(now)
        assert not breaker.allows(now + pause_s * 0.79, in_flight=0)
        assert breaker.allows(now + pause_s * 1.21, in_flight=0)


def test_calls_that_fail_late_do_not_prolong_the_pause() -> None:
    breaker = tripped()
    open_until = breaker.open_until
    for _ in range(50):
        breaker.failed(100.5)
    assert breaker.open_until == open_until


def test_a_trial_that_succeeds_lets_all_calls_through_again() -> None:
    breaker = tripped()
    breaker.succeeded()
    assert breaker.allows(100.0, in_flight=9)
    breaker.failed(100.0)
    assert breaker.allows(100.0, in_flight=9)


def test_calls_are_bounded_by_the_second_and_saved_up_for_no_longer_than_a_burst() -> None:
    bucket = TokenBucket(burst_s=0.2, filled_at=100.0)
    assert bucket.fill(100.0, per_s=800) == 160
    bucket.take(160)
    assert bucket.fill(100.0, per_s=800) == 0
    assert bucket.fill(100.125, per_s=800) == 100
    assert bucket.fill(160.0, per_s=800) == 160
    bucket.take(100)
    assert bucket.fill(160.0, per_s=800) == 60
    assert bucket.fill(160.0, per_s=100) == 20
