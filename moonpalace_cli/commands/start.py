"""`mpal start`: run the proxy."""

import click

from moonpalace_addons.settings.values import Settings
from moonpalace_cli.deferred_imports import defer_package
from moonpalace_cli.flags.colour import colour_flag
from moonpalace_cli.flags.numbers import WholeNumber
from moonpalace_cli.flags.setting_flags import setting_flags


@click.command("start")
@setting_flags()
@colour_flag
@click.option("--web", is_flag=True, help="Run inside mitmweb and open its page in the browser, to watch calls live.")
@click.option("--web-port", type=WholeNumber(0, 65535), default=8081, show_default=True, help="mitmweb's port.")
@click.option(
    "--workers",
    type=WholeNumber(1, 256),
    default=1,
    show_default=True,
    help="Number of processes that serve on the port.",
)
def command(settings: Settings, web: bool, web_port: int, workers: int) -> None:
    """Start the proxy; then set the base_url of your client to the address that it prints.

    Every call is forwarded to the endpoint and stored. The log goes to standard error. Ctrl-C stops the proxy: calls in
    flight get 5 seconds to finish; press it again to stop at once.
    """
    if settings.redact_pattern:
        from moonpalace_cli.redaction.patterns import finder

        finder(settings.redact_pattern)  # a mistake in it must not show at the first export
    if workers > 1:
        serve_with_workers(settings, workers, web=web)
        return
    if not web:
        defer_package("mitmproxy.addons")  # importing all of mitmproxy's addons, most of them unused, costs 0.4 s
    # mitmproxy costs 0.6 s.
    from moonpalace_cli.proxy import console_log, serving

    log = console_log.install(settings)
    try:
        if web:
            serving.serve_web(settings, log, web_port)
        else:
            serving.serve(settings, log)
    finally:
        log.finish()


def serve_with_workers(settings: Settings, count: int, *, web: bool) -> None:
    """Serve with several processes; this one does not import mitmproxy."""
    from moonpalace_cli.proxy import console_log, workers  # asyncio costs 0.05 s

    if web:
        raise click.UsageError("--workers and --web exclude each other: mitmweb is one process")
    log = console_log.install(settings)
    try:
        workers.serve(settings, count)
    finally:
        log.finish()
