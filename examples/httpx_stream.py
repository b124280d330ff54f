"""Read the raw events of a stream with httpx, as MoonPalace passes them on and stores them."""

import os

import httpx

base_url = os.environ.get("BASE_URL", "http://127.0.0.1:9988/v1")
body = {
    "model": os.environ.get("MODEL", "kimi-k2.6"),
    "messages": [{"role": "user", "content": "Count the craters."}],
    "stream": True,
}
headers = {"Authorization": f"Bearer {os.environ.get('MOONSHOT_API_KEY', 'none')}"}
# trust_env=False: a proxy from the environment is for the way to the API, not for the way to MoonPalace.
with (
    httpx.Client(timeout=960, trust_env=False) as client,
    client.stream("POST", f"{base_url}/chat/completions", json=body, headers=headers) as answer,
):
    answer.raise_for_status()
    for line in answer.iter_lines():
        if line:
            print(line)
    print(f"request id: {answer.headers.get('Msh-Request-Id')}")
