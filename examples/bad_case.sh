#!/bin/sh
# Export the newest chat call as a bad case, to be sent with a report; the file's name is the call's chatcmpl id.
set -eu
newest=$(mpal list --chatonly -n 1 --json | python3 -c 'import json, sys; print(json.loads(sys.stdin.readline())["id"])')
mpal export --id "$newest" --bad --tag report --directory "${1:-.}"
