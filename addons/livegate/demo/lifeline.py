"""Ends a process when the one that started it ends, however that came about; used by the demo's apps."""

import os
import signal
import sys
import threading

GRACE_S = 2.0


def end_with_parent() -> None:
    """Watch standard input, a pipe that the parent holds open, and end this process when it is closed.

    The kernel closes the pipe even when the parent is killed. The process gets SIGTERM, and GRACE_S later it is ended.
    """
    threading.Thread(target=_wait, name="lifeline", daemon=True).start()


def _wait() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_S)
    os._exit(0)
