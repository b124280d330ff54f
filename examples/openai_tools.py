"""Let the model call a tool, answer the call, and ask again: two rows in MoonPalace that show the whole exchange."""

import json
import os

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

client = OpenAI(
    base_url=os.environ.get("BASE_URL", "http://127.0.0.1:9988/v1"),
    api_key=os.environ.get("MOONSHOT_API_KEY", "any text, if MoonPalace has a key of its own"),
)
tools: list[ChatCompletionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": "moon_distance",
            "description": "Say how far the moon is on a day.",
            "parameters": {
                "type": "object",
                "properties": {"day": {"type": "string", "description": "a date like 2026-11-22"}},
                "required": ["day"],
            },
        },
    }
]
messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How far is the moon today?"}]
first = client.chat.completions.create(
    model=os.environ.get("MODEL", "kimi-k2.6"), messages=messages, tools=tools
).choices[0]
print(first.finish_reason)
messages.append(first.message)  # type: ignore[arg-type] # the SDK takes its own answer back
for call in first.message.tool_calls or []:
    if call.type == "function":
        print(f"{call.function.name}({call.function.arguments})")
        answer = json.dumps({"kilometres": 384_400})
        messages.append({"role": "tool", "tool_call_id": call.id, "content": answer})
last = client.chat.completions.create(
    model=os.environ.get("LAST_MODEL", os.environ.get("MODEL", "kimi-k2.6")), messages=messages, tools=tools
)
print(last.choices[0].message.content)
