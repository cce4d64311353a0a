"""Command line, listening socket and exit with the parent, for both demo apps."""

import argparse
import os
import signal
import socket
import sys
import threading

GRACE_S = 2.0
"""Seconds between SIGTERM and a forced exit, after the parent has ended."""
READY = "listening on port "
"""Prefix of the line with which an app reports its port to its parent."""


def parser(description: str | None, port: int) -> argparse.ArgumentParser:
    """Return the parser of both apps; `port` is the default."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    made.add_argument("--port", type=int, default=port, help="0 is any free port (default: %(default)s)")
    made.add_argument("--exit-with-parent", action="store_true", help="end when standard input is closed")
    return made


def listen(arguments: argparse.Namespace) -> socket.socket:
    """Bind the socket, and print READY and its port. Exit with status 1 and a message if the port is not available.

    Connections wait in the socket's backlog until the app accepts them, so none is refused after the line was printed.
    """
    if arguments.exit_with_parent:
        exit_with_parent()
    try:
        listener = socket.create_server((arguments.host, arguments.port), backlog=512)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        sys.exit(f"cannot listen on {arguments.host} port {arguments.port}: {reason}")
    sys.stdout.write(f"{READY}{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    return listener


def exit_with_parent() -> None:
    """End this process when standard input, a pipe to the parent, is closed.

    The kernel closes the pipe even if the parent is killed. The process gets SIGTERM, and GRACE_S later it exits.
    """
    threading.Thread(target=_wait_for_eof, name="wait for parent", daemon=True).start()


def _wait_for_eof() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_S)
    os._exit(0)
