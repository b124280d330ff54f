"""Filter that keeps secrets out of mitmproxy's own log, which quotes input that it cannot parse."""

import logging

from moonpalace_addons.wire.foreign import printable_lines, without_headers
from moonpalace_addons.wire.secrets.masking import mask_formed

MAX_MESSAGE_LENGTH = 4000
"""Characters of a message; the rest is cut off."""
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


def install() -> None:
    """Add the filter to the loggers that quote clients' input."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(present, MaskSecrets) for present in logger.filters):
            logger.addFilter(MaskSecrets())
