"""What the log never says: names of images and patients, and secrets.

Images are often named after their patients. So each name becomes a pseudonym, `case-1a2b3c4d5e`, the same in all lines and after each
start; it is made with a key that lies beside the ledger, since names and numbers can be guessed. The whole line is
looked through when it is written, with its traceback: whoever wrote it, MONAI Label's own lines and those of trainings too.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import re
import secrets
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

from scaling_app.imaging.image_files import readable_kinds
from scaling_app.storage import write_whole_text

KEY_FILE = "log.key"
_KEY_BYTES = 16

SHORTEST = 3
"""Characters: shorter names say nothing, and stand in every line."""

_SECRET = re.compile(
    r"(?P<said>\bbearer\s+|\bbasic\s+|"
    r"\b(?:access_|refresh_|id_)?token[\"']?\s*[=:]\s*[\"']?|"
    r"\bcode[\"']?\s*[=:]\s*[\"']?(?!-?\d{1,3}(?:[\s\"'&,@}.;)]|$))|"  # but not that of a process which has ended
    r"\b(?:\w*password|client_secret|secret|api_key)[\"']?\s*[=:]\s*[\"']?)"
    r"[^\s\"'&,@}]+",
    re.IGNORECASE,
)
_IN_ADDRESS = re.compile(r"(?P<said>://[^/\s:@]*:)[^/\s@]+(?=@)")
_TOKEN = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
_UID = re.compile(r"(?<![\d.])(?!1\.2\.840\.10008\.)[012](?:\.\d+){4,}(?![\d.]*\d)")
"""Of a study, a series or an instance; those of the standard itself begin with its root."""

_SHORTEST_UID = 20
_MOST_UIDS = 10_000
"""That are told by their pseudonyms, of images that are not served."""

_HIDDEN = re.compile(r"PASSWORD|TOKEN$|API_KEY|SECRET")
_OF_THE_START = ("monailabel.main", "monailabel.interfaces.utils.app")
_STARTS = re.compile(r"(?<![^\W_])(?=[^\s])")


class Veil:
    """Names and the pseudonyms that stand for them.

    Args:
        key: of the pseudonyms.
        hidden: what is never written, as it stands.
    """

    def __init__(self, key: bytes, hidden: Iterable[str] = ()) -> None:
        self._key = key
        self._hidden = tuple(hidden)
        self._names: dict[str, str] = {}
        self._meant: dict[str, str] = {}
        self._lengths: tuple[int, ...] = ()
        kinds = "|".join(sorted(map(re.escape, readable_kinds()), key=len, reverse=True))
        self._file = re.compile(
            rf"(?P<name>[^\s/\\\"'=:,()\[\]{{}}<>&?]+?)(?P<kind>{kinds})\b", re.IGNORECASE
        )

    def learn(self, names: Iterable[str]) -> None:
        """Names that are images' or patients' from now on."""
        new = [name for name in names if not self.knows(name)]
        if new:
            spelt = {way: self.pseudonym(name) for name in new for way in _spellings(name)}
            self._names = {**self._names, **spelt}
            self._meant |= {self.pseudonym(name): name for name in new}
            self._lengths = tuple(sorted(set(map(len, self._names)), reverse=True))

    def knows(self, name: str) -> bool:
        """Whether the name needs no learning."""
        return len(name) < SHORTEST or name in self._names

    def names(self) -> Mapping[str, str]:
        """Pseudonym -> name, of all that are known."""
        return dict(self._meant)

    def pseudonym(self, name: str) -> str:
        """What stands for a name."""
        return (
            f"case-{hashlib.blake2s(name.encode(errors='replace'), key=self._key, digest_size=5).hexdigest()}"
        )

    def over(self, text: str) -> str:
        """The text without names and secrets."""
        for secret in self._hidden:
            text = text.replace(secret, "***")
        text = _without_secrets(text)
        text = _UID.sub(self._stands_for, self._without_names(text))
        return self._file.sub(self._renamed, text)

    def _stands_for(self, found: re.Match[str]) -> str:
        if len(found[0]) < _SHORTEST_UID:
            return found[0]
        known = self.pseudonym(found[0])
        if len(self._meant) < len(self._names) + _MOST_UIDS:
            self._meant.setdefault(known, found[0])
        return known

    def _renamed(self, found: re.Match[str]) -> str:
        name = found["name"]
        return found[0] if name.startswith(("case-", "*")) else f"{self.pseudonym(name)}{found['kind']}"

    def _without_names(self, text: str) -> str:
        """Each name that stands by itself; the longest first."""
        names, lengths = self._names, self._lengths
        pieces, done = [], 0
        for start in _STARTS.finditer(text):
            at = start.start()
            if at < done:
                continue
            for length in lengths:
                end = at + length
                if text[at:end] in names and not (end < len(text) and text[end].isalnum()):
                    pieces += [text[done:at], names[text[at:end]]]
                    done = end
                    break
        return "".join([*pieces, text[done:]])


class _Veiled(logging.Formatter):
    """Another formatter's lines, with the veil over what they say: not over their time and place."""

    def __init__(self, inner: logging.Formatter, veil: Veil) -> None:
        super().__init__()
        self._inner, self._veil = inner, veil

    def format(self, record: logging.LogRecord) -> str:
        """The line, with its traceback."""
        shown = copy.copy(record)
        if record.name == "uvicorn.access" and isinstance(
            record.args, tuple
        ):  # its formatter takes them apart
            shown.args = tuple(self._address(one) if isinstance(one, str) else one for one in record.args)
        else:
            # no line that somebody sent begins like one of the log
            said = record.getMessage().replace("\r", " ").replace("\n", "\n    ")
            shown.msg, shown.args = self._veil.over(said), None
        if record.exc_info:
            shown.exc_text = self._veil.over(self.formatException(record.exc_info))
        if record.stack_info:
            shown.stack_info = self._veil.over(record.stack_info)
        return self._inner.format(shown)

    def _address(self, asked: str) -> str:
        """Without what stands behind the question mark: names that nobody knows, and tokens of careless programs."""
        path, mark, _ = asked.partition("?")
        return self._veil.over(path) + (f"{mark}..." if mark else "")


def _without_secrets(text: str) -> str:
    for pattern in (_SECRET, _IN_ADDRESS):
        text = pattern.sub(r"\g<said>***", text)
    return _TOKEN.sub("***", text)


def hide_secrets_at_start() -> None:
    """MONAI Label tells the options of a start before any veil can hang: without the secrets in them."""
    for name in _OF_THE_START:
        logger = logging.getLogger(name)
        if _hide_secrets not in logger.filters:
            logger.addFilter(_hide_secrets)


def _hide_secrets(record: logging.LogRecord) -> bool:
    record.msg, record.args = _without_secrets(record.getMessage()), None
    return True


def secrets_of(settings: Mapping[str, object]) -> list[str]:
    """Those of a server's settings whose names say that they are secret."""
    return [v for k, v in settings.items() if _HIDDEN.search(k) and isinstance(v, str) and len(v) > 3]


def veil_at(folder: Path, hidden: Iterable[str] = ()) -> Veil:
    """The veil of the studies whose ledger lies in a folder; without its key there, names have others at the next start."""
    file = folder / KEY_FILE
    try:
        key = bytes.fromhex(file.read_text())
    except (OSError, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        key = secrets.token_bytes(_KEY_BYTES)
        with suppress(OSError):  # what comes next says it better
            write_whole_text(file, key.hex())
    return Veil(key, hidden)


def hang(veil: Veil) -> None:
    """Puts a veil before everything that this process logs: warnings too, and errors that end a thread."""
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    for handler in {id(h): h for one in loggers for h in one.handlers}.values():
        inner = handler.formatter or logging.Formatter()
        handler.setFormatter(_Veiled(inner, veil))
    # they name each file, and each image, that comes, or each question that is asked every few seconds
    for chatty in ("watchdog", "highdicom", "dicomweb_client"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    threading.excepthook = lambda told: logging.getLogger("threading").error(
        "A thread ended with an error",
        exc_info=(told.exc_type, told.exc_value, told.exc_traceback),  # type: ignore[arg-type]
    )


def _spellings(name: str) -> set[str]:
    """A name as addresses, JSON and Python write it."""
    return {
        name,
        quote(name),
        quote(name, safe=""),
        quote_plus(name),
        json.dumps(name)[1:-1],
        repr(name)[1:-1],
    }
