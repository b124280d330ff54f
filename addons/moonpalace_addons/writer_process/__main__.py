"""Run the writer's process for the proxy that started it."""

from moonpalace_addons.writer_process.server import main

main()
