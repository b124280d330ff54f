"""Personal data and private networks are found, and similar text is not."""

import pytest

from moonpalace_addons.wire.secrets.personal import find, is_card, is_identity
from tests.linear import takes_linear_time
from tests.tables import for_each

FOUND: dict[str, list[str]] = {
    "phone": [
        *("13800138000", "138 0013 8000", "138-0013-8000", "+86 13912345678", "+8613912345678", "0086 13912345678"),
        *("19912345678", "010-62751234", "(0755) 86013388", "021 6268 1234", "+86 10 6275 1234", "+1 415 555 2671"),
        *("+44 20 7946 0958", "+49 30 901820", "+81-3-1234-5678", "(415) 555-2671", "415-555-2671", "0049 30 901820"),
        "+33 1 42 68 53 00",
    ],
    "identity": ["11010519491231002X", "440524198001010013", "11010519491231002x"],
    "card": [
        *("4111111111111111", "4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005", "3782 822463 10005"),
        *("6011111111111117", "6222021234567890128", "4012888888881881", "3530111333300000"),
    ],
    "host": [
        *("10.0.3.17", "192.168.1.20", "172.16.0.9", "172.31.255.1", "169.254.169.254", "100.64.0.3", "fd12:3456::1"),
        *("db-3.corp", "wiki2.internal", "build-7.lan", "nas-1.local", "postgres.default.svc", "fe80::1ff:fe23:4567"),
    ],
}
PASSWORDS = [
    *("password=hunter2x", "password: s3cret-word", 'PASSWORD="letmein"', "passwd=qwerty12", "pwd=Abc!2345"),
    *("--password tr0ub4dor", "--pass=correcthorse", "密码：abc12345", "密码是Xy7890zz", "口令: p4ssw0rt"),
    *('{"password": "opensesame"}', r"{\"password\": \"opensesame\"}", "db_password = 'moon8light'", "pass: a1b2c3"),
    *("user=me&password=x9y8z7&b=1", "DB_PASSWORD=moonlight", "spring.datasource.password=orange99"),
    *("passphrase: four-words-of-9", "Password=Winter2026!", "IDENTIFIED BY password='kimi2kimi'"),
]
NOT = [
    # numbers
    *("1764479999", "1764479999123", "12345678", "1234567890123456", "3.14159265358979", "2026-11-30 05:20:11"),
    *("20261130", "ISBN 978-7-301-15085-6", "12800138000", "138001380001", "x13800138000", "1.13800138000"),
    *("id-13800138000-a", "+1234", "a+12345678", "1+123456789", "+12345678\n", "(1234567)", "0x13800138000"),
    *("110105194912310021", "11010519491331002X", "990105194912310021", "4111111111111112", "0000000000000000"),
    *("9111111111111111", "1111 1111 1111 1111", "commit 4111111", "cmpl-4111111111111111a", "99-99-99", "5,000,000"),
    *("127.0.0.1", "8.8.8.8", "172.32.0.1", "11.0.0.1", "Chrome/10.0.0.0", "version 10.1.2.3", "10.1.2.3.4", "10.0.0"),
    *("192.169.1.1", "256.168.1.1", "10.0.19045.3803", "1.10.0.0.1", "-10.0.0.1"),
    # hosts
    *("threading.local", "self.internal", "module.private", "localhost", "example.com", "a.localtime", "x.corporate"),
    *("package.internal.errors", "std::fd12", "fd: 12", "the lan.", "node.local()"),
    # passwords
    *("password", "password=", "password: ", "Enter your password:", "password=password", "password: required"),
    *("password=get_password()", "password: str", "password=args.password", "password=user_password", "pwd=$PWD"),
    *("password=********", "password=<your password>", "password=${DB_PASSWORD}", "the password must be long enough"),
    *("password: must be 8 characters", "forgot password? reset it", "compass: north-7", "bypass=1", "passed: 12345"),
    *(
        "password == other",
        "密码：",
        "密码错误",
        "passwordHash(x1)",
        "password: string;",
        "password=None",
        "pwd: /tmp/x1",
    ),
    *("password=DB_PASSWORD", "password: https://x1.example/reset"),
]


def found_in(text: str) -> list[tuple[str, str]]:
    """Return the findings in a text, with their kinds."""
    return [(text[found.start : found.end], found.kind) for found in find(text)]


@pytest.mark.parametrize("around", ["{}", "call {}, please", "号码：{}。", '"{}"', "a: {}\n"])
def test_found(around: str) -> None:
    """The whole value is found in any context."""
    expected = {value: [(value, kind)] for kind, values in FOUND.items() for value in values}
    assert {value: found_in(around.format(value)) for value in expected} == expected


@for_each("text", PASSWORDS)
def test_passwords(text: str) -> None:
    """Exactly the value of a named password is found."""
    (found,) = find(text)
    assert found.kind == "secret"
    assert "ass" not in text[found.start : found.end].lower() or text.endswith(("p4ssw0rt",))


def test_kept() -> None:
    """Other numbers, names in code, and words about passwords are ignored."""
    assert {text: found for text in NOT if (found := found_in(text))} == {}


def test_enough_cases() -> None:
    """The table has at least sixty cases of either kind."""
    assert min(sum(map(len, FOUND.values())) + len(PASSWORDS), len(NOT)) >= 60


@for_each("change", range(17))
def test_one_wrong_digit(change: int) -> None:
    """A number with one wrong digit is neither an identity number nor a card number."""
    for number, is_valid in (("11010519491231002X", is_identity), ("4111111111111111", is_card)):
        assert is_valid(number)
        if change < len(number) and number[change].isdecimal():
            wrong = str((int(number[change]) + 1) % 10)
            assert not is_valid(number[:change] + wrong + number[change + 1 :])


@pytest.mark.parametrize(
    "piece", ["1", "1 ", "+1", "(", "10.", "a.", "password", "password=", "fd12:", "-", "a-1.local"]
)
def test_the_search_takes_linear_time(piece: str) -> None:
    """Any text is searched in linear time."""
    assert takes_linear_time(lambda size: lambda: list(find(piece * size)), 2000)
