"""NRRD: the header parsed by pynrrd from a bounded number of bytes, the data measured before they are unpacked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import nrrd

from scaling_app.imaging.untrusted.header import (
    MOST_HEADER_BYTES,
    MOST_PACKED,
    Header,
    ImageError,
    Place,
    open_regular,
    require_room,
    require_sizes,
)
from scaling_app.imaging.untrusted.unpacking import require_unpacked

_ITEM_BYTES = {
    "signed char": 1, "int8": 1, "int8_t": 1, "uchar": 1, "unsigned char": 1, "uint8": 1, "uint8_t": 1,
    "short": 2, "short int": 2, "signed short": 2, "signed short int": 2, "int16": 2, "int16_t": 2,
    "ushort": 2, "unsigned short": 2, "unsigned short int": 2, "uint16": 2, "uint16_t": 2,
    "int": 4, "signed int": 4, "int32": 4, "int32_t": 4, "uint": 4, "unsigned int": 4, "uint32": 4,
    "uint32_t": 4, "longlong": 8, "long long": 8, "long long int": 8, "signed long long": 8,
    "signed long long int": 8, "int64": 8, "int64_t": 8, "ulonglong": 8, "unsigned long long": 8,
    "unsigned long long int": 8, "uint64": 8, "uint64_t": 8, "float": 4, "double": 8,
}  # fmt: skip
_PACKED = {"gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_TEXT = ("ascii", "ASCII", "text", "txt")
_SPATIAL = ("domain", "space")
_PLACES = ("data file", "datafile")
_EXACT = {"type", "sizes", "encoding", "dimension", "endian", *_PLACES}
_EXACT |= {"line skip", "lineskip", "byte skip", "byteskip"}
_DECISIVE = {field.replace(" ", "") for field in _EXACT}
_MOST_LINES = 1000
_MOST_HEADER_LINES = 20_000
"""Slicer writes ten for a segment; pynrrd's time grows with their square."""


def judge_nrrd(path: Path, alone: bool, unpacked: bool) -> Header:
    """What the header promises.

    Args:
        alone: whether the file has to hold its own data.
        unpacked: whether packed data are measured.

    Raises:
        ImageError: data elsewhere than allowed, a foreign encoding, sizes that the data cannot have.
    """
    with open_regular(path) as stream:
        fields = _fields(path.name, stream)
        sizes = tuple(int(size) for size in fields["sizes"])
        require_sizes(path.name, sizes)
        item_bytes = _ITEM_BYTES.get(str(fields["type"]))
        if item_bytes is None:
            raise ImageError(
                f"{path.name} holds voxels of the type {str(fields['type'])[:40]!r}, which is not read"
            )
        header = _split(fields, sizes, item_bytes)
        elsewhere = next((str(fields[name]) for name in _PLACES if name in fields), None)
        if elsewhere is None:
            header = replace(header, place=_place(stream.tell(), fields))
            _require_data(path.name, stream, fields, header, alone, unpacked)
        elif alone:
            raise ImageError(
                f"{path.name} keeps its data in another file ({elsewhere[:60]!r}); send one file that holds them, "
                "saved as .nrrd"
            )
        else:
            with open_regular(neighbour(path, elsewhere)) as data:
                _require_data(path.name, data, fields, header, alone, unpacked)
    return header


def neighbour(path: Path, name: str) -> Path:
    """The file that a header calls its data: one in the same folder.

    Raises:
        ImageError: a list, a pattern, or a place outside that folder.
    """
    words = name.split()
    if not words or words[0] == "LIST" or "%" in name or Path(name).name != name or name in (".", ".."):
        raise ImageError(
            f"{path.name} names {name[:60]!r} as its data; one file beside it is read: save it as one .nrrd or .nii.gz"
        )
    return path.with_name(name)


def _fields(name: str, stream: BinaryIO) -> dict:
    """The header's fields; the stream stands behind them afterwards."""
    lines, length = [], 0
    while line := stream.readline(MOST_HEADER_BYTES - length + 1):
        length += len(line)
        if length > MOST_HEADER_BYTES:
            raise ImageError(f"{name} has a header of more than {MOST_HEADER_BYTES:,} bytes; export it anew")
        lines.append(line)
        if len(lines) > _MOST_HEADER_LINES:
            raise ImageError(f"{name} has a header of more than {_MOST_HEADER_LINES:,} lines; export it anew")
        if lines[1:] and not line.decode("ascii", "ignore").rstrip():
            break
    fields = nrrd.read_header(lines)  # refuses a field named twice
    for needed in ("type", "sizes", "encoding", "dimension"):
        if needed not in fields:
            raise ImageError(
                f"{name} cannot be read; it may be truncated or damaged: its header says no {needed!r}"
            )
    for field in set(fields) - _EXACT:
        if (
            field.lower().replace(" ", "") in _DECISIVE
        ):  # to pynrrd another field, to Slicer's parser the same
            raise ImageError(
                f"{name} calls a field of its header {field[:40]!r}, which programs understand differently"
            )
    if len(set(fields) & _EXACT) > len({field.replace(" ", "") for field in set(fields) & _EXACT}):
        raise ImageError(
            f"{name} names a field of its header twice, with and without a space; export it anew"
        )
    return fields


def _split(fields: dict, sizes: tuple[int, ...], item_bytes: int) -> Header:
    """Spatial axes apart from the others."""
    kinds = list(fields.get("kinds", ()))
    spatial = [kind in _SPATIAL for kind in kinds] if len(kinds) == len(sizes) else [True] * len(sizes)
    if all(spatial) and len(sizes) == 4:
        spatial[0] = False
    inside = tuple(size for size, is_spatial in zip(sizes, spatial, strict=True) if is_spatial)
    others = 1
    for size, is_spatial in zip(sizes, spatial, strict=True):
        others *= 1 if is_spatial else size
    return Header(inside or sizes, others if inside else 1, item_bytes)


def _place(begins: int, fields: dict) -> Place:
    """Where the voxels of a file that skips nothing lie."""
    order = ">" if str(fields.get("endian", "little")) == "big" else "<"
    number = {"float": "f4", "double": "f8"}.get(str(fields["type"]), "")
    packing = _PACKED.get(str(fields["encoding"]), "")
    return Place(begins, packing, 0, number and order + number, exact=bool(packing))


def _require_data(
    name: str, stream: BinaryIO, fields: dict, header: Header, alone: bool, unpacked: bool
) -> None:
    """Refuses data that are not what the header says, at a cost of a few megabytes of memory."""
    encoding = str(fields["encoding"])
    lines = int(fields.get("line skip", fields.get("lineskip", 0)))
    skipped = int(fields.get("byte skip", fields.get("byteskip", 0)))
    if alone and (lines or skipped):
        raise ImageError(f"{name} skips lines or bytes of its data; save it as an ordinary .nrrd")
    if not 0 <= lines <= _MOST_LINES or skipped < -1:
        raise ImageError(
            f"{name} skips {lines} lines and {skipped} bytes of its data; save it as an ordinary .nrrd"
        )
    if encoding not in ("raw", *_PACKED, *(() if alone else _TEXT)):
        raise ImageError(
            f"{name} is encoded as {encoding[:40]!r}; save it as .nrrd with the encoding raw or gzip"
        )
    for _ in range(lines):
        stream.readline()
    start = stream.tell()
    left = stream.seek(0, 2) - start
    stream.seek(start)
    if encoding in _TEXT:
        require_room(name, 2 * header.voxels - 1, left)
    elif encoding in _PACKED and not unpacked:
        require_room(name, header.stored_bytes, left * MOST_PACKED[_PACKED[encoding]])
    elif encoding in _PACKED:
        before = max(skipped, 0)
        require_unpacked(name, stream, _PACKED[encoding], before + header.stored_bytes, exactly=skipped != -1)
    else:
        require_room(name, header.stored_bytes, left - max(skipped, 0))
