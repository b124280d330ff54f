"""Tests of placeholders for images and files."""

import base64

import pytest

from moonpalace_addons.wire.placeholders import placeholder, size
from tests.tables import for_each

PNG = base64.b64encode(b"\x89PNG" * 500).decode()


@for_each(
    ("block", "shown"),
    [
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}, "[image/png, 2.0 kB]"),
        ({"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"}, "[image/png, 2.0 kB]"),
        ({"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}, "[image https://a.b/c.png]"),
        ({"type": "image_url", "image_url": {"url": "ms://file-1"}}, "[image ms://file-1]"),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}},
            "[image/jpeg, 2.0 kB]",
        ),
        ({"type": "image", "source": {"type": "url", "url": "https://a.b"}}, "[image https://a.b]"),
        ({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}, "[wav, 3 bytes]"),
        ({"type": "input_image", "image_url": "https://a.b"}, "[image https://a.b]"),
        ({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,QUI="}}, "[video/mp4, 2 bytes]"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "[file file-1]"),
        ({"type": "image_url"}, "[image]"),
        ({"type": "image_url", "image_url": {"url": "data:,hello"}}, "[image, 5 bytes]"),
        ({"type": "text", "text": "no"}, None),
        ({"type": "search_result", "id": 3}, None),
    ],
)
def test_placeholders(block: dict[str, object], shown: str | None) -> None:
    """Data is described by type and size, an address by itself; other blocks have no placeholder."""
    assert placeholder(block) == shown


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 bytes"), (999, "999 bytes"), (12_345, "12.3 kB"), (3_210_000, "3.2 MB")]
)
def test_sizes(number: int, text: str) -> None:
    """Sizes are written for people."""
    assert size(number) == text
