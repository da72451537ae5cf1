"""Which process does something that the ledger says is going on, and whether that process still lives.

A process id alone does not tell: it is given anew after a process ended. Where the system shows when a process
began (Linux), that is noted too.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_app.words import whole_number


def this_process() -> dict[str, Any]:
    """The present process as a JSON value: `host`, `pid` and `began` (None where the system does not say)."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "began": _state_and_start(os.getpid())[1]}


def lives(process: Mapping[str, Any]) -> bool | None:
    """Whether that process still runs; None when it cannot be told from here, as for another machine's.

    Args:
        process: what `this_process` said in it; without `began` any process of that id counts.
    """
    if process["host"] != socket.gethostname() or os.name != "posix":
        return None
    try:
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, but another user's
    state, began = _state_and_start(process["pid"])
    if state in ("Z", "X"):  # ended; its parent has not asked for the exit status yet
        return False
    return began is None or process.get("began") in (None, began)


def folder_name() -> str:
    """A name for a folder of this process alone, which tells later whose it was."""
    me = this_process()
    return f"{me['host']}_{me['pid']}_{me['began'] or 0}"


def is_left(name: str) -> bool:
    """Whether a folder of such a name is of a process that has ended."""
    parts = name.rsplit("_", 2)
    if len(parts) != 3 or (pid := whole_number(parts[1])) is None:
        return False
    host, _, began = parts
    return lives({"host": host, "pid": pid, "began": None if began == "0" else began}) is False


def is_over(process: Mapping[str, Any] | None, *, elsewhere: bool) -> bool:
    """Whether that process has ended; `elsewhere` is the answer where it cannot be told, or is not known."""
    living = None if process is None else lives(process)
    return elsewhere if living is None else not living


def _state_and_start(pid: int) -> tuple[str | None, str | None]:
    """The process's state letter and when it began (ticks since the machine started), where Linux shows them."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return None, None
