"""One module a kind of receiver: how it takes a report, what its answers mean, and whether it can be asked."""
