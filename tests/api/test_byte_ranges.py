"""Which bytes a Range header asks for, and which versions the conditions name."""

import pytest

from api.byte_ranges import ByteRange, Unsatisfiable, applies, matches, requested_range, single_range

ETAG = '"5ha"'


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=2-", 2, 100),
        ("bytes=-3", 97, 100),
        ("bytes=-1000", 0, 100),
        ("bytes=90-1000", 90, 100),
        ("Bytes= 1-2 ", 1, 3),
    ],
)
def test_one_range(header: str, start: int, stop: int) -> None:
    assert requested_range(header, 100) == ByteRange(start, stop, 100)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=0-1,5-6",
        "items=0-1",
        "bytes=٠-١",
        f"bytes={'9' * 40}-",
    ],
)
def test_everything_else_is_a_request_for_the_whole_file(header: str | None) -> None:
    assert requested_range(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_outside_the_file_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        requested_range(header, 100)


def test_no_range_of_an_empty_file_can_be_satisfied() -> None:
    with pytest.raises(Unsatisfiable):
        requested_range("bytes=0-", 0)


def test_the_content_range_names_the_last_byte() -> None:
    assert ByteRange(2, 5, 100).content_range == "bytes 2-4/100"


def test_only_one_range_is_passed_on() -> None:
    assert [single_range(header) for header in ("bytes=1-2", "bytes=1-2,3-4", None)] == [
        "bytes=1-2",
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("header", "is_match"),
    [
        (None, False),
        ('"5ha"', True),
        ('W/"5ha"', True),
        ('"other", "5ha"', True),
        ("*", True),
        ('"other"', False),
        ("5ha", False),
    ],
)
def test_a_known_version_is_recognised(header: str | None, is_match: bool) -> None:
    assert matches(header, ETAG) is is_match


@pytest.mark.parametrize(
    ("header", "etag", "is_sent"),
    [
        (None, ETAG, True),
        (None, None, True),
        (ETAG, ETAG, True),
        ('W/"5ha"', ETAG, False),
        ('"other"', ETAG, False),
        (ETAG, None, False),
        ("Mon, 23 Nov 2026 12:00:00 GMT", ETAG, False),
    ],
)
def test_a_range_is_sent_only_of_the_version_that_is_meant(
    header: str | None, etag: str | None, is_sent: bool
) -> None:
    assert applies(header, etag) is is_sent
