"""Forked programs."""

import os
import socket

from tests.forks import ID_LENGTH, tell_end


def test_a_process_that_ends_at_once() -> None:
    """Its id is not mixed with its exit code, though both are sent before anybody reads."""
    ours, theirs = socket.socketpair()
    if (teller := os.fork()) == 0:
        if (pid := os.fork()) == 0:
            os._exit(3)
        tell_end(pid, theirs.fileno(), [])
    theirs.close()
    os.waitpid(teller, 0)
    with ours:
        assert int(ours.recv(ID_LENGTH))
        assert int(ours.recv(ID_LENGTH)) == 3
