"""The addons together."""

import asyncio
import importlib.util
import logging
from pathlib import Path

import pytest
from mitmproxy.addons import default_addons
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons, tflow

from moonpalace_addons import bundle
from moonpalace_addons.bundle import make_addons
from moonpalace_addons.capture import Capture
from moonpalace_addons.live_view import LiveView
from moonpalace_addons.mitm.log_filter import LOGGERS, MaskSecrets
from moonpalace_addons.recorder import Recorder
from moonpalace_addons.settings.values import resolve

SCRIPT = Path(__file__).parents[2] / "addons" / "moonpalace.py"
ORDER = [
    "moonpalace-configuration",
    "moonpalace-access",
    "moonpalace-routing",
    "moonpalace-stopping",
    "moonpalace-causes",
    "moonpalace-force-stream",
    "moonpalace-context-cache",
    "moonpalace-tunnels",
    "moonpalace-capture",
    "moonpalace-edit-stream",
    "moonpalace-recorder",
    "moonpalace-deadline",
    "moonpalace-descriptors",
    "moonpalace-json-errors",
    "moonpalace-websocket-injection",
    "moonpalace-reverse-proxy",
    "moonpalace-listening",
    "moonpalace-web-console",
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a temporary folder as the home."""
    monkeypatch.setenv("MOONPALACE_HOME", str(tmp_path))
    monkeypatch.setattr(bundle, "flow_view", lambda: None)


def names(addons: list[object]) -> list[str]:
    """Return the names of the addons in mitmproxy."""
    return [getattr(addon, "name", type(addon).__name__) for addon in addons]


def test_order() -> None:
    """The addons are called in the order that they require."""
    assert names(make_addons()) == ORDER


LIVE = ["moonpalace-live-view", "moonpalace-commands"]


def test_where_flows_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a view there are two more addons, after the one that edits streams; otherwise rows are not reported."""
    monkeypatch.setattr(bundle, "flow_view", object)
    addons = make_addons()
    at = ORDER.index("moonpalace-recorder")
    assert names(addons) == [*ORDER[:at], *LIVE, *ORDER[at:]]
    live, recorder = addons[at], addons[at + len(LIVE)]
    assert isinstance(recorder, Recorder)
    assert isinstance(live, LiveView)
    assert recorder.on_row == live.put_row


def test_names_are_free() -> None:
    """None of mitmproxy's addons has one of our names, so that all can be loaded together."""
    taken = {getattr(addon, "name", type(addon).__name__.lower()) for addon in default_addons()}
    assert not taken & {*ORDER, *LIVE}


def test_bundles_share_nothing() -> None:
    """Two bundles have no addon in common."""
    first, second = make_addons(), make_addons()
    assert not {id(addon) for addon in first} & {id(addon) for addon in second}
    assert first[5].calls is not second[5].calls  # type: ignore[attr-defined]


def test_making_a_bundle_masks_the_log() -> None:
    """Making a bundle also masks mitmproxy's log."""
    make_addons()
    for name in LOGGERS:
        assert [type(found) for found in logging.getLogger(name).filters] == [MaskSecrets]


def test_script_offers_the_bundle() -> None:
    """The script for mitmdump and mitmweb has the whole bundle, and its docstring says how to run it."""
    specification = importlib.util.spec_from_file_location("moonpalace_script", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    assert names(script.addons) == ORDER
    assert "mitmdump -s addons/moonpalace.py" in str(script.__doc__)


def refused_flow() -> HTTPFlow:
    """Return a call from a web page."""
    flow = tflow.tflow()
    flow.client_conn.proxy_mode = ProxyMode.parse("reverse:https://api.moonshot.cn")
    flow.client_conn.sockname = ("127.0.0.1", 9988)
    flow.request.headers["Host"] = "127.0.0.1:9988"
    flow.request.headers["Origin"] = "https://evil.example"
    return flow


def test_hooks_work_together(tmp_path: Path) -> None:
    """Through all addons in order: an own call is captured and gets the key, a page's is refused and leaves no row."""
    settings = resolve({"key": "sk-the-owners-key"}, {"MOONPALACE_HOME": str(tmp_path)})
    addons = make_addons(settings)
    access, capture = addons[1], next(addon for addon in addons if isinstance(addon, Capture))
    with taddons.context(Proxyserver(), *addons) as context:
        own, pages = refused_flow(), refused_flow()
        del own.request.headers["Origin"]
        for flow in (own, pages):
            for hook in ("requestheaders", "request"):
                for addon in addons:
                    getattr(addon, hook, lambda _: None)(flow)
        assert own.response is None
        assert own.request.headers["authorization"] == "Bearer sk-the-owners-key"
        assert own.request.host_header == "api.moonshot.cn"
        assert pages.response is not None
        assert pages.response.status_code == 403
        assert access.calls is capture.calls  # type: ignore[attr-defined]
        assert [call.flow for call in capture.calls] == [own]
        asyncio.run(context.master.addons.get("moonpalace-recorder").done())
