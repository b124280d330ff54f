"""The receiver for a destination of config.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings import kinds
from moonpalace_addons.settings.reports import KINDS, is_private, resolved
from moonpalace_cli.reporting.receivers.credentials import PUBLIC, token
from moonpalace_cli.reporting.receivers.folder import Folder
from moonpalace_cli.reporting.receivers.issues import Gitee, GitHub, GitLab, Issues
from moonpalace_cli.reporting.receivers.mail import Mail
from moonpalace_cli.reporting.receivers.webhooks import DingTalk, Feishu, Slack, Webhook

if TYPE_CHECKING:
    from moonpalace_addons.settings.reports import Destination
    from moonpalace_cli.reporting.receivers.receiver import Receiver

ISSUES: Mapping[str, type[Issues]] = {"github": GitHub, "gitlab": GitLab, "gitee": Gitee}
WEBHOOKS: Mapping[str, type[Webhook]] = {"webhook": Webhook, "slack": Slack, "feishu": Feishu, "dingtalk": DingTalk}


def receiver(destination: Destination, environ: Mapping[str, str]) -> Receiver:
    """Return the receiver, with the secrets that it needs; raise SettingError if one is missing."""
    where, kind = f"reports.{destination.name}", destination.kind
    options = {
        name: resolved(value, environ, f"{where}.{name}")
        for name, value in destination.options.items()
        if name != "token"
    }
    if kind in ISSUES:
        url = options.get("url", PUBLIC[kind])
        if not is_private(url):
            raise SettingError(f"{where}.url must be an https:// URL")
        labels = tuple(filter(None, map(str.strip, options.get("labels", "").split(","))))
        return ISSUES[kind](destination.target, token(destination, url, environ), url, labels)
    if kind in WEBHOOKS:
        configured = destination.options.get("token")
        secret = resolved(configured, environ, f"{where}.token") if configured else options.get("secret")
        return WEBHOOKS[kind](webhook_url(destination, environ), secret)
    if kind == "mail":
        to = tuple(each.strip() for each in destination.target.split(","))
        return Mail(to, options["from"], options["server"], options.get("user"), options.get("password"))
    return Folder(kinds.parse_path(destination.target))


def webhook_url(destination: Destination, environ: Mapping[str, str]) -> str:
    """Return the URL of a webhook; errors do not quote it."""
    where = f"reports.{destination.name}.{destination.kind}"
    url = resolved(destination.target, environ, where)
    if not KINDS[destination.kind].form.fullmatch(url) or not is_private(url):
        raise SettingError(f"{where} must be an https:// URL")
    return url


def place(destination: Destination) -> str:
    """Return the name of a destination for people, without its secrets."""
    kind, target = destination.kind, destination.target
    if kind in ISSUES:
        return f"an issue in {target} on {ISSUES[kind].site}"
    if kind in WEBHOOKS:
        return WEBHOOKS[kind](target).place if "://" in target else f"{WEBHOOKS[kind].site} at {target}"
    return f"an e-mail to {target}" if kind == "mail" else f"the folder {target}"
