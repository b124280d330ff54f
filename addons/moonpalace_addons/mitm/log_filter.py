"""Keep secrets out of mitmproxy's own log, which repeats what it cannot parse."""

import logging

from moonpalace_addons.wire.foreign import printable_lines, without_headers
from moonpalace_addons.wire.secrets.masking import mask_formed

MAX_MESSAGE = 4000
"""Characters of a message that are logged."""
LOGGERS = ("mitmproxy.proxy.server", "mitmproxy.proxy.layers.http")


class MaskSecrets(logging.Filter):
    """Replace the values of headers that carry secrets, and what a terminal would obey; cut what is too long."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record if need be; let it pass."""
        message = record.getMessage()
        shown = mask_formed(without_headers(printable_lines(message[:MAX_MESSAGE])))
        shown += "…" if len(message) > MAX_MESSAGE else ""
        if shown != message:
            record.msg, record.args = shown, None
        return True


def install() -> None:
    """Put the filter on the loggers that repeat what clients send."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(present, MaskSecrets) for present in logger.filters):
            logger.addFilter(MaskSecrets())
