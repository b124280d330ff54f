"""The record of tunnels without a connection."""

import pytest
from mitmproxy.http import Headers
from mitmproxy.test import tutils

from moonpalace_addons.calls.tunnel import Tunnel
from moonpalace_addons.tunnels import Tunnels, description
from tests.addons.captured import Rig, a_flow
from tests.hostile import HOSTILE_LINES

pytestmark = pytest.mark.usefixtures("no_connection")


def test_a_protocol_is_quoted_with_care(rig: Rig) -> None:
    """A row names the protocol of the upgrade, whatever its name is."""
    flow = a_flow()
    rig.ask(flow)
    flow.response = tutils.tresp(status_code=101, headers=Headers(upgrade=HOSTILE_LINES))
    Tunnels(rig.capture.configuration, rig.capture.calls, rig.kept).response(flow)
    call = rig.capture.calls.get(flow)
    assert call is not None
    tunnel = call.find(Tunnel)
    assert tunnel is not None
    warning = description(tunnel, None)
    assert warning.isprintable()
    assert len(warning) < 200
