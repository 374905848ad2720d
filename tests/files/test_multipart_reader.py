"""Which bytes of a multipart body are the file's, its name and type, and which bodies are refused."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import FileTooLarge, InvalidRequest
from files.multipart_reader import MultipartReader, read_boundary
from tests.files.multipart import (
    BOUNDARY,
    DELIMITER,
    MB,
    file_bytes,
    file_part,
    form,
    form_headers,
    invalid_file_problem,
    other_parts,
    part,
    problem,
)


def read(body: bytes, *cuts: int, boundary: bytes = BOUNDARY.encode()) -> tuple[MultipartReader, bytes]:
    """The reader after a body that came in pieces, and the file's bytes."""
    reader = MultipartReader(boundary, MB)
    pieces = [body[start:stop] for start, stop in pairwise([0, *cuts, len(body)])]
    return reader, b"".join(data for piece in pieces for data in reader.feed(piece))


def test_the_first_part_named_file_is_the_file_and_its_offset_is_known() -> None:
    body = form(part('name="x"', b"other"), file_part(b"meow"), file_part(b"second"))
    reader, data = read(body)
    assert (data, reader.file_size, reader.file_offset) == (b"meow", 4, body.index(b"meow"))
    assert (reader.is_file_complete, reader.is_body_complete) == (True, True)


def test_the_body_may_be_split_anywhere() -> None:
    data = b"\r\n--\r" + DELIMITER[:-1] + b"\r\n" + DELIMITER[:-2] + b"\r\n\r"
    body = form(part('name="apiKey"', b"theirs"), file_part(data), part('name="x"', b"more"))
    for at in range(len(body) + 1):
        reader, received = read(body, at)
        assert (received, reader.file_offset) == (data, body.index(data)), at


@settings(derandomize=True, deadline=None)
@given(
    data=file_bytes,
    before=other_parts,
    after=other_parts,
    end=st.sampled_from([b"", b"\r\n", b"\r\nepilogue"]),
    cuts=st.sets(st.integers(min_value=1, max_value=200)),
)
def test_the_same_bytes_are_read_whatever_surrounds_them(
    data: bytes, before: list[bytes], after: list[bytes], end: bytes, cuts: set[int]
) -> None:
    body = form(*before, file_part(data), *after, end=end)
    reader, received = read(body, *sorted(cut for cut in cuts if cut < len(body)))
    assert (received, reader.is_file_complete) == (data, True)


def test_a_malformed_part_after_the_file_changes_nothing() -> None:
    reader, data = read(form(file_part(b"meow"), b"no header at all\r\n\r\n"))
    assert (data, reader.is_file_complete) == (b"meow", True)


def test_more_than_the_limit_is_refused_with_the_chunk_that_exceeds_it() -> None:
    body = form(file_part(bytes(MB + 1)))
    reader = MultipartReader(BOUNDARY.encode(), MB)
    reader.feed(body[:MB])
    with pytest.raises(FileTooLarge) as raised:
        reader.feed(body[MB:])
    assert raised.value.message == "The file is larger than 1 MB, the most that may be uploaded."


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('filename="cat.png"', "cat.png"),
        ("filename=cat.png", "cat.png"),
        ('filename="图片 1.PNG"', "图片_1.PNG"),
        (r'filename="C:\Users\me\cat.png"', "cat.png"),
        ('filename="../../etc/cat.png"', "cat.png"),
        (r'filename="a\"; name=\"apiKey.png"', "a_name_apiKey.png"),
        ('filename="a%22%0D%0Ab.png"', "a_22_0D_0Ab.png"),
        ('filename="a\nX-Header: 1.png"', "a_X-Header_1.png"),
        ('filename="a\x00\x1b.png"', "a_.png"),
        ('filename=".png"', "file.png"),
        ('filename=".."', "file."),
        ('filename=""', "file"),
        ('filename="cat"', "cat"),
        (f'filename="{"c" * 300}.tar.webp"', f"{'c' * 60}.webp"),
        (f'filename="cat.{"p" * 300}"', f"cat.{'p' * 16}"),
        ("filename*=UTF-8''%E5%9B%BE%2F%E7%89%87.png", "片.png"),
        ("filename=\"cat.png\"; filename*=utf-8''other.jpg", "cat.png"),
    ],
)
def test_the_filename_is_safe_and_keeps_its_extension(disposition: str, filename: str) -> None:
    reader, _ = read(form(part(f'name="file"; {disposition}', b"meow")))
    assert reader.filename == filename


def test_a_filename_that_is_not_utf8_is_accepted() -> None:
    reader, _ = read(form(file_part(b"meow")).replace(b"cat.png", b"\xff\xfe.png"))
    assert reader.filename == "_.png"


@pytest.mark.parametrize(
    ("sent", "content_type"),
    [
        ("image/svg+xml", "image/svg+xml"),
        ("text/plain; charset=utf-8", "text/plain"),
        ("", "application/octet-stream"),
        ("png", "application/octet-stream"),
        ("image/png\nX-Header: 1", "image/png"),
    ],
)
def test_the_media_type_is_passed_on_without_parameters(sent: str, content_type: str) -> None:
    reader, _ = read(form(part('name="file"; filename="cat.png"', b"meow", sent)))
    assert reader.content_type == content_type


def test_a_file_without_a_media_type_is_accepted() -> None:
    body = form(b'Content-Disposition: form-data; name="file"; filename="cat.png"\r\n\r\nmeow')
    assert read(body)[0].content_type == "application/octet-stream"


@pytest.mark.parametrize("boundary", ['"a b:c"', "x", "b" * 200])
def test_unusual_boundaries_are_understood(boundary: str) -> None:
    used = read_boundary(form_headers(boundary=boundary))
    body = form(file_part(b"meow")).replace(DELIMITER, b"--" + used)
    assert (used.decode(), read(body, boundary=used)[1]) == (boundary.strip('"'), b"meow")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json"},
        {"content-type": "multipart/form-data"},
        {"content-type": "multipart/form-data; boundary="},
        {"content-type": "multipart/mixed; boundary=x"},
    ],
)
def test_a_request_that_is_no_form_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_boundary(headers)
    text = "Send the file as multipart/form-data, in a part named file."
    assert problem(raised.value) == invalid_file_problem(text)


def test_the_length_of_a_boundary_is_limited() -> None:
    with pytest.raises(InvalidRequest) as raised:
        MultipartReader(b"b" * 300, MB)
    assert problem(raised.value) == invalid_file_problem("The multipart boundary is too long.")


@pytest.mark.parametrize(
    "body",
    [
        b"no multipart at all",
        form(file_part(b"meow")).replace(b"\r\n", b"\n"),
        form(b"no header at all\r\n\r\n", file_part(b"meow")),
        form(part('name="file"; filename="cat.png"', b"meow", "x" * 5000)),
        form(b"X: y\r\n" * 20 + file_part(b"meow")),
    ],
)
def test_a_malformed_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read(body)
    assert problem(raised.value) == invalid_file_problem("The multipart body is malformed.")


def test_the_number_of_parts_is_limited() -> None:
    assert read(form(*[part('name="other"', b"x")] * 999, file_part(b"meow")))[1] == b"meow"
    with pytest.raises(InvalidRequest) as raised:
        read(form(*[part('name="other"', b"x")] * 1000, file_part(b"meow")))
    assert problem(raised.value) == invalid_file_problem("The form has more than 1,000 parts.")
