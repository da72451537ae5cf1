"""How files come onto the disk: whole or not at all, and in what JSON can carry."""

from scaling_app.storage.finite_json import finite, to_json
from scaling_app.storage.inert_cells import inert, restored
from scaling_app.storage.whole_files import (
    copy_whole,
    flush,
    require_writable,
    sweep_parts,
    whole_file,
    write_whole_text,
)

__all__ = [
    "copy_whole",
    "finite",
    "flush",
    "inert",
    "require_writable",
    "restored",
    "sweep_parts",
    "to_json",
    "whole_file",
    "write_whole_text",
]
