"""Access to the console."""

import pytest

from moonpalace_cli.web.access import COOKIE_LIFETIME, TICKET_LIFETIME, Access

HOST = "127.0.0.1:9989"
OWN = {"Host": HOST, "Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


class Clock:
    """A clock that stands still."""

    now = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def access(clock: Clock) -> Access:
    """Give the access of one console."""
    return Access(b"key of the store", "secret", clock=clock)


def test_the_token_admits(access: Access) -> None:
    """Only the token works, any number of times."""
    assert [access.admits(token) for token in ("secret", "secret", "Secret", "", "秘密")] == [True, True] + [False] * 3


def test_a_ticket_works_once(access: Access, clock: Clock) -> None:
    """A ticket read from the process list has already been used, and expires after a minute."""
    ticket, late = access.ticket(), access.ticket()
    assert [access.admits(ticket), access.admits(ticket)] == [True, False]
    clock.now += TICKET_LIFETIME + 1
    assert not access.admits(late)


def test_a_cookie_outlives_the_process(access: Access, clock: Clock) -> None:
    """Another console on the same store accepts the cookie until its end, one on another store does not."""
    cookie = access.cookie()
    assert Access(b"key of the store", "another", clock=clock).knows(cookie)
    assert not Access(b"another key", "secret", clock=clock).knows(cookie)
    clock.now += COOKIE_LIFETIME + 1
    assert not access.knows(cookie)


@pytest.mark.parametrize("cookie", [None, "", ".", "x", "9999999999.", "9999999999.0", "²." + "0" * 64, "9" * 5000])
def test_other_cookies_are_unknown(access: Access, cookie: str | None) -> None:
    """A cookie without our signature is none."""
    assert not access.knows(cookie)


def test_the_end_of_a_cookie_is_signed(access: Access) -> None:
    """A cookie's lifetime cannot be extended."""
    end, _, signature = access.cookie().partition(".")
    assert not access.knows(f"{int(end) + 1}.{signature}")


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Host": HOST}, None),
        ("GET", {"Host": "localhost:9000"}, None),
        ("GET", {"Host": "[::1]:9989"}, None),
        ("GET", {"Host": "192.168.1.7:9989"}, None),
        ("GET", OWN, None),
        ("POST", OWN, None),
        ("GET", {"Host": HOST, "Sec-Fetch-Site": "none", **NAVIGATION}, None),
        ("GET", {"Host": HOST, "Sec-Fetch-Site": "cross-site", **NAVIGATION}, None),
        ("GET", {"Host": "attacker.example"}, 421),
        ("GET", {"Host": "attacker.example:9989", "Origin": "http://attacker.example:9989"}, 421),
        ("GET", {"Host": ""}, 421),
        ("GET", {"Host": HOST, "Origin": "http://127.0.0.1:8000"}, 403),
        ("POST", {"Host": HOST, "Origin": "http://127.0.0.1:8000", "Authorization": "Bearer secret"}, 403),
        ("POST", {"Host": HOST, "Origin": "null"}, 403),
        ("POST", {"Host": HOST}, 403),
        ("POST", {"Host": HOST, "Authorization": "Bearer secret"}, None),
        ("GET", {"Host": HOST, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("GET", {"Host": HOST, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"}, 403),
        ("GET", {"Host": HOST, "Sec-Fetch-Site": "cross-site", **NAVIGATION, "Sec-Fetch-Dest": "iframe"}, 403),
        ("POST", {"Host": HOST, "Sec-Fetch-Site": "cross-site", **NAVIGATION}, 403),
    ],
)
def test_hosts_and_origins(access: Access, method: str, headers: dict[str, str], status: int | None) -> None:
    """Our own pages, the user and programs have access; other pages may only link to us."""
    refusal = access.refusal(method, headers)
    assert (refusal and refusal.status) == status


def test_a_name_of_this_machine() -> None:
    """Listening beyond loopback, the console accepts the names that it was given."""
    access = Access(b"key", names=frozenset({"box.example.org"}))
    assert access.refusal("GET", {"Host": "box.example.org:9989"}) is None
    assert access.refusal("GET", {"Host": "attacker.example.org:9989"}) is not None


def test_each_console_has_a_token_of_its_own() -> None:
    """Without a given token, a random one is generated."""
    one, other = Access(b"key"), Access(b"key")
    assert one.token != other.token
    assert len(one.token) >= 32
