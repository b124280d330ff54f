"""The certificate made at the start."""

import ssl
from pathlib import Path

import pytest

from moonpalace_cli.mock.certificate import Certificate


@pytest.fixture
def certificate() -> Certificate:
    """Provide a certificate."""
    return Certificate()


@pytest.mark.parametrize(
    ("host", "right"), [("localhost", True), ("127.0.0.1", True), ("::1", True), ("example.org", False)]
)
def test_hosts(certificate: Certificate, host: str, right: bool) -> None:
    """A client that trusts the authority accepts the certificate for this machine's names and for no other."""
    trusting = ssl.create_default_context(cafile=certificate.ca_file)
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname=host)
    server = certificate.context().wrap_bio(to_server, to_client, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    if right:
        client.do_handshake()
        server.do_handshake()
    else:
        with pytest.raises(ssl.SSLCertVerificationError):
            client.do_handshake()
    certificate.close()


def test_the_files(certificate: Certificate) -> None:
    """The private key can be read by its owner alone, and closing removes the folder."""
    folder = Path(certificate.ca_file).parent
    keys = [path for path in folder.iterdir() if "PRIVATE KEY" in path.read_text()]
    assert [path.stat().st_mode & 0o777 for path in keys] == [0o600]
    assert folder.stat().st_mode & 0o777 == 0o700
    certificate.close()
    assert not folder.exists()
