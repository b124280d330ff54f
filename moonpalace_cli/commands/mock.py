"""`mpal mock`: serve a mock of the Kimi API."""

import contextlib
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING

import click

from moonpalace_addons.wire.escaping import escaped
from moonpalace_cli.flags.numbers import WholeNumber

if TYPE_CHECKING:
    from moonpalace_cli.mock.served import Served

PORT = 9990


class MockCommand(click.Command):
    """A command whose help lists all scenarios."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of scenarios."""
        from moonpalace_cli.mock.scenarios import Times, scenarios

        with formatter.section("Models"):
            formatter.write_dl([(name, scenario.summary) for name, scenario in scenarios(Times()).items()])


@click.command("mock", cls=MockCommand)
@click.option(
    "--port",
    default=PORT,
    show_default=True,
    envvar="MOONPALACE_MOCK_PORT",
    type=WholeNumber(0, 65535),
    help="Port to listen on; 0 takes a free one. [env: MOONPALACE_MOCK_PORT]",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    envvar="MOONPALACE_MOCK_HOST",
    help="Address to listen on. [env: MOONPALACE_MOCK_HOST]",
)
@click.option(
    "--tls",
    is_flag=True,
    envvar="MOONPALACE_MOCK_TLS",
    help="Serve https with a new self-signed certificate; its path is printed. [env: MOONPALACE_MOCK_TLS]",
)
@click.option(
    "--caching/--no-caching",
    default=True,
    envvar="MOONPALACE_MOCK_CACHING",
    help="Serve /v1/caching; without it the path answers 404, as the API does today. Default: on. "
    "[env: MOONPALACE_MOCK_CACHING]",
)
@click.option(
    "--quiet",
    is_flag=True,
    envvar="MOONPALACE_MOCK_QUIET",
    help="Do not log calls. [env: MOONPALACE_MOCK_QUIET]",
)
def command(port: int, host: str, tls: bool, caching: bool, quiet: bool) -> None:
    """Serve a mock of the Kimi API, to develop and test without a key or a network.

    Any API key will do, except one that begins with sk-wrong. The name of the model chooses what happens; the list is
    below, and GET /v1/models returns it. A model whose name does not begin with mock- behaves like mock-echo. The same
    request always gets the same answer, except for its cached tokens.

    Two request headers change the pace: X-Mock-Delay sets the seconds between the events of a stream (without
    streaming the answer waits as long as the stream would have taken), X-Mock-Events the number of events of mock-many
    and mock-repeat.

    Prompts are cached as at the API: the beginning that a prompt shares with an earlier one of the same key and model
    counts as cached_tokens, in blocks of 256. The models mock-cache and moonshot-v1-… have the context caches of
    /v1/caching instead.
    """
    # Tornado takes 0.2 s to import.
    from moonpalace_cli.mock.server import MockServer

    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        on_served = None if quiet else _print_call
        with MockServer(port, host, tls, caching=caching, keep=0, on_served=on_served) as mock:
            click.echo(
                f"Mock of the Kimi API => {mock.url}/v1 (any API key; GET /v1/models lists the scenarios)", err=True
            )
            if tls:
                click.echo(f"Certificate to trust: {mock.ca_file}", err=True)
            stopped.wait()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _print_call(served: "Served") -> None:
    model = f" {served.model}" if served.model else ""
    events = f" {served.sent_events}/{served.total_events} events" if served.total_events else ""
    remark = ", the client left" if served.cut_off else ""
    # The call must be answered even if the output is closed.
    with contextlib.suppress(OSError):
        click.echo(escaped(f"{served.method} {served.path}{model} {served.status}{events}{remark}"), err=True)
