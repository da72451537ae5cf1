"""Whether a server is starting in this process, and how it ends where it cannot."""

from __future__ import annotations

import asyncio
import os
import sys

EXIT_BAD_INPUT = 2


def end_a_starting_server(error: Exception) -> None:
    """Ends the process if a server is starting in it.

    The server's start-up would wrap the sentence into a page of traceback and end with status 3. Nothing
    has been begun at this point that an exit could damage.
    """
    if not is_starting():
        return
    sys.stderr.write(f"scaling-app: {' '.join(str(error).split())}\n")
    sys.stderr.flush()
    os._exit(EXIT_BAD_INPUT)


def is_starting() -> bool:
    """Whether a server starts in this process, and not one of its tasks."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
