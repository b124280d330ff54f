"""Tests of destinations and rules in config.yaml."""

from pathlib import Path

import pytest

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.config_file import exposed_secrets
from moonpalace_addons.settings.reports import Destination, ReportRule
from moonpalace_addons.settings.values import Settings, resolve

SECRET = "Secret-0123456789"
WHOLE = f"""
reports:
    tracker: {{github: MoonshotAI/moonpalace, labels: bad case}}
    lab: {{gitlab: group/sub/project, url: "https://git.example/", token: env:LAB}}
    tee: {{gitee: o/r}}
    kimi:
        mail: api-feedback@moonshot.cn, copy@example.com
        from: me@example.com
        server: smtp.example.com:465
        user: me
        password: {SECRET}
    chat: {{feishu: "https://open.feishu.cn/open-apis/bot/v2/hook/{SECRET}", secret: env:S}}
    hook: {{webhook: "http://127.0.0.1:8080/x", token: {SECRET}}}
    disk: {{folder: ~/reports, redact: no}}
rules:
    errors: {{when: "status_code >= 500 || error", to: chat, limit: 3, delay: 2h}}
    slow: {{when: latency > 60s, to: disk}}
"""


def settings(folder: Path, text: str) -> Settings:
    """Return the settings with this config.yaml."""
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    return resolve({}, {"MOONPALACE_HOME": str(folder)})


def test_destinations(tmp_path: Path) -> None:
    """Each has a kind with its options, and is redacted unless it says otherwise."""
    found = {each.name: each for each in settings(tmp_path, WHOLE).reports}
    assert found["tracker"] == Destination("tracker", "github", "MoonshotAI/moonpalace", {"labels": "bad case"})
    assert found["lab"].options == {"token": "env:LAB", "url": "https://git.example"}
    assert found["kimi"].target == "api-feedback@moonshot.cn, copy@example.com"
    assert {name for name, each in found.items() if not each.is_redacted} == {"disk"}
    assert {name for name, each in found.items() if each.has_secret} == {"kimi", "chat", "hook"}


def test_rules(tmp_path: Path) -> None:
    """A rule has a predicate, a destination, and a default limit and delay."""
    assert settings(tmp_path, WHOLE).rules == (
        ReportRule("errors", "status_code >= 500 || error", "chat", 3, 7200),
        ReportRule("slow", "latency > 60s", "disk", 5, 600),
    )


def test_nothing_is_sent_by_itself(tmp_path: Path) -> None:
    """Without a file there are no destinations and no rules."""
    found = resolve({}, {"MOONPALACE_HOME": str(tmp_path)})
    assert (found.reports, found.rules) == ((), ())


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """The repr of the settings has no secret, and doctor warns about a file that others can read."""
    assert SECRET not in repr(settings(tmp_path, WHOLE))
    (tmp_path / "config.yaml").chmod(0o644)
    warning = exposed_secrets(tmp_path / "config.yaml")
    assert warning is not None
    assert "holds a secret of a destination of reports that other users can read" in warning[0]
    (tmp_path / "config.yaml").write_text("reports: {a: {slack: env:S}}", encoding="utf-8")
    assert exposed_secrets(tmp_path / "config.yaml") is None


REFUSED = [
    ("reports: 3", "reports must be names with destinations, such as tracker: {github: owner/name}"),
    ("reports: {a: x}", "reports.a must be a mapping with one of github, gitlab, gitee, mail, webhook, slack, feishu,"),
    ("reports: {a b: {github: o/r}}", "reports.a b is not a name for a destination: use letters, digits, dots"),
    ("reports: {a: {labels: x}}", "reports.a must have one of github, gitlab, gitee, mail, webhook, slack, feishu, "),
    ("reports: {a: {github: o/r, slack: env:S}}", "not github and slack"),
    ("reports: {a: {github: https://github.com/o/r}}", "reports.a.github must be a repository, as owner/name"),
    ("reports: {a: {github: o/r, secret: x}}", "reports.a.secret does not belong to github, which has token, labels, "),
    ("reports: {a: {githb: o/r}}", "reports.a.githb is unknown; the closest is github"),
    ("reports: {a: {slack: http://x.example/Secret-0123456789}}", "reports.a.slack must be an https:// URL"),
    ("reports: {a: {slack: Secret-0123456789}}", "reports.a.slack must be the URL of the webhook, or env: and"),
    ("reports: {a: {gitlab: g/p, url: http://x.example}}", "reports.a.url must be an https:// URL; http:// is for"),
    ("reports: {a: {github: o/r, token: Secret-0123456789 x}}", "reports.a.token must be ASCII characters"),
    ("reports: {a: {mail: a@b}}", "reports.a must have server: the SMTP server, with its port"),
    ("reports: {a: {mail: a@b, server: s:587}}", "reports.a must have from: the sender's address"),
    ("reports: {a: {mail: a b, server: s, from: a@b}}", "reports.a.mail must be one or more e-mail addresses"),
    ("reports: {a: {mail: a@b, server: smtp://s, from: a@b}}", "reports.a.server must be a host and a port"),
    ("reports: {a: {mail: a@b, server: s, from: a@b, user: u}}", "must have both user and password, or neither"),
    ("reports: {a: {folder: x, redact: maybe}}", "reports.a.redact must be true or false"),
    ("rules: {r: {to: a}}", "rules.r must have when: the predicate that chooses calls"),
    ("rules: {r: {when: error}}", "rules.r must have to: the name of a destination"),
    ("rules: {r: {when: error, to: a}}", "rules.r.to must be the name of a destination under reports: there is none"),
    (
        "reports: {b: {gitee: o/r}}\nrules: {r: {when: e, to: a}}",
        "line 2: rules.r.to must be the name of a destination",
    ),
    ("reports: {a: {gitee: o/r}}\nrules: {r: {when: e, to: a, limit: 0}}", "rules.r.limit must be a whole number from"),
    ("reports: {a: {gitee: o/r}}\nrules: {r: {when: e, to: a, delay: 8d}}", "rules.r.delay must be a time such as 30s"),
    ("reports: {a: {gitee: o/r}}\nrules: {r: {wen: e, to: a}}", "rules.r.wen is unknown; the closest is when"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_mistakes(tmp_path: Path, text: str, message: str) -> None:
    """Each mistake is one line with its place and the allowed values; it contains no secret."""
    with pytest.raises(SettingError) as raised:
        settings(tmp_path, text)
    assert message in str(raised.value)
    assert "line " in str(raised.value)
    assert SECRET not in str(raised.value)


def test_others_do_not_look_at_them(tmp_path: Path) -> None:
    """A query works in spite of a mistake in a destination."""
    (tmp_path / "config.yaml").write_text("reports: 3\nrules: 4", encoding="utf-8")
    assert resolve({}, {"MOONPALACE_HOME": str(tmp_path)}, names=["database"]).reports == ()
