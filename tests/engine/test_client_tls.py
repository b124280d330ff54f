"""TLS with clients, and errors of the configured certificate."""

import asyncio
import ssl
from pathlib import Path
from typing import cast

import pytest
from mitmproxy.http import HTTPFlow

from moonpalace_addons.engine.tls import client_context
from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.values import resolve
from moonpalace_cli.mock.certificate import Certificate
from tests.engine.harness import Script, engine

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def served(certificate: Certificate) -> Path:
    """Return the file with certificate and key."""
    return Path(certificate.ca_file).with_name("served.pem")


class Noting:
    """Note the flows."""

    def __init__(self) -> None:
        self.flows: list[HTTPFlow] = []

    def response(self, flow: HTTPFlow) -> None:
        """Record it."""
        self.flows.append(flow)


def test_calls_over_tls(certificate: Certificate) -> None:
    """A client that trusts the certificate is served repeatedly, and its flow has the TLS attributes."""
    noting = Noting()

    async def run() -> None:
        tls = client_context(served(certificate), None)
        async with engine(Script([(GET, OK), (GET, OK)]), noting, tls=tls) as running:
            trusting = ssl.create_default_context(cafile=certificate.ca_file)
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port, ssl=trusting)
            for _ in range(2):
                writer.write(GET)
                assert await reader.readexactly(len(OK)) == OK
            writer.close()
            await writer.wait_closed()

    asyncio.run(run())
    client = noting.flows[0].client_conn
    assert (client.tls, client.alpn, client.tls_version) == (True, b"", "TLSv1.3")
    assert client.tls_established


@pytest.mark.parametrize("has_tls", [False, True])
def test_bytes_that_a_client_has_not_taken(certificate: Certificate, *, has_tls: bool) -> None:
    """All that is not given to the system yet counts, also what TLS has encrypted; all is there in the end."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n" + b"x" * 20_000_000

    async def run() -> None:
        tls = client_context(served(certificate), None) if has_tls else None
        async with engine(Script([(GET, whole)]), tls=tls) as running:
            trusting = ssl.create_default_context(cafile=certificate.ca_file) if has_tls else None
            reader, writer = await running.connect(trusting)
            transport = cast(asyncio.Transport, writer.transport)
            transport.pause_reading()
            writer.write(GET)
            while not running.service.connections:  # noqa: ASYNC110
                await asyncio.sleep(0)
            (client,) = running.service.connections
            while client.get_write_buffer_size() < 10_000_000:  # noqa: ASYNC110
                await asyncio.sleep(0)
            running.service.close()
            assert client.get_write_buffer_size() > 10_000_000
            transport.resume_reading()
            assert await reader.readexactly(len(whole)) == whole
            while client.get_write_buffer_size():  # noqa: ASYNC110
                await asyncio.sleep(0)

    asyncio.run(run())


def chosen(home: Path, **given: str | Path) -> object:
    """Return the settings."""
    names = {name.replace("_", "-"): str(value) for name, value in given.items()}
    return resolve(names, {"MOONPALACE_HOME": str(home)})


def test_settings(certificate: Certificate, tmp_path: Path) -> None:
    """A certificate file that also contains the key is accepted."""
    found = chosen(tmp_path, engine="moonpalace", tls_cert=served(certificate))
    assert getattr(found, "tls_cert", None) == served(certificate)


def test_bad_settings(certificate: Certificate, tmp_path: Path) -> None:
    """Invalid TLS settings give a one-line error with the remedy."""
    text = tmp_path / "text"
    text.write_text("no certificate")
    good = served(certificate)
    for given, expected in (
        ({"tls_key": good}, "set tls-cert too"),
        ({"engine": "mitmproxy", "tls_cert": good}, "requires the engine moonpalace"),
        ({"engine": "moonpalace", "tls_cert": text}, "must contain a certificate and its key in PEM"),
        ({"engine": "moonpalace", "tls_cert": certificate.ca_file}, "must contain a certificate and its key in PEM"),
        ({"engine": "moonpalace", "tls_cert": good, "tls_key": text}, "must contain a certificate and its key in PEM"),
    ):
        with pytest.raises(SettingError, match=expected) as caught:
            chosen(tmp_path, **given)
        assert "\n" not in str(caught.value)
