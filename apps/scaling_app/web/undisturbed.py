"""What Python itself does between two requests, kept from making one wait.

Its collector of unreachable objects looks at everything that was ever imported, a third of a second with torch and MONAI,
and nobody is answered meanwhile. A thread that computes keeps the others waiting for 5 ms each time that one of them
comes back from the disk, and a request comes back from there dozens of times.
"""

from __future__ import annotations

import gc
import sys

TURN_SECONDS = 0.0005
"""How long a thread that computes goes on while another one waits."""


def hasten_start() -> None:
    """Nothing is collected while libraries are loaded: almost all of it stays."""
    gc.disable()


def answer_promptly() -> None:
    """From now on the collector passes over what is there, and threads take shorter turns."""
    gc.collect()
    gc.freeze()
    gc.enable()
    sys.setswitchinterval(TURN_SECONDS)
