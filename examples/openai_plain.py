"""Ask a question with the openai SDK through MoonPalace: only base_url differs."""

import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("BASE_URL", "http://127.0.0.1:9988/v1"),
    api_key=os.environ.get("MOONSHOT_API_KEY", "any text, if MoonPalace has a key of its own"),
)
answer = client.chat.completions.create(
    model=os.environ.get("MODEL", "kimi-k2.6"),
    messages=[{"role": "user", "content": "Who lives in the palace on the moon? 谁住在月宫里？"}],
)
print(answer.choices[0].message.content)
print(f"{answer.id}: now try  mpal inspect --chatcmpl {answer.id} --print request_body,response_body")
