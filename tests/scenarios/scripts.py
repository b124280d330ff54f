"""The mock's answers in scenarios that only tests use."""

from moonpalace_cli.mock.chat_request import ChatRequest
from moonpalace_cli.mock.completions import Choice, Message, ToolCall
from moonpalace_cli.mock.scripts import LOOP, STORY, Script, text_choice

CHINESE = (
    "月宫里的灯还亮着🌙，玉兔🐇在捣药。家人👨‍👩‍👧‍👦坐在院子里分月饼🥮，"
    "风把桂花吹到了茶杯里🍵。\n「你看，」孩子说，「它也在看我们呢！」"
)
REFUSAL = "I cannot help with that request."


def chinese(request: ChatRequest) -> list[Choice]:
    """Answer in Chinese with emoji, some with several code points."""
    return [text_choice(CHINESE)] * request.n


def refusal(request: ChatRequest) -> list[Choice]:
    """Refuse."""
    return [text_choice(REFUSAL)] * request.n


def two_choices(request: ChatRequest) -> list[Choice]:
    """Return at least two answers of different length."""
    return [
        text_choice(f"Answer {index + 1}: {request.question}" + STORY * index) for index in range(max(2, request.n))
    ]


def repeated_reasoning(events: int) -> Script:
    """Return a script whose reasoning repeats the same sentence `events` times."""
    return lambda request: [Choice(Message("", LOOP * events), "length")] * request.n


def repeated_arguments(events: int) -> Script:
    """Return a script that repeats the same sentence `events` times in the arguments of a tool call."""

    def script(request: ChatRequest) -> list[Choice]:
        name = request.tools[0].name if request.tools else "write_file"
        call = ToolCall(f"{name}:0", name, '{"text": "' + LOOP * events)
        return [Choice(Message("", tool_calls=(call,)), "length")] * request.n

    return script


def large(size: int) -> Script:
    """Return a script whose answer is one text of `size` bytes."""
    return lambda request: [text_choice("0123456789abcdef" * (size // 16))] * request.n


def whole(text: str) -> list[str]:
    """Leave a text in one piece."""
    return [text] if text else []
