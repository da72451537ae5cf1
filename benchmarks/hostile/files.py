"""Files that promise what they do not hold, hold what they do not promise, or point elsewhere.

All are small to send. What they unpack to is made of one deflated piece, repeated, so that making them costs nothing.
"""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from PIL import Image

ZEROS = bytes(1000)
GIB = 1 << 30
_PIECE = 1 << 20
_UINT8, _FLOAT, _COMPLEX = 2, 16, 1792


@dataclass(frozen=True)
class Hostile:
    """One kind of hostile file.

    Attributes:
        group: of kinds, as the table shows them.
        name: what is wrong with it.
        sent_as: the file's name as the client gives it.
        make: its bytes.
    """

    group: str
    name: str
    sent_as: str
    make: Callable[[], bytes]


def packed(head: bytes, length: int, how: str, piece: bytes = bytes(_PIECE)) -> bytes:
    """What unpacks to `head` and then `length` bytes of the piece repeated.

    Args:
        how: `gzip` or `zlib`.
    """
    body = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = body.compress(piece) + body.flush(zlib.Z_FULL_FLUSH)
    times, rest = divmod(length, len(piece))
    begin, end = zlib.compressobj(9, wbits=-zlib.MAX_WBITS), zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    deflated = begin.compress(head) + begin.flush(zlib.Z_FULL_FLUSH) + block * times
    deflated += end.compress(piece[:rest]) + end.flush(zlib.Z_FINISH)
    check = zlib.crc32 if how == "gzip" else zlib.adler32
    found = check(head)
    for _ in range(times):
        found = check(piece, found)
    found = check(piece[:rest], found)
    if how == "zlib":
        return b"\x78\xda" + deflated + struct.pack(">I", found)
    return (
        b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"
        + deflated
        + struct.pack("<II", found, (len(head) + length) % (1 << 32))
    )


def nrrd_of(fields: str, data: bytes, sizes: str = "10 10 10", kind: str = "uint8") -> bytes:
    """An NRRD with more fields."""
    head = f"NRRD0005\ntype: {kind}\ndimension: {len(sizes.split())}\nsizes: {sizes}\n{fields}\n\n"
    return head.encode() + data


def meta_of(last: str, data: bytes, more: str = "", sizes: str = "10 10 10") -> bytes:
    """A MetaImage of bytes."""
    axes = len(sizes.split())
    head = f"ObjectType = Image\nNDims = {axes}\nDimSize = {sizes}\nElementType = MET_UCHAR\n{more}ElementDataFile = {last}\n"
    return head.encode() + data


def nifti_of(shape: tuple[int, ...], *, kind: int = _UINT8, offset: float = 352, **fields: object) -> bytes:
    """A NIfTI header that claims this shape.

    Args:
        fields: of the header, as nibabel names them.
    """
    header = nib.Nifti1Header()
    header.structarr["dim"][: len(shape) + 1] = [len(shape), *shape]
    header.structarr["datatype"], header.structarr["bitpix"] = kind, 8
    header.structarr["vox_offset"] = offset
    for name, value in fields.items():
        header.structarr[name] = value
    return header.binaryblock


def png_of(
    width: int, height: int, *, colour: int = 0, bits: int = 8, data: bytes | None = None, more: bytes = b""
) -> bytes:
    """A PNG that claims this size.

    Args:
        data: its packed rows, else none.
        more: chunks before them.
    """
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    rows = zlib.compress(b"") if data is None else data
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bmp_of(width: int, height: int) -> bytes:
    """A run-length encoded BMP that claims this size, and ends at once."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 2, 2835, 2835, 256, 0)
    colours = b"".join(bytes((i, i, i, 0)) for i in range(256))
    return b"BM" + struct.pack("<IHHI", 1082, 0, 0, 1078) + info + colours + b"\0\1"


def tiff_of(width: int, height: int, *, pages: int = 1, turns: bool = False, data: bytes = b"\0") -> bytes:
    """A TIFF of one strip, deflated.

    Args:
        pages: all with the same strip.
        turns: whether the last page is followed by the first.
    """
    strip = zlib.compress(data)
    first = 8 + len(strip) + len(strip) % 2
    length = 2 + 9 * 12 + 4
    out = b"II*\0" + struct.pack("<I", first) + strip.ljust(first - 8, b"\0")
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: height, 279: len(strip)}
    for page in range(pages):
        after = first + (page + 1) * length if page + 1 < pages else first if turns else 0
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
        out += struct.pack("<H", len(tags)) + entries + struct.pack("<I", after)
    return out


def jpeg_of(width: int, height: int) -> bytes:
    """A JPEG that claims this size."""
    stream = io.BytesIO()
    Image.new("L", (16, 16)).save(stream, "JPEG")
    content = stream.getvalue()
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


def blank_jpeg(side: int) -> bytes:
    """A genuine JPEG of one grey."""
    stream = io.BytesIO()
    Image.new("L", (side, side), 99).save(stream, "JPEG", quality=1)
    return stream.getvalue()


def scans_jpeg(side: int, times: int) -> bytes:
    """A progressive JPEG whose last scan comes so many times."""
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (8, 8), np.uint8)
    Image.fromarray(np.kron(noise, np.ones((side // 8, side // 8), np.uint8))).save(
        stream, "JPEG", progressive=True
    )
    content = stream.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * times + content[-2:]


def picture(kind: str, **how: object) -> bytes:
    """A small genuine picture."""
    stream = io.BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(stream, kind, **how)
    return stream.getvalue()


def volume(shape: tuple[int, ...], spacing: float = 1.0, value: float | None = None) -> bytes:
    """A small genuine `.nii.gz`.

    Args:
        value: of all voxels, else noise.
    """
    noise = np.random.default_rng(0).integers(0, 1000, shape).astype(np.float32)
    voxels = noise if value is None else np.full(shape, value, np.float32)
    return gzip.compress(nib.Nifti1Image(voxels, np.diag([spacing] * 3 + [1.0])).to_bytes(), 1)


def endless_keys() -> bytes:
    """An NRRD header of a hundred thousand keys."""
    keys = b"".join(b"key%d:=value\n" % i for i in range(100_000))
    return nrrd_of("encoding: raw", b"")[:-1] + keys + b"\n" + ZEROS


def catalogue(outside: str, pipe: str) -> list[Hostile]:
    """Every kind of hostile file.

    Args:
        outside: a file outside the studies folder that nobody may read.
        pipe: a named pipe outside it.
    """
    raw = "encoding: raw\n"
    return [
        *_nifti(),
        *(
            Hostile("NRRD", name, "case.nrrd", make)
            for name, make in {
                "data of another file": lambda: nrrd_of(f"{raw}data file: {outside}", b""),
                "data of another file, without the space": lambda: nrrd_of(f"{raw}datafile: {outside}", b""),
                "data of another file, in capitals": lambda: nrrd_of(f"{raw}Data File: {outside}", b""),
                "data of a pipe": lambda: nrrd_of(f"{raw}data file: {pipe}", b""),
                "a list of files": lambda: nrrd_of(f"{raw}data file: LIST", f"{outside}\n".encode() * 10),
                "a pattern of files": lambda: nrrd_of(f"{raw}data file: {outside}%03d 1 9 1", b""),
                "lines without end": lambda: nrrd_of(f"{raw}line skip: 1000000000000", ZEROS),
                "bytes left out": lambda: nrrd_of(f"{raw}byte skip: 1000000000000", ZEROS),
                "bytes counted from the end": lambda: nrrd_of(f"{raw}byte skip: -1", ZEROS),
                "data as text": lambda: nrrd_of("encoding: ascii", b"0 " * 1000),
                "data in hexadecimal": lambda: nrrd_of("encoding: hex", b"00" * 1000),
                "an encoding that nobody knows": lambda: nrrd_of("encoding: zrl", ZEROS),
                "10 x 10 x 10 over 2 GiB (gzip)": lambda: nrrd_of("encoding: gzip", packed(b"", 2 * GIB, "gzip")),
                "10 x 10 x 10 over 256 MiB (bzip2)": lambda: nrrd_of("encoding: bzip2", bz2.compress(bytes(GIB >> 2))),
                "2 GiB of zeros, as promised": lambda: nrrd_of(
                    "encoding: gzip", packed(b"", GIB // 2, "gzip"), "1024 1024 512"
                ),
                "99999^3 over a thousand bytes": lambda: nrrd_of(raw.strip(), ZEROS, "99999 99999 99999"),
                "axes of no length": lambda: nrrd_of(raw.strip(), ZEROS, "0 10 10"),
                "axes of negative length": lambda: nrrd_of(raw.strip(), ZEROS, "-10 -10 10"),
                "16 axes": lambda: nrrd_of(raw.strip(), ZEROS, " ".join(["1"] * 15 + ["1000"])),
                "directions that are no numbers": lambda: nrrd_of(
                    f"{raw}space: left-posterior-superior\nspace directions: (nan,0,0) (0,inf,0) (0,0,1)\n"
                    "space origin: (nan,nan,nan)", ZEROS
                ),
                "a header without end": lambda: nrrd_of(raw, b"")[:-1] + b"# " + b"x" * (5 << 20),
                "a hundred thousand keys": endless_keys,
                "cut in the middle": lambda: nrrd_of("encoding: gzip", gzip.compress(bytes(range(250)) * 4)[:-20]),
                "a value that is no number": lambda: nrrd_of(f"{raw}spacings: 1e999 nan x", ZEROS),
            }.items()
        ),
        *(
            Hostile("MetaImage", name, "case.mha", make)
            for name, make in {
                "data of another file": lambda: meta_of(outside, b""),
                "data of a pipe": lambda: meta_of(pipe, b""),
                "a list of files": lambda: meta_of("LIST", f"{outside}\n".encode()),
                "a pattern of files": lambda: meta_of(f"{outside}%d 1 10 1", b""),
                "data as text": lambda: meta_of("LOCAL", b"0 " * 1000, "BinaryData = False\n"),
                "data behind another header": lambda: meta_of("LOCAL", ZEROS, "HeaderSize = 1000000000\n"),
                "10 x 10 x 10 over 2 GiB": lambda: meta_of(
                    "LOCAL", packed(b"", 2 * GIB, "zlib"), "CompressedData = True\n"
                ),
                "2 GiB of zeros, as promised": lambda: meta_of(
                    "LOCAL", packed(b"", GIB // 2, "zlib"), "CompressedData = True\n", "1024 1024 512"
                ),
                "99999^3 over a thousand bytes": lambda: meta_of("LOCAL", ZEROS, "", "99999 99999 99999"),
                "a place that is no number": lambda: meta_of("LOCAL", ZEROS, "Offset = nan inf 1e999\n"),
                "a million channels": lambda: meta_of("LOCAL", ZEROS, "ElementNumberOfChannels = 1000000\n"),
            }.items()
        ),
        Hostile(
            "segmentation", "200,000 layers", "case.seg.nrrd",
            lambda: nrrd_of(
                "encoding: gzip\nkinds: list domain domain domain",
                packed(b"", 200_000 * 16 * 18 * 8, "gzip"), "200000 16 18 8",
            ),
        ),
        Hostile(
            "segmentation", "segments in layers that are not there", "case.seg.nrrd",
            lambda: nrrd_of(
                "encoding: raw\nkinds: list domain domain domain\nSegment0_Layer:=99999999999\nSegment0_Name:=a\n"
                "Segment0_LabelValue:=-1", bytes(2 * 16 * 18 * 8), "2 16 18 8",
            ),
        ),
        Hostile(
            "segmentation", "a value of 10^30", "case.seg.nrrd",
            lambda: nrrd_of(
                f"encoding: raw\nSegment0_Layer:=0\nSegment0_Name:=a\nSegment0_LabelValue:={10**30}",
                bytes(16 * 18 * 8), "16 18 8",
            ),
        ),
        *_pictures(),
        *_others(),
    ]  # fmt: skip


def _nifti() -> list[Hostile]:
    head = nifti_of
    made: dict[str, Callable[[], bytes]] = {
        "85 bytes that claim 32767^3": lambda: gzip.compress(head((32767,) * 3))[:85].ljust(85, b"\0"),
        "a whole header that claims 32767^3": lambda: gzip.compress(head((32767,) * 3)),
        "10 x 10 x 10 over 2 GiB": lambda: packed(head((10,) * 3) + bytes(4), 2 * GIB, "gzip"),
        "2 GiB of zeros, as promised": lambda: packed(head((1024, 1024, 512)) + bytes(4), GIB // 2, "gzip"),
        "2 GiB of a pattern, as promised": lambda: packed(
            head((1024, 1024, 512)) + bytes(4), GIB // 2, "gzip", bytes(range(256)) * 4096
        ),
        "8.6 GiB of zeros": lambda: packed(head((1290,) * 3) + bytes(4), 1290**3, "gzip"),
        "a row of 32767 x 1 x 16384": lambda: packed(
            head((32767, 1, 16000)) + bytes(4), 32767 * 16000, "gzip", bytes(range(256)) * 4096
        ),
        "voxels that begin 2 GB behind": lambda: gzip.compress(head((10,) * 3, offset=2e9)),
        "an offset that is no number": lambda: gzip.compress(head((10,) * 3, offset=float("nan")) + ZEROS),
        "an infinite offset": lambda: gzip.compress(head((10,) * 3, offset=float("inf")) + ZEROS),
        "sizes below zero": lambda: gzip.compress(head((-10, 10, 10)) + ZEROS),
        "no axes": lambda: gzip.compress(head(()) + ZEROS),
        "nine axes": lambda: gzip.compress(head((10,) * 3).replace(b"\3\0", b"\x09\0", 1) + ZEROS),
        "a place that is no number": lambda: gzip.compress(
            head((10,) * 3, srow_x=float("nan"), sform_code=1, qform_code=1, pixdim=float("nan")) + bytes(4) + ZEROS
        ),
        "an infinite place": lambda: gzip.compress(
            head((10,) * 3, srow_x=float("inf"), sform_code=1, qoffset_x=float("-inf"), qform_code=1) + bytes(4) + ZEROS
        ),
        "a scale that is no number": lambda: gzip.compress(
            head((10,) * 3, scl_slope=float("nan"), scl_inter=float("inf")) + bytes(4) + ZEROS
        ),
        "a type that nobody knows": lambda: gzip.compress(head((10,) * 3, kind=31000) + bytes(4) + ZEROS),
        "complex numbers": lambda: gzip.compress(head((5,) * 3, kind=_COMPLEX) + bytes(4) + ZEROS * 2),
        "no voxel with a number": lambda: volume((16, 18, 14), value=float("nan")),
        "voxels of a kilometre": lambda: volume((16, 16, 16), spacing=1e6),
        "voxels of 200 mm": lambda: volume((16, 16, 16), spacing=200.0),
        "voxels of a millionth": lambda: volume((16, 16, 16), spacing=1e-6),
        "cut in the middle": lambda: volume((16, 16, 16))[:5000],
        "a wrong checksum": lambda: volume((16, 16, 16))[:-8] + b"\0" * 8,
        "another magic": lambda: b"MZ\x90\0" + volume((16, 16, 16))[4:],
        "packed twice": lambda: gzip.compress(volume((16, 16, 16))),
        "a hundred thousand empty members": lambda: gzip.compress(b"") * 100_000,
        "ten members of 200 MiB": lambda: packed(b"", 200 << 20, "gzip") * 10,
        "nothing at all": lambda: b"",
    }  # fmt: skip
    return [Hostile("NIfTI", name, "case.nii.gz", make) for name, make in made.items()]


def _pictures() -> list[Hostile]:
    side = 13_000
    frames = chunk(b"acTL", struct.pack(">II", 1_000_000, 0))
    text = chunk(b"zTXt", b"k\0\0" + packed(b"", GIB, "zlib"))
    profile = chunk(b"iCCP", b"k\0\0" + packed(b"", GIB, "zlib"))
    made: dict[str, tuple[str, Callable[[], bytes]]] = {
        "PNG that claims 225 megapixels": ("case.png", lambda: png_of(15_000, 15_000)),
        "PNG that claims 2^31 x 2^31": ("case.png", lambda: png_of((1 << 31) - 1, (1 << 31) - 1)),
        "PNG that claims 169 megapixels": ("case.png", lambda: png_of(side, side)),
        "PNG of 169 megapixels": ("case.png", lambda: png_of(side, side, data=packed(b"", (side + 1) * side, "zlib"))),
        "PNG of 169 megapixels in 16 bits": (
            "case.png",
            lambda: png_of(side, side, bits=16, data=packed(b"", (2 * side + 1) * side, "zlib")),
        ),
        "PNG of 169 megapixels in colour": (
            "case.png",
            lambda: png_of(side, side, colour=6, data=packed(b"", (4 * side + 1) * side, "zlib")),
        ),
        "PNG of 16 x 16 over 1 GiB": ("case.png", lambda: png_of(16, 16, data=packed(b"", GIB, "zlib"))),
        "PNG with a text of 1 GiB": ("case.png", lambda: png_of(16, 16, more=text)),
        "PNG with a profile of 1 GiB": ("case.png", lambda: png_of(16, 16, more=profile)),
        "PNG of a million frames": ("case.png", lambda: png_of(16, 16, more=frames)),
        "PNG cut in the middle": ("case.png", lambda: picture("PNG")[:60]),
        "PNG of no size": ("case.png", lambda: png_of(0, 0)),
        "BMP that claims 169 megapixels": ("case.bmp", lambda: bmp_of(side, side)),
        "BMP that claims 2^31 x 2^31": ("case.bmp", lambda: bmp_of((1 << 31) - 1, (1 << 31) - 1)),
        "TIFF that claims 2^32 x 2^32": ("case.tif", lambda: tiff_of((1 << 32) - 1, (1 << 32) - 1)),
        "TIFF that claims 169 megapixels": ("case.tif", lambda: tiff_of(side, side)),
        "TIFF of 10,000 pages": ("case.tif", lambda: tiff_of(16, 16, pages=10_000, data=bytes(256))),
        "TIFF whose last page leads to its first": (
            "case.tif", lambda: tiff_of(16, 16, pages=3, turns=True, data=bytes(256)),
        ),
        "TIFF of 16 x 16 over 256 MiB": ("case.tif", lambda: tiff_of(16, 16, data=bytes(256 << 20))),
        "JPEG that claims 4.3 gigapixels": ("case.jpg", lambda: jpeg_of(65_500, 65_500)),
        "JPEG that claims 169 megapixels": ("case.jpg", lambda: jpeg_of(side, side)),
        "JPEG of 169 megapixels": ("case.jpg", lambda: blank_jpeg(side)),
        "JPEG of a thousand scans": ("case.jpg", lambda: scans_jpeg(2048, 1000)),
        "GIF called PNG": ("case.png", lambda: picture("GIF")),
        "PostScript called PNG": ("case.png", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"),
    }  # fmt: skip
    return [Hostile("picture", name, sent_as, make) for name, (sent_as, make) in made.items()]


def _others() -> list[Hostile]:
    genuine = volume((16, 16, 16))
    made: dict[str, tuple[str, Callable[[], bytes]]] = {
        "a zip of 256 MiB": ("case.zip", _zip),
        "a header alone": ("case.nhdr", lambda: nrrd_of("encoding: raw\ndata file: x.raw", b"")),
        "a name that leads elsewhere": ("../../../../escaped.nii.gz", lambda: genuine[:100]),
        "a name that is a path": ("/etc/passwd", lambda: genuine),
        "a name of 5,000 letters": ("x" * 5000 + ".nii.gz", lambda: genuine[:100]),
        "a name without a kind": ("case", lambda: b"\0" * 100),
        "a kind in every letter case": ("CASE.Nii.Gz", lambda: gzip.compress(nifti_of((32767,) * 3))),
        "raw voxels": ("case.bin", lambda: bytes(10_000)),
        "a program": ("case.nii.gz", lambda: b"#!/bin/sh\necho hello\n"),
        "a pickle called NIfTI": ("case.nii", lambda: b"\x80\x04cos\nsystem\n(S'true'\ntR."),
    }
    return [Hostile("other", name, sent_as, make) for name, (sent_as, make) in made.items()]


def _zip() -> bytes:
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.nii", "w", force_zip64=True) as out,
    ):
        for _ in range(256):
            out.write(bytes(1 << 20))
    return stream.getvalue()
