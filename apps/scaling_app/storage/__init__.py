"""How files come onto the disk: whole or not at all, and in what JSON can carry."""

from scaling_app.storage.digests import sha256_of
from scaling_app.storage.finite_json import finite, to_json
from scaling_app.storage.inert_cells import inert, restored
from scaling_app.storage.private_files import keep_private, open_as_folder, tighten
from scaling_app.storage.shared_flush import SharedFlush
from scaling_app.storage.whole_files import (
    NO_ROOM,
    copy_whole,
    flush,
    make_folder,
    require_writable,
    second_name,
    sweep_parts,
    taken_away,
    whole_file,
    write_whole_text,
)

__all__ = [
    "NO_ROOM",
    "SharedFlush",
    "copy_whole",
    "finite",
    "flush",
    "inert",
    "keep_private",
    "make_folder",
    "open_as_folder",
    "require_writable",
    "restored",
    "second_name",
    "sha256_of",
    "sweep_parts",
    "taken_away",
    "tighten",
    "to_json",
    "whole_file",
    "write_whole_text",
]
