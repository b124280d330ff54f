"""Keep secrets out of mitmproxy's own log, which repeats what it cannot parse."""

import logging
import re

SECRET = re.compile(
    r"((?:authorization|api-key|cookie|auth-token)['\"]?\s*[:=,]\s*(?:b?['\"])?)(?:(?!\\r|\\n)[^\r\n])*", re.IGNORECASE
)
LOGGERS = ("mitmproxy.proxy.server", "mitmproxy.proxy.layers.http")


class MaskSecrets(logging.Filter):
    """Replace the values of headers that carry secrets."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record if need be; let it pass."""
        message = record.getMessage()
        if SECRET.search(message):
            record.msg, record.args = SECRET.sub(r"\1***", message), None
        return True


def install() -> None:
    """Put the filter on the loggers that repeat what clients send."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(present, MaskSecrets) for present in logger.filters):
            logger.addFilter(MaskSecrets())
