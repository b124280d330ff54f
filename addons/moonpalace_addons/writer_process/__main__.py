"""Write to the store for the proxy that started this process."""

from moonpalace_addons.writer_process.server import main

main()
