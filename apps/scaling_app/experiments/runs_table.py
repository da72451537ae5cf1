"""The table of a replay: it grows by whole runs, and takes no run that would not compare with those it holds.

One replay at a time writes it, held apart by a lock beside it, which the system drops with the process. A run that is
there twice all the same, written before there was a lock, counts once and is written once.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from scaling_app.experiments.cohort import CohortError
from scaling_app.experiments.lock_files import let_go
from scaling_app.experiments.replay_run import ReplayRun
from scaling_app.forecast.score_table import RUN as KEY
from scaling_app.forecast.score_table import SCORE
from scaling_app.storage import inert, restored, write_whole_text
from scaling_app.words import count, in_words

logger = logging.getLogger(__name__)

FORMER_COLUMNS = (
    *("dataset", "network", "strategy", "n", "draw", "seed", "case", "structure"),
    *("dice", "nsd", "hd95_mm", "bce", "seconds", "steps"),
)
"""Those of tables that were begun before there were more; they are continued with the new ones."""
COLUMNS = (*FORMER_COLUMNS, "patient", "carried", "carried_dice", "fallback", "synthesis", "trained_steps")
"""The last ones say what the strategy did in the run: images under carried labels and how good such labels are, why it
fell back on a simpler one, and what became of its generated pairs. `steps` is what was asked for,
`trained_steps` what was made."""


_WHENCE = {"step_bytes": " (half of --memory-gb, or what a GPU has)"}
"""Of what nobody asks for under its own name."""
_ONCE_WITHOUT = {"max_minutes": None}
"""Of the recipe of all runs before there was such a choice."""


@dataclass
class RunsTable:
    """The CSV, one write per run, and beside it a file with the recipe.

    Attributes:
        path: where it lies.
        recipe: what all its runs are made with and no column tells.
        finished: keys of the runs that it holds.
    """

    path: Path
    recipe: Mapping[str, object]
    finished: set[tuple[str, ...]] = field(default_factory=set)
    _columns: tuple[str, ...] = COLUMNS

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other replays from the table while open.

        Raises:
            CohortError: another replay holds it.
        """
        table = Path(os.path.realpath(self.path))
        made = [folder for folder in (table.parent, *table.parent.parents) if not folder.exists()]
        table.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(table.with_name(f"{table.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise CohortError(
                f"another replay is writing {self.path}: wait for its end, or choose another name for the output"
            ) from None
        try:
            yield
        finally:
            let_go(lock)
            for folder in made:  # a replay that is refused leaves nothing
                with suppress(OSError):
                    folder.rmdir()

    def open(self, expected: Sequence[ReplayRun]) -> None:
        """Reads what is there and which runs are whole; writes nothing.

        Raises:
            CohortError: it is no table of a replay, or one whose runs would not compare with those expected.
        """
        rows = self._rows()
        counts: dict[tuple[str, ...], set[tuple[str, str]]] = {}
        for row in rows:
            counts.setdefault(_key_of(row), set()).add((row["case"], row["structure"]))
        self._check_same_test(counts, expected[0])
        if rows:
            self._check_same_recipe()
            self._tell_of_former(len(counts))
        wanted = {run.key: _cells(run) for run in expected}
        self.finished = {key for key, cells in counts.items() if wanted.get(key, cells) <= cells}

    def tidy(self) -> None:
        """Drops what a kill left half written, and notes what the runs to come are made with."""
        write_whole_text(self._recipe_file, json.dumps(dict(self.recipe)))
        kept = [row for row in self._rows() if _key_of(row) in self.finished]
        text = _csv_text(kept, header=True)
        if not self.path.exists() or self.path.read_text(encoding="utf-8") != text:
            write_whole_text(self.path, text)

    @property
    def _recipe_file(self) -> Path:
        return self.path.with_name(f"{self.path.stem}.recipe.json")

    def _check_same_test(
        self, counts: Mapping[tuple[str, ...], set[tuple[str, str]]], run: ReplayRun
    ) -> None:
        """Runs tested on other cases or structures are another curve; only the last may lack some, after a kill."""
        expected = _cells(run)
        for position, (key, cells) in enumerate(counts.items(), start=1):
            cut = position == len(counts) and cells <= expected
            if key[0] == run.dataset and cells != expected and not cut:
                raise CohortError(
                    f"the runs in {self.path} were tested on other cases or structures, with another number of test "
                    "cases, patient pattern or folder, or other training cases: choose another name for the output"
                )

    def _check_same_recipe(self) -> None:
        for name, value in {**_ONCE_WITHOUT, **self._known_recipe()}.items():
            if name not in self.recipe or self.recipe[name] != value:
                raise CohortError(
                    f"the runs in {self.path} have {name} {value}, not {self.recipe.get(name)}{_WHENCE.get(name, '')}, "
                    "which the table does not tell apart: choose another name for the output"
                )

    def _tell_of_former(self, runs: int) -> None:
        """Tables that were begun before there were more columns, or a recipe, are continued; what joins there is said."""
        lacking = [name for name in COLUMNS if name not in self._columns]
        if lacking:
            logger.warning(
                "%s is of an earlier version, and will not say of its %s: %s",
                self.path,
                count(runs, "run"),
                in_words(lacking),
            )
        if not self._recipe_file.is_file():
            told = in_words([f"{name} {value}" for name, value in self.recipe.items()])
            logger.warning(
                "%s has no %s beside it: that its %s %s made as those to come, with %s, is taken for granted; else choose "
                "another name for the output",
                self.path,
                self._recipe_file.name,
                count(runs, "run"),
                "was" if runs == 1 else "were",
                told,
            )

    def _known_recipe(self) -> dict[str, object]:
        """What the runs that are there were made with; empty of tables from before it was written down."""
        if not self._recipe_file.is_file():
            return {}
        with suppress(ValueError, RecursionError):
            known = json.loads(self._recipe_file.read_text(encoding="utf-8"))
            if isinstance(known, dict):
                return known
        raise CohortError(
            f"{self._recipe_file} is damaged, and says no more with what the runs in {self.path} were made: choose another "
            "name for the output"
        )

    def add(self, run: ReplayRun, rows: list[dict[str, object]]) -> None:
        """Appends the rows of one run and waits until they are on disk.

        Raises:
            OSError: there is no room for all of them; none is there.
        """
        text = _csv_text(rows, header=False).encode()
        with self.path.open("ab", buffering=0) as out:
            begins = out.seek(0, os.SEEK_END)
            try:
                if out.write(text) < len(text):  # what a disk takes that fills up just then
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(out.fileno())
            except OSError as error:
                out.truncate(begins)
                raise OSError(error.errno, error.strerror, str(self.path)) from error
        self.finished.add(run.key)

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        if not self.path.is_file():
            raise CohortError(f"{self.path} is a folder; name a file for the output")
        try:
            text = self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise CohortError(
                f"{self.path} is no table of a replay; choose another name for the output"
            ) from None
        whole = text[: text.rfind("\n") + 1]
        reader = csv.DictReader(io.StringIO(whole))
        if whole and tuple(reader.fieldnames or ()) not in (COLUMNS, FORMER_COLUMNS):
            raise CohortError(f"{self.path} is no table of a replay; choose another name for the output")
        self._columns = tuple(reader.fieldnames or ())
        rows = [
            {name: restored(cell) for name, cell in row.items()}
            for row in reader
            if None not in row and None not in row.values()
        ]
        once: dict[tuple[str, ...], dict[str, str]] = {}
        for row in rows:
            once.setdefault(tuple(row[name] for name in SCORE), {name: row.get(name, "") for name in COLUMNS})
        if len(once) < len(rows):
            logger.warning(
                "%s holds %d scores twice; the first of each is kept", self.path, len(rows) - len(once)
            )
        return list(once.values())


def _cells(run: ReplayRun) -> set[tuple[str, str]]:
    return {(case.case_id, structure) for case in run.testing for structure in run.structures}


def _key_of(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in KEY)


def _csv_text(rows: Sequence[Mapping[str, object]], *, header: bool) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    if header:
        writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else inert(value)
