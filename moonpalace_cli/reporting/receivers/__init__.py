"""One module for each kind of receiver: how to send a report, what its answers mean, and whether it can be asked."""
