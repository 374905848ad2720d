"""Which kind a result is, what a browser may show of it, and its name."""

import pytest

from files.media_types import extension_of, file_name, is_shown_inline, is_text, media_type_of

URL = "https://rh-images.example.com/84937df5/output/2loras_test__00001_ztgik_1764258439.png?sign=a%2Fb"


@pytest.mark.parametrize(
    ("file_type", "url", "extension", "media_type"),
    [
        ("png", None, "png", "image/png"),
        ("PNG", URL, "png", "image/png"),
        (".mp4", URL, "mp4", "video/mp4"),
        (None, URL, "png", "image/png"),
        ("", URL, "png", "image/png"),
        ("latent", URL, "latent", "application/octet-stream"),
        ("../../x", URL, "png", "image/png"),
        ("图片", "https://rh.example.com/x", None, "application/octet-stream"),
        (None, "http://[::1/x.png", None, "application/octet-stream"),
        (None, None, None, "application/octet-stream"),
    ],
)
def test_the_kind_follows_the_file_type_and_else_the_address(
    file_type: str | None, url: str | None, extension: str | None, media_type: str
) -> None:
    assert (extension_of(file_type, url), media_type_of(file_type, url)) == (extension, media_type)


@pytest.mark.parametrize(
    ("media_type", "is_shown"),
    [
        ("image/png", True),
        ("audio/mpeg", True),
        ("video/mp4", True),
        ("application/json", True),
        ("text/plain", True),
        ("image/svg+xml", False),
        ("text/html", False),
        ("application/pdf", False),
        ("application/zip", False),
        ("application/octet-stream", False),
    ],
)
def test_only_what_cannot_run_scripts_is_shown(media_type: str, is_shown: bool) -> None:
    assert is_shown_inline(media_type) is is_shown


def test_texts_are_told_from_files() -> None:
    assert [is_text(kind) for kind in ("text/plain", "application/json", "text/html", "image/png")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("file_type", "url", "name"),
    [
        ("png", URL, "2loras_test__00001_ztgik_1764258439.png"),
        ("mp4", "https://rh.example.com/%E8%BE%93%E5%87%BA%201.mp4", "输出 1.mp4"),
        ("png", "https://rh.example.com/", "result-3.png"),
        ("png", "https://rh.example.com/..%2F..%2Fetc%2Fpasswd", "passwd.png"),
        ("png", 'https://rh.example.com/a"%0D%0Ab;c.png', "a_b_c.png"),
        ("png", f"https://rh.example.com/{'x' * 300}.png", f"{'x' * 80}.png"),
        (None, None, "result-3"),
    ],
)
def test_the_name_is_readable_and_safe(file_type: str | None, url: str | None, name: str) -> None:
    assert file_name(2, file_type, url) == name
