"""A gzip file is read as ITK reads it: what is appended to it is left, and a wrong checksum is not."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from scaling_app.imaging.geometry import read_image, read_label
from scaling_app.imaging.nifti_files import read_first_slices
from scaling_app.imaging.untrusted import judge, read_through
from scaling_app.imaging.untrusted.gzipped import unpacked
from scaling_app.imaging.untrusted.header import READ_ERRORS, ImageError

SHAPE = (17, 16, 15)
VOXELS = np.random.default_rng(0).integers(0, 3000, SHAPE).astype(np.int16)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("raw") / "x.nii"
    nib.save(nib.Nifti1Image(VOXELS, np.eye(4)), file)
    return file.read_bytes()


def whole(raw: bytes) -> bytes:
    return gzip.compress(raw)


def in_two(raw: bytes) -> bytes:
    return gzip.compress(raw[: len(raw) // 2]) + gzip.compress(raw[len(raw) // 2 :])


def with_more(raw: bytes) -> bytes:
    return gzip.compress(raw + bytes(1000))


READ = {
    "as it is": whole,
    "zeros": lambda raw: whole(raw) + bytes(600),
    "foreign bytes": lambda raw: whole(raw) + b"signed by the archive" * 9,
    "one foreign byte": lambda raw: whole(raw) + b"\x01",
    "zeros, then foreign bytes": lambda raw: whole(raw) + bytes(99) + b"foreign",
    "what begins as a member": lambda raw: whole(raw) + b"\x1f\x8bforeign",
    "half a member": lambda raw: whole(raw) + whole(raw)[:50],
    "a damaged member": lambda raw: whole(raw) + whole(raw)[:-8] + bytes(8),
    "another member": lambda raw: whole(raw) + gzip.compress(b"more"),
    "in two members": in_two,
    "in two members, then foreign bytes": lambda raw: in_two(raw) + b"foreign" * 50,
    "more data in the member": with_more,
    "more data in the member, then foreign bytes": lambda raw: with_more(raw) + b"foreign",
}
"""What ITK reads; how the file is made of the plain one."""

REFUSED = {
    "a wrong checksum": lambda raw: whole(raw)[:-8] + bytes(4) + whole(raw)[-4:],
    "a wrong length": lambda raw: whole(raw)[:-4] + b"\0\0\0\1",
    "a wrong checksum, then foreign bytes": lambda raw: (
        whole(raw)[:-8] + bytes(4) + whole(raw)[-4:] + b"foreign"
    ),
    "more data in a member with a wrong checksum": lambda raw: with_more(raw)[:-8] + bytes(8),
}
"""What ITK refuses."""

REFUSED_HERE = {
    "a wrong checksum of the second member": lambda raw: in_two(raw)[:-8] + bytes(8),
    "no checksum": lambda raw: whole(raw)[:-8],
    "half a checksum": lambda raw: whole(raw)[:-6],
    "the end is missing": lambda raw: whole(raw)[:-500],
    "half the voxels, then foreign bytes": lambda raw: gzip.compress(raw[: len(raw) // 2]) + b"foreign" * 9,
    "half the voxels": lambda raw: gzip.compress(raw[: len(raw) // 2]),
}
"""What ITK reads, or fills up with whatever is in memory."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "image.nii.gz"


@pytest.mark.parametrize("kind", READ)
def test_what_is_appended_is_left_as_by_itk(raw: bytes, file: Path, kind: str) -> None:
    file.write_bytes(READ[kind](raw))
    assert (SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file))) == VOXELS.T).all()
    assert (np.asarray(read_image(file).array[0]) == VOXELS).all()
    assert (np.asarray(read_label(file).array[0]) == VOXELS).all()
    read_through(file, judge(file, ".nii.gz"))
    shape, first = read_first_slices(file, lambda shape: shape[-1])
    assert shape == SHAPE and (first == VOXELS).all()


@pytest.mark.parametrize("kind", REFUSED)
def test_voxels_without_their_checksum_are_refused_as_by_itk(raw: bytes, file: Path, kind: str) -> None:
    file.write_bytes(REFUSED[kind](raw))
    with pytest.raises(RuntimeError):
        SimpleITK.ReadImage(str(file))
    assert_refused(file)


@pytest.mark.parametrize("kind", REFUSED_HERE)
def test_data_without_their_end_are_refused(raw: bytes, file: Path, kind: str) -> None:
    file.write_bytes(REFUSED_HERE[kind](raw))
    assert_refused(file)


def assert_refused(file: Path) -> None:
    with pytest.raises(ImageError, match=r"image\.nii\.gz"):
        read_label(file)
    with pytest.raises(READ_ERRORS):
        read_through(file, judge(file, ".nii.gz"))


def test_a_checksum_is_compared_where_the_voxels_end_with_a_piece(tmp_path: Path) -> None:
    file = tmp_path / "image.nii.gz"
    header = nib.Nifti1Header()
    header.set_data_shape((1 << 10, 1 << 10, 1))
    header.set_data_dtype(np.uint8)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    raw = header.binaryblock + bytes(4) + bytes((1 << 20) - 352) + b"\1" * 352
    file.write_bytes(gzip.compress(raw)[:-8] + bytes(8))
    with pytest.raises(READ_ERRORS):
        read_through(file, judge(file, ".nii.gz"))


def test_data_can_be_sought_in(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(in_two(raw) + b"foreign")
    with unpacked((tmp_path / "x.gz").open("rb")) as stream:
        for place in (5000, 100, 0, len(raw) - 3, 7):
            assert stream.seek(place) == place
            assert stream.read(9) == raw[place : place + 9]
        stream.seek(0)
        assert stream.read() == raw
        assert stream.read(1) == b""
