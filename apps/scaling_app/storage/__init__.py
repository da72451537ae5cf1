"""How files come onto the disk: whole or not at all."""

from scaling_app.storage.inert_cells import inert, restored
from scaling_app.storage.whole_files import copy_whole, whole_file, write_whole_text

__all__ = ["copy_whole", "inert", "restored", "whole_file", "write_whole_text"]
