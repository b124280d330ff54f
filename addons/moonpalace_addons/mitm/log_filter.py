"""Filters for mitmproxy's log: secrets are kept out of it, and not every error during startup ends the proxy."""

import logging

from mitmproxy.addons.errorcheck import ErrorCheckHandler

from moonpalace_addons.wire.foreign import printable_lines, without_headers
from moonpalace_addons.wire.secrets.masking import mask_formed

MAX_MESSAGE_LENGTH = 4000
"""Maximum characters of a message; the rest is cut off."""
LOGGERS = ("mitmproxy.proxy.server", "mitmproxy.proxy.layers.http")


class MaskSecrets(logging.Filter):
    """Mask the values of secret headers, escape control characters, and truncate long messages."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record if needed, and keep it."""
        message = record.getMessage()
        shown = mask_formed(without_headers(printable_lines(message[:MAX_MESSAGE_LENGTH])))
        shown += "…" if len(message) > MAX_MESSAGE_LENGTH else ""
        if shown != message:
            record.msg, record.args = shown, None
        return True


def ends_startup(record: logging.LogRecord) -> bool:
    """Return whether an error during startup ends the proxy: of our own, only those that begin with "Error: ".

    Our other errors report on a call, a journal or a cache; the proxy continues.
    """
    return not record.name.startswith("moonpalace") or record.getMessage().startswith("Error: ")


def install() -> None:
    """Add the filters to the loggers that quote clients, and to the handler that ends mitmproxy at an error."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, ErrorCheckHandler):
            handler.addFilter(ends_startup)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(present, MaskSecrets) for present in logger.filters):
            logger.addFilter(MaskSecrets())
