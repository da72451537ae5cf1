"""MetaImage: a strict parser of its text header, of which ITK's own would believe more."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from scaling_app.imaging.untrusted.header import (
    MOST_PACKED,
    Header,
    ImageError,
    Place,
    open_regular,
    require_room,
    require_sizes,
)
from scaling_app.imaging.untrusted.nrrd_file import neighbour
from scaling_app.imaging.untrusted.unpacking import require_unpacked

_ITEM_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4,
    "MET_LONG": 4, "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
_LINE = re.compile(r"([A-Za-z0-9][\w .|\[\]-]*?) *= *(.*)", re.ASCII)
"""ITK notes what another format's header said, as in `dim[0] = 3` and, of DICOM, `0008|0060 = CT`."""
_TAG = re.compile(rb"[0-9a-fA-F]{4}\|[0-9a-fA-F]{4} *= *")
_MOST_LINES = 1000
_MOST_LINE_BYTES = 1 << 12


def judge_meta(path: Path, alone: bool, unpacked: bool) -> Header:
    """What the header promises.

    Args:
        alone: whether the file has to hold its own data.
        unpacked: whether packed data are measured.

    Raises:
        ImageError: no such header, data elsewhere than allowed, sizes that the data cannot have.
    """
    with open_regular(path) as stream:
        fields = _fields(path.name, stream)
        header = _promised(path.name, fields)
        place = fields["elementdatafile"]
        if place.upper() == "LOCAL":
            header = replace(header, place=_place(stream.tell(), fields))
            _require_data(path.name, stream, fields, header, unpacked)
        elif alone:
            raise ImageError(
                f"{path.name} keeps its data in another file ({place[:60]!r}); send one file that holds them, "
                "saved as .mha"
            )
        else:
            with open_regular(neighbour(path, place)) as data:
                _require_data(path.name, data, fields, header, unpacked)
    return header


def _fields(name: str, stream: BinaryIO) -> dict[str, str]:
    """The fields by their names in lower case, up to the one that comes last."""
    fields: dict[str, str] = {}
    for _ in range(_MOST_LINES):
        said = stream.readline(_MOST_LINE_BYTES)
        # of a DICOM tag alone the value may be in any alphabet: ITK does nothing with it
        line = said.decode("ascii", "replace" if _TAG.match(said) else "strict").strip()
        match = _LINE.fullmatch(line)
        if match is None or not line.isprintable():
            raise ImageError(f"{name} cannot be read: its header is none of a MetaImage ({line[:40]!r})")
        key, value = match[1].lower(), match[2].strip()
        if key in fields:
            raise ImageError(f"{name} names {match[1]!r} twice in its header; export it anew")
        fields[key] = value
        if key == "elementdatafile":
            return fields
    raise ImageError(f"{name} has a header of more than {_MOST_LINES} lines; export it anew")


def _promised(name: str, fields: dict[str, str]) -> Header:
    for needed in ("ndims", "dimsize", "elementtype"):
        if needed not in fields:
            raise ImageError(f"{name} cannot be read: its header says no {needed}")
    sizes = tuple(int(size) for size in fields["dimsize"].split())
    require_sizes(name, sizes)
    if len(sizes) != int(fields["ndims"]):
        raise ImageError(f"{name} has {fields['ndims'][:20]} axes and {len(sizes)} sizes; export it anew")
    item_bytes = _ITEM_BYTES.get(fields["elementtype"])
    channels = int(fields.get("elementnumberofchannels", "1"))
    if item_bytes is None or not 1 <= channels <= 1024:
        raise ImageError(
            f"{name} holds {channels} x {fields['elementtype'][:40]!r} a voxel, which is not read"
        )
    if fields.get("binarydata", "True").lower() != "true" or fields.get("headersize", "0") not in ("0", "-1"):
        raise ImageError(
            f"{name} holds its data as text or behind another header; save it as an ordinary .mha"
        )
    return Header(sizes, channels, item_bytes)


def _place(begins: int, fields: dict[str, str]) -> Place:
    """Where voxels of this file lie; ITK calls what has two names in its order by either."""
    high = fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "False")).lower() == "true"
    number = {"MET_FLOAT": "f4", "MET_DOUBLE": "f8"}.get(fields["elementtype"], "")
    packing = "zlib" if _is_packed(fields) else ""
    return Place(begins, packing, 0, number and f"{'>' if high else '<'}{number}", exact=bool(packing))


def _is_packed(fields: dict[str, str]) -> bool:
    return fields.get("compresseddata", "False").lower() == "true"


def _require_data(
    name: str, stream: BinaryIO, fields: dict[str, str], header: Header, unpacked: bool
) -> None:
    if _is_packed(fields) and unpacked:
        require_unpacked(name, stream, "zlib", header.stored_bytes)
        return
    start = stream.tell()
    left = stream.seek(0, 2) - start
    require_room(name, header.stored_bytes, left * MOST_PACKED["zlib"] if _is_packed(fields) else left)
