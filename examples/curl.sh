#!/bin/sh
# Call through MoonPalace with curl; -N shows each event as it arrives.
curl -sS -N "${BASE_URL:-http://127.0.0.1:9988/v1}/chat/completions" \
    -H "Authorization: Bearer ${MOONSHOT_API_KEY:-none}" \
    -H "Content-Type: application/json" \
    --data '{
        "model": "'"${MODEL:-kimi-k2.6}"'",
        "messages": [{"role": "user", "content": "Is there water on the moon?"}],
        "stream": true
    }'
