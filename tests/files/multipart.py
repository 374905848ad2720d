"""Multipart bodies as clients send them, for the tests of this folder."""

import re
from collections.abc import AsyncGenerator, Iterable

from hypothesis import strategies as st

from errors import AppError

BOUNDARY = "----WebKitFormBoundary7MA4YWxk"
DELIMITER = f"--{BOUNDARY}".encode()
MB = 2**20


def part(disposition: str, data: bytes, content_type: str = "image/png") -> bytes:
    head = f"Content-Disposition: form-data; {disposition}\r\nContent-Type: {content_type}\r\n\r\n"
    return head.encode() + data


def form(*parts: bytes, end: bytes = b"\r\n") -> bytes:
    opened = b"".join(DELIMITER + b"\r\n" + each + b"\r\n" for each in parts)
    return opened + DELIMITER + b"--" + end


def file_part(data: bytes) -> bytes:
    return part('name="file"; filename="cat.png"', data)


def form_headers(length: int | None = None, boundary: str = BOUNDARY) -> dict[str, str]:
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return headers if length is None else headers | {"content-length": str(length)}


async def arriving(chunks: Iterable[bytes]) -> AsyncGenerator[bytes]:
    for chunk in chunks:
        yield chunk


def problem(error: AppError) -> tuple[str, object]:
    return error.message, error.errors


def invalid_file_problem(text: str) -> tuple[str, object]:
    return text, [{"loc": ["body", "file"], "msg": text}]


# Pieces of lines that are almost a boundary. Only a whole one ends the file, also with blanks behind it.
NEARLY_A_BOUNDARY = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n--",
    b"\r\n" + DELIMITER[:-1],
    b"\r\n" + DELIMITER[:-1] + b"--",
    b"\r\n" + DELIMITER + b"x",
    b"\r\n" + DELIMITER + b"-x",
    b"\r\n" + DELIMITER + b"\rx",
    DELIMITER[2:] + b"--\r\n",
]
A_BOUNDARY = re.compile(rb"\r\n%s(--|\r\n|[ \t])" % DELIMITER)
file_bytes = (
    st.lists(st.binary(max_size=20) | st.sampled_from(NEARLY_A_BOUNDARY), min_size=1)
    .map(b"".join)
    .filter(lambda data: data and not A_BOUNDARY.search(data + b"\r\n"))
)
other_parts = st.lists(
    st.builds(part, st.sampled_from(['name="apiKey"', 'name="x"; filename="y"']), st.binary(max_size=20)),
    max_size=3,
)
