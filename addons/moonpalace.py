"""MoonPalace for mitmproxy: `mitmdump -s addons/moonpalace.py`, or mitmweb to browse calls live.

Without a mode it becomes a reverse proxy to the Kimi API on 127.0.0.1:9988. Settings: `--set moonpalace_NAME=VALUE`
(`mitmdump -s addons/moonpalace.py --options` lists them), variables MOONPALACE_NAME, ~/.moonpalace/config.yaml.
"""

from moonpalace_addons.bundle import make_addons

addons = make_addons()
