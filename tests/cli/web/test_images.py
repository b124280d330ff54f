"""Which images of messages are shown."""

import base64

import pytest

from moonpalace_cli.web.images import source
from tests.cli.web.samples import png

DATA = png()
RAW = DATA.partition(",")[2]
SVG = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>").decode()


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": DATA}},
        {"type": "image_url", "image_url": DATA},
        {"type": "input_image", "image_url": DATA},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": RAW}},
        {"type": "image_url", "image_url": {"url": DATA.replace("image/png", "image/svg+xml")}},
    ],
)
def test_an_image_in_the_message(block: dict[str, object]) -> None:
    """An image of any face is shown according to its bytes, whatever its declared type."""
    assert source(block) == DATA


@pytest.mark.parametrize(
    "url",
    [
        "http://attacker.invalid/pixel.png",
        f"data:image/svg+xml;base64,{SVG}",
        f"data:image/png;base64,{SVG}",
        f"data:text/html;base64,{RAW}",
        'data:image/png;base64,AAAA" onerror="alert(1)',
        "data:image/png;base64,",
        "data:image/webp;base64," + base64.b64encode(b"RIFF0000AVI ").decode(),
        "",
    ],
)
def test_anything_else(url: str) -> None:
    """External images, scripts and other data are not shown."""
    assert source({"type": "image_url", "image_url": {"url": url}}) is None
