"""Tests of finding credentials by their format."""

import time
from itertools import islice, pairwise

import pytest

from moonpalace_addons.wire.secrets.patterns import FORMS, Finding, find, find_in
from tests.tables import for_each

RANDOM = "Wq7Zx3Rt9pLm2Vb8Nc4Kd6Hf1Gj5Ts0YaQe"
"""The random part of a key."""
HEX = "4f0c9a7be2d816357f1b0ac4d9e2837615c8a0fe"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{RANDOM}\n{RANDOM}\n-----END RSA PRIVATE KEY-----"

SECRETS = [
    ("API key", f"sk-{RANDOM}"),
    ("API key", f"sk-proj-{RANDOM}_-{RANDOM}"),
    ("API key", f"sk-ant-api03-{RANDOM}"),
    ("Stripe key", f"sk_live_{RANDOM}"),
    ("AWS access key", "AKIAIOSFODNN7EXAMPLE"),
    ("AWS access key", "ASIAIOSFODNN7EXAMPLE"),
    ("GitHub token", f"ghp_{RANDOM}"),
    ("GitHub token", f"github_pat_{RANDOM}"),
    ("GitLab token", f"glpat-{RANDOM}"),
    ("Slack token", "xoxb-123456789012-abcdefghij"),
    ("Google API key", f"AIza{RANDOM}"),
    ("Google access token", f"ya29.{RANDOM}"),
    ("Hugging Face token", f"hf_{RANDOM}"),
    ("npm token", f"npm_{RANDOM}x"),
    ("PyPI token", f"pypi-{RANDOM}{RANDOM}"),
    ("JSON web token", JWT),
    ("private key", PEM),
    ("private key", PEM.replace("RSA ", "")),
    ("API key", "sk-WqZxRtpLmVbNcKdHfGjTsYaQe"),
    ("API key", f"csk-{RANDOM}"),
    ("API key", f"gsk_{RANDOM}"),
    ("API key", f"xai-{RANDOM}"),
    ("API key", f"pplx-{RANDOM}"),
    ("API key", f"nvapi-{RANDOM}"),
    ("API key", f"r8_{RANDOM}"),
    ("API key", f"tgp_v1_{RANDOM}"),
    ("API key", f"tvly-{RANDOM}"),
    ("API key", f"jina_{RANDOM}"),
    ("API key", f"lsv2_pt_{HEX}"),
    ("API key", f"sess-{RANDOM}"),
    ("Stripe key", f"rk_live_{RANDOM}"),
    ("Stripe key", f"whsec_{RANDOM}"),
    ("Alibaba Cloud access key", f"LTAI{RANDOM}"),
    ("Tencent Cloud access key", f"AKID{RANDOM[:32]}"),
    ("Volcengine access key", f"AKLT{RANDOM}=="),
    ("Baidu Cloud key", f"ALTAK-{RANDOM}/{HEX}"),
    ("Google client secret", f"GOCSPX-{RANDOM}"),
    ("SendGrid key", f"SG.{RANDOM[:22]}.{RANDOM}"),
    ("Databricks token", f"dapi{HEX[:32]}-2"),
    ("Vault token", f"hvs.{RANDOM}"),
    ("Vault token", f"hvb.{RANDOM}"),
    ("DigitalOcean token", f"dop_v1_{HEX}"),
    ("Telegram token", f"123456789:AA{RANDOM[:33]}"),
    ("AWS secret key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzT3q8LkW2v"),
]


def test_each_form_is_tried() -> None:
    """The table above has a secret of each known issuer."""
    assert [mark for _, mark, _ in FORMS if not any(secret.startswith(mark) for _, secret in SECRETS)] == []


@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("密钥是", "。"), ('{"key": "', '"}'), ("a=1&k=", "&b"), ("\n", "\n")]
)
def test_secrets_are_found_where_they_stand(before: str, after: str) -> None:
    """A secret is found alone and within other text, with its exact span."""
    expected = {secret: [Finding(kind, len(before), len(before) + len(secret))] for kind, secret in SECRETS}
    assert {secret: find(before + secret + after) for secret in expected} == expected


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Authorization: Bearer {RANDOM}", RANDOM),
        ("postgresql://user:hunter2@host/db", "hunter2"),
        ("http://:p4ss@proxy:3128", "p4ss"),
        (f"bce-v3/ALTAK-{RANDOM}/{HEX}", f"ALTAK-{RANDOM}/{HEX}"),
        (rf"bce-v3\/ALTAK-{RANDOM}\/{HEX}", rf"ALTAK-{RANDOM}\/{HEX}"),
        (f"?key=bce-v3%2FALTAK-{RANDOM}%2F{HEX}", f"ALTAK-{RANDOM}%2F{HEX}"),
    ],
)
def test_only_the_secret_is_found(text: str, secret: str) -> None:
    """Only the secret part of a header or a URL is found."""
    (finding,) = find(text)
    assert text[finding.start : finding.end] == secret


@for_each(
    "text",
    [
        "",
        "sk-your-key-here-please",
        "sk-learn-tutorial-version-1",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-************************",
        "sk-0000000000000000000000",
        "risk-a1b2c3d4e5f6g7h8i9j0",
        "task-a1b2c3d4e5f6g7h8i9j0",
        "sk-a1b2c3",
        "cmpl-12be8428ebe74a9e8466a37bee7a9b11",
        "c34f3421-4dae-11ef-b237-9620e33511ee",
        "Bearer $MOONSHOT_API_KEY",
        "Bearer <the key of your account here>",
        "https://user:password@host",
        "https://user:$PASSWORD@host",
        "https://api.moonshot.cn/v1?x=a@b:c@d",
        "http://127.0.0.1:9988/v1",
        "AKIA is a prefix",
        "-----BEGIN PUBLIC KEY-----",
        "eyJhbGciOiJIUzI1NiJ9",
    ],
)
def test_what_is_no_secret(text: str) -> None:
    """Placeholders, ids and addresses are not secrets."""
    assert find(text) == []


def test_several_are_found_in_order_and_apart() -> None:
    """Findings are in the order of the text; of two that overlap, the first is kept."""
    text = f"{JWT} sk-{RANDOM} Bearer sk-{RANDOM} {PEM}"
    result = find(text)
    assert [finding.kind for finding in result] == ["JSON web token", "API key", "API key", "private key"]
    assert all(one.end <= two.start for one, two in pairwise(result))


def test_key_without_its_end() -> None:
    """A truncated private key is found as far as it goes."""
    assert find(PEM[:60]) == [Finding("private key", 0, 60)]


def test_mark_of_a_key_soon_after_another_key() -> None:
    """The mark of a private key does not find an earlier key again, which would never end."""
    empty = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----"
    text = f"{empty}\nPRIVATE KEY {PEM}".encode()
    result = list(islice(find_in(text), 3))
    assert result == [
        Finding("private key", 0, len(empty)),
        Finding("private key", len(text) - len(PEM), len(text)),
    ]


@pytest.mark.parametrize(
    "piece",
    [
        "sk-",
        "eyJ",
        "eyJaaaaaaaa.",
        "-----BEGIN PRIVATE KEY-----",
        "Bearer ",
        "://",
        "://a:",
        "://a:b",
        "AKIA",
        "a",
        "@",
    ],
)
def test_time_is_linear(piece: str) -> None:
    """Four times the text takes about four times as long."""
    times = []
    for length in (200_000, 800_000):
        text = piece * (length // len(piece))
        began = time.thread_time()
        find(text)
        times.append(time.thread_time() - began)
    assert times[1] < 12 * times[0] + 0.05
