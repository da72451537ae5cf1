"""`scaling-app doctor --server URL`: how a running server does, seen from outside, and what to change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from urllib.parse import urlsplit

import requests
from prometheus_client.parser import text_string_to_metric_families

from scaling_app import __version__
from scaling_app.commands.certificates import ends_at, said_of, served_certificate
from scaling_app.commands.doctor import Finding, show
from scaling_app.experiments.progress import shown
from scaling_app_client.blocking import Server
from scaling_app_client.calls import is_local, normal_address
from scaling_app_client.messages import Failure

MOST_SECONDS_OFF = 60.0
"""Between two clocks. Tokens of a login are refused soon after."""

LEAST_BYTES = 2 << 30
OLDEST_BACKUP_DAYS = 2.0

Numbers = Mapping[tuple[str, ...], float]
"""(name, values of its labels ...) -> number."""


@dataclass(frozen=True)
class Seen:
    """What was seen of a server: its address, what it says of itself, its numbers."""

    address: str
    version: str
    numbers: Numbers

    def number(self, name: str, *labels: str) -> float | None:
        """One of its numbers, None where it gives none."""
        return self.numbers.get((f"scaling_app_{name}", *labels))


def examine_server(address: str, *, user: str = "", password: str = "") -> int:
    """Prints the findings as a table; returns 0 when nothing has to be mended, else 1.

    Raises:
        ValueError: no address of a server.
    """
    try:
        address = normal_address(address)
    except Failure as failure:
        raise ValueError(f"--server {address}: {failure}") from None
    with shown() as bars:  # a silent server is waited for
        asked = partial(bars.phase, "asking the server")
        findings = list(findings_of(address, user, password, asked))
    return show(findings, f"scaling-app doctor --server {address}")


def findings_of(
    address: str, user: str, password: str, told: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Finding]:
    """What there is to say, the most important first; of a server that cannot be asked, why.

    Args:
        told: how many steps of all are done.
    """
    steps = 2 + len(CHECKS)
    told(0, steps)
    if urlsplit(address).scheme == "https":
        yield from _certificate(address)
    elif not is_local(address):
        sentence = "http: what is sent can be read on the way; put a web server with https in front, or serve with --ssl-certfile"
        yield Finding("Encryption", False, sentence)
    try:
        with Server(address, user=user, password=password, retries=0) as server:
            yield Finding("Reachable", True, f"{server.info.name} at {address}")
            seen = Seen(address, server.info.version or "", _numbers(server.numbers()))
    except Failure as failure:
        cure = "; name a --user" if failure.kind == "sign_in" and not user else ""
        if failure.kind == "tls":
            cure = (
                "; where an authority of your own vouches for it, set REQUESTS_CA_BUNDLE to its certificate"
            )
        yield Finding("Reachable", False, f"{failure}{cure}")
        return
    told(1, steps)
    yield from _clock(address)
    for done, check in enumerate(CHECKS, start=2):
        told(done, steps)
        yield from check(seen)
    told(steps, steps)


def _numbers(text: str) -> dict[tuple[str, ...], float]:
    try:
        families = list(text_string_to_metric_families(text))
    except ValueError as error:
        raise Failure("bad_answer", f"/metrics: {error}") from error
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def _certificate(address: str) -> Iterator[Finding]:
    parts = urlsplit(address)
    try:
        end = ends_at(served_certificate(parts.hostname or "", parts.port or 443))
    except (OSError, ValueError) as error:
        yield Finding(
            "Certificate", False, f"no certificate can be seen ({error}): is it https that this port speaks?"
        )
        return
    said = said_of(end)
    yield Finding("Certificate", said is None, said or f"good until {end:%Y-%m-%d}")


def _clock(address: str) -> Iterator[Finding]:
    """The server's clock against this one's; half of the way there and back may be lost."""
    began = time.time()
    try:
        date = requests.head(f"{address}/info/", timeout=30, allow_redirects=False).headers["Date"]
        said = parsedate_to_datetime(date).timestamp()
    except (requests.RequestException, KeyError, ValueError):
        yield Finding("Clock", False, "the server does not say what time it is", optional=True)
        return
    off = abs(said - (began + time.time()) / 2)
    good = off <= MOST_SECONDS_OFF
    cure = "" if good else ": have both computers take their time from the same server (NTP)"
    yield Finding("Clock", good, f"{off:.0f} s from this computer's{cure}")


def _version(seen: Seen) -> Iterator[Finding]:
    told = next((labels[0] for name, *labels in seen.numbers if name == "scaling_app_info"), seen.version)
    same = told == __version__
    yield Finding(
        "Version", same, f"{told}{'' if same else f'; this command is {__version__}'}", optional=True
    )


def _login(seen: Seen) -> Iterator[Finding]:
    login, alone = seen.number("login"), seen.number("loopback_only")
    if login:
        yield Finding("Login", True, "asked for")
    elif alone == 0 or (alone is None and not is_local(seen.address)):
        cure = "set MONAI_LABEL_AUTH_ENABLE, or serve on 127.0.0.1 behind a web server that asks who is there"
        yield Finding("Login", False, f"none, and other computers reach it: {cure}")
    elif not is_local(seen.address):
        yield Finding(
            "Login", False, "none of its own: the web server in front has to ask who is there", optional=True
        )
    else:
        yield Finding("Login", True, "none, and only that computer reaches it")


def _disks(seen: Seen) -> Iterator[Finding]:
    for folder in ("studies", "app"):
        free = seen.number("free_bytes", folder)
        if free is not None:
            good = free >= LEAST_BYTES
            cure = "" if good else ": free some space there before labels are refused"
            yield Finding(f"Disk of {folder}", good, f"{free / 2**30:.1f} GiB free{cure}")


def _pacs(seen: Seen) -> Iterator[Finding]:
    up = seen.number("pacs_up")
    if up is not None:
        cure = (
            ""
            if up
            else ": it did not answer at the last look; see the server's log, its address, user and password"
        )
        yield Finding("DICOM server", bool(up), f"{'answers' if up else 'is silent'}{cure}")


def _gpu(seen: Seen) -> Iterator[Finding]:
    gpus = seen.number("gpus") or 0
    detail = f"{gpus:.0f}" if gpus else "none: it trains on the processor, with small networks"
    yield Finding("GPU", gpus > 0, detail, optional=True)


def _backup(seen: Seen) -> Iterator[Finding]:
    made = seen.number("last_backup_timestamp_seconds")
    cure = "run scaling-app backup daily"
    if made is None:
        yield Finding("Backup", False, f"none was made yet: {cure}")
        return
    days = (datetime.now(timezone.utc).timestamp() - made) / 86400
    good = days <= OLDEST_BACKUP_DAYS
    yield Finding("Backup", good, f"the last one is {days:.1f} days old{'' if good else f': {cure}'}")


def _work(seen: Seen) -> Iterator[Finding]:
    """Trainings and forecasts: what runs, what failed, what lags."""
    running, trainers = seen.number("tasks", "train", "running") or 0, seen.number("trainers") or 0
    failed = seen.number("tasks", "train", "error") or 0
    yield Finding(
        "Trainings",
        not failed,
        f"{max(running, trainers):.0f} running, {failed:.0f} failed since the start{': see the log' if failed else ''}",
        optional=True,
    )
    errors = seen.number("log_errors_total") or 0
    yield Finding("Errors", not errors, f"{errors:.0f} in the log since the start", optional=True)
    age = seen.number("forecast_age_seconds")
    behind = bool(seen.number("forecast_behind")) and age is not None and age > 3600
    said = (
        "none yet"
        if age is None
        else f"{age / 3600:.1f} h old{', and labels or runs have come since' if behind else ''}"
    )
    yield Finding("Forecast", not behind, said, optional=True)


CHECKS: tuple[Callable[[Seen], Iterator[Finding]], ...] = (
    _version,
    _login,
    _disks,
    _pacs,
    _gpu,
    _backup,
    _work,
)
