#!/bin/sh
# Two proxies that keep their calls in one PostgreSQL, a call through each, and one list of both.
# MOONPALACE_DATABASE says where: postgresql://user@host/name; the tables come by themselves.
set -eu
: "${MOONPALACE_DATABASE:?must be postgresql://user@host/name}"

mpal start --port "${PORT:-9988}" &
first=$!
mpal start --port "${OTHER_PORT:-9989}" &
second=$!
trap 'kill "$first" "$second"; wait' EXIT

for port in "${PORT:-9988}" "${OTHER_PORT:-9989}"; do
  curl --silent --fail --retry 60 --retry-delay 1 --retry-connrefused --output /dev/null \
    "http://127.0.0.1:$port/v1/chat/completions" \
    -H "Authorization: Bearer $MOONSHOT_API_KEY" \
    -H "Content-Type: application/json" \
    -d '{"model": "'"${MODEL:-kimi-k2.6}"'", "messages": [{"role": "user", "content": "Who lives on the moon?"}]}'
done
mpal list -n 2
