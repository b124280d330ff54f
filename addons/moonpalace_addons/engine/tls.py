"""TLS contexts for the API and for clients."""

import ssl
from functools import lru_cache
from pathlib import Path

import certifi
from mitmproxy.certs import Cert
from mitmproxy.connection import Connection


@lru_cache(maxsize=8)
def api_context(ca_file: str | None, ca_folder: str | None, client_cert: str | None, *, verify: bool) -> ssl.SSLContext:
    """Return the TLS context for the API; without CA files of the user's, those of certifi are trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(ca_file or (None if ca_folder else certifi.where()), ca_folder)
    if client_cert is not None:
        context.load_cert_chain(client_cert)
    return context


def client_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return the TLS context for clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context


def describe(connection: Connection, found: ssl.SSLObject, when: float) -> None:
    """Set the TLS attributes of mitmproxy's connection object."""
    connection.tls = True
    connection.timestamp_tls_setup = when
    connection.tls_version = found.version()  # type: ignore[assignment]
    connection.alpn = (found.selected_alpn_protocol() or "").encode()
    if (cipher := found.cipher()) is not None:
        connection.cipher = cipher[0]
    if (certificate := found.getpeercert(binary_form=True)) is not None:
        connection.certificate_list = [Cert.from_pem(ssl.DER_cert_to_PEM_cert(certificate).encode())]
