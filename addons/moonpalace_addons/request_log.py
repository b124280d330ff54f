"""Log every call once its row is stored."""

import logging

from moonpalace_addons.log_lines import lines
from moonpalace_addons.store.records.exchanges import Exchange

logger = logging.getLogger("moonpalace")


def log_call(call: Exchange) -> None:
    """Log a call; runs in the process that writes, so that neither clients nor upstream wait for that."""
    shown = lines(call)
    logger.info("\n".join(line.text for line in shown), extra={"styles": [line.style for line in shown]})
