"""One module per `mpal` command."""
