"""Ends a process when the one that started it ends, however that came about; used by the demo's apps."""

import os
import signal
import sys
import threading


def end_with_parent() -> None:
    """Watch standard input, which the parent holds open, and end this process when it is closed."""

    def wait() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Timer(2.0, os._exit, (0,)).start()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
