"""The cost of reading a long history and hashing its beginnings, beside that of parsing it as JSON."""

import json
import time
from collections.abc import Callable, Iterator
from random import Random

from moonpalace_addons.wire.chat.prefix import prefixes, read_content

SIZE = 2_000_000  # bytes of content
ROUNDS = 20
RANDOM = Random(3)
WORDS = ["".join(RANDOM.choices("abcdefghijklmnop", k=RANDOM.randint(2, 9))) for _ in range(3000)]
TOOLS = [{"type": "function", "function": {"name": f"tool_{number}", "parameters": {}}} for number in range(20)]


def english(size: int) -> str:
    """Return lines of invented words."""
    return "\n".join(" ".join(RANDOM.choices(WORDS, k=12)) for _ in range(size // 72))


def code(size: int) -> str:
    """Return a text in which every tenth character is escaped in JSON."""
    return '    "x": y[z],\n' * (size // 15)


def chinese(size: int) -> str:
    """Return Chinese characters, of three bytes each."""
    return "".join(chr(0x4E00 + RANDOM.randrange(3000)) for _ in range(size // 3))


def body(text: Callable[[int], str], message: int, *, ascii_only: bool = False) -> bytes:
    """Return a request whose messages have `message` bytes each."""
    turns = [{"role": "user", "content": text(message)} for _ in range(SIZE // message)]
    value = {"model": "kimi-k3", "messages": turns, "tools": TOOLS}
    return json.dumps(value, ensure_ascii=ascii_only).encode()


def tools_and_image() -> bytes:
    """Return the request of an agent: short messages with calls of tools, their results, and an image of 1 MB."""
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'iVBORw0K' * 131_072}"}}
    turns: list[object] = [{"role": "user", "content": [image, {"type": "text", "text": english(200)}]}]
    for number in range(800):
        call = {"name": "edit", "arguments": json.dumps({"path": f"src/{number}.py", "text": code(300)})}
        calls = [{"id": f"edit:{number}", "type": "function", "function": call}]
        turns.append({"role": "assistant", "content": "", "tool_calls": calls})
        turns.append({"role": "tool", "tool_call_id": f"edit:{number}", "content": english(500)})
    return json.dumps({"model": "kimi-k3", "messages": turns, "tools": TOOLS}).encode()


def milliseconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the minimum and the median time of the work."""
    times = []
    for _ in range(ROUNDS):
        start = time.thread_time()  # of a busy machine, only what this thread took
        work()
        times.append((time.thread_time() - start) * 1000)
    return min(times), sorted(times)[ROUNDS // 2]


def time_prefixes() -> Iterator[str]:
    """Milliseconds (least, median of 20) to read and hash a history of 2 MB; the bound is 10."""
    cases = {
        "English, messages of 2 KB": body(english, 2000),
        "English, messages of 200 B": body(english, 200),
        "English, messages of 200 KB": body(english, 200_000),
        "code, messages of 5 KB": body(code, 5000),
        "Chinese as UTF-8": body(chinese, 2000),
        "Chinese as escapes": body(chinese, 1000, ascii_only=True),
        "tool calls, and 1 MB of image": tools_and_image(),
    }
    for name, request in cases.items():

        def hashed(request: bytes = request) -> int:
            content = read_content(request)
            assert content is not None
            return len(prefixes(content))

        def parsed(request: bytes = request) -> object:
            return json.loads(request)

        least, median = milliseconds(hashed)
        peer, _ = milliseconds(parsed)
        yield f"{name:<30}{len(request) / 1e6:5.1f} MB {least:6.1f}{median:6.1f} ms   json.loads alone {peer:5.1f} ms"
