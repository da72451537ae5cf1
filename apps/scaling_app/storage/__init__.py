"""How files come onto the disk: whole or not at all."""

from scaling_app.storage.whole_files import (
    copy_whole,
    flush,
    require_writable,
    sweep_parts,
    whole_file,
    write_whole_text,
)

__all__ = ["copy_whole", "flush", "require_writable", "sweep_parts", "whole_file", "write_whole_text"]
