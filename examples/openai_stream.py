"""Print an answer while it is generated; MoonPalace forwards every chunk the moment it arrives."""

import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("BASE_URL", "http://127.0.0.1:9988/v1"),
    api_key=os.environ.get("MOONSHOT_API_KEY", "any text, if MoonPalace has a key of its own"),
)
stream = client.chat.completions.create(
    model=os.environ.get("MODEL", "kimi-k2.6"),
    messages=[{"role": "user", "content": "Tell me of the rabbit on the moon."}],
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    if chunk.choices and chunk.choices[0].delta.content:
        print(chunk.choices[0].delta.content, end="", flush=True)
    if chunk.usage:
        print(f"\n{chunk.usage.total_tokens} tokens")
