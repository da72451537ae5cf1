"""Damaged and hostile files of every kind: the gate or the parser says a sentence, within memory and time."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.contract.damage import KINDS, TEXTS, edited, genuine
from benchmarks.hostile.files import ZEROS, endless_keys, meta_of, nifti_of, nrrd_of, png_of
from scaling_app.imaging.geometry import read_image, read_label
from scaling_app.imaging.image_files import label_names, read_grid
from scaling_app.imaging.untrusted import ImageError, judge
from scaling_app.studies.labels.parsing_process import memory_for

MOST_BYTES = 16 << 20
SECONDS = 10.0

edits = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 700), st.binary(min_size=1, max_size=4)),
        st.tuples(st.just("insert"), st.integers(0, 700), st.sampled_from(TEXTS)),
        st.tuples(st.just("over"), st.integers(0, 700), st.sampled_from(TEXTS)),
        st.tuples(st.just("cut"), st.integers(0, 2000), st.just(b"")),
        st.tuples(st.just("drop"), st.integers(0, 700), st.binary(min_size=1, max_size=30)),
    ),
    min_size=1,
    max_size=4,
)


def read_all(path: Path, kind: str) -> str:
    """Judges and reads a file both ways; says how it went. Anything but a `ValueError` comes out."""
    began = time.process_time()
    tracemalloc.start()
    most = 1 << 20
    try:
        header = judge(path, kind, alone=True, most_bytes=MOST_BYTES)
        most = memory_for(header)
        for read in (read_image, read_label, label_names):
            read(path)
        said = "read"
    except ValueError as error:
        assert isinstance(error, ImageError), repr(error)
        assert path.name in str(error) and str(path.parent) not in str(error), error
        said = "refused"
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < most + (32 << 20) and time.process_time() - began < SECONDS, (
        peak,
        time.process_time() - began,
    )
    return said


def quietly(examples: int) -> settings:
    """So many examples, new ones each time a longer run asks for them."""
    return settings(
        max_examples=int(os.environ.get("CONTRACT_EXAMPLES", examples)),
        derandomize="CONTRACT_EXAMPLES" not in os.environ,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_header_is_read_or_refused_with_a_sentence(kind, tmp_path, tmp_path_factory):
    whole = genuine(kind, tmp_path)
    path = tmp_path / f"sent{kind}"

    @quietly(60)
    @given(changes=edits, packed=st.booleans())
    def check(changes, packed):
        if kind == ".nii.gz" and packed:  # damage beneath the packing, where no checksum finds it
            path.write_bytes(gzip.compress(edited(gzip.decompress(whole), changes), 1))
        else:
            path.write_bytes(edited(whole, changes))
        read_all(path, kind)

    path.write_bytes(whole)
    read_image(path)  # the first time takes the import of the library
    assert read_all(path, kind) == "read"
    check()


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_of_no_kind_are_refused_with_a_sentence(kind, tmp_path):
    path = tmp_path / f"sent{kind}"

    @quietly(40)
    @given(
        content=st.binary(max_size=2000),
        magic=st.sampled_from([b"", b"NRRD0005\n", b"NDims = 3\n", b"\x1f\x8b\x08\x00"]),
    )
    def check(content, magic):
        path.write_bytes(magic + content)
        assert read_all(path, kind) == "refused"

    check()


HOSTILE = {
    "nifti of 32767^3": (".nii.gz", gzip.compress(nifti_of((32767,) * 3)), "promises"),
    "nifti whose voxels begin 2 GB behind": (".nii.gz", gzip.compress(nifti_of((10,) * 3, offset=2e9)), "behind its start"),
    "picture of 225 megapixels": (".png", png_of(15_000, 15_000), "pixels"),
    "data of another file": (".nrrd", nrrd_of("encoding: raw\ndata file: /etc/hostname", b""), "another file"),
    "data beside it": (".nrrd", nrrd_of("encoding: raw\ndatafile: x.raw", b""), "another file"),
    "a list of files": (".nrrd", nrrd_of("encoding: raw\ndata file: LIST", b"a\nb\n"), "another file"),
    "a pattern of files": (".nrrd", nrrd_of("encoding: raw\ndata file: x%03d.raw 1 9 1", b""), "another file"),
    "a header alone": (".nhdr", nrrd_of("encoding: raw\ndata file: x.raw", b""), "another file"),
    "lines without end": (".nrrd", nrrd_of("encoding: raw\nline skip: 1000000000000", ZEROS), "skips lines"),
    "bytes left out": (".nrrd", nrrd_of("encoding: raw\nbyte skip: 100000", ZEROS), "skips lines"),
    "another encoding": (".nrrd", nrrd_of("encoding: hex", ZEROS), "encoded as"),
    "text": (".nrrd", nrrd_of("encoding: ascii", b"0 " * 1000), "encoded as"),
    "a field named twice": (".nrrd", nrrd_of("encoding: raw\nencoding: gzip", ZEROS), "Duplicate"),
    "a field in other letters": (".nrrd", nrrd_of("encoding: raw\nData File: /etc/hostname", ZEROS), "differently"),
    "a field with and without a space": (
        ".nrrd", nrrd_of("encoding: raw\nline skip: 0\nlineskip: 1", ZEROS), "twice",
    ),
    "a hundred thousand keys": (".nrrd", endless_keys(), "lines"),
    "too few data": (".nrrd", nrrd_of("encoding: raw", ZEROS[:-1]), "truncated"),
    "a body of 256 MB": (".nrrd", nrrd_of("encoding: gzip", gzip.compress(bytes(256 << 20), 1)), "more data"),
    "meta data of another file": (".mha", meta_of("/etc/hostname", b""), "another file"),
    "meta data in a list": (".mha", meta_of("LIST", b"a\nb\n"), "another file"),
    "meta data as text": (".mha", meta_of("LOCAL", ZEROS, "BinaryData = False\n"), "as text"),
    "meta data behind a header": (".mha", meta_of("LOCAL", ZEROS, "HeaderSize = 10\n"), "another header"),
    "a body of 256 MB in a meta image": (
        ".mha", meta_of("LOCAL", zlib.compress(bytes(256 << 20), 1), "CompressedData = True\n"), "more data",
    ),
    "a program": (".png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "does not begin as"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_from_its_header(name, tmp_path):
    kind, content, words = HOSTILE[name]
    path = tmp_path / f"sent{kind}"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ImageError, match=words) as refused:
        judge(path, kind, alone=True, most_bytes=1 << 30)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20 and "hostname" not in str(refused.value).replace("/etc/hostname", "")


def test_what_is_larger_than_allowed_is_refused_and_the_option_named(tmp_path):
    path = tmp_path / "large.nrrd"
    path.write_bytes(nrrd_of("encoding: raw", ZEROS))
    assert judge(path, ".nrrd", alone=True, most_bytes=4000).sizes == (10, 10, 10)
    with pytest.raises(ImageError, match="upload_gb"):
        judge(path, ".nrrd", alone=True, most_bytes=3999)


def test_also_in_the_folder_data_lie_in_no_other_place(tmp_path):
    path = tmp_path / "beside.nhdr"
    (tmp_path / "x.raw").write_bytes(ZEROS)
    path.write_bytes(nrrd_of("encoding: raw\ndata file: x.raw", b""))
    with pytest.raises(ImageError, match="kind that is not read"):
        read_image(path)
    for place in ("../x.raw", "/etc/hostname", "LIST", "x%d.raw 1 2 1"):
        path.write_bytes(nrrd_of(f"encoding: raw\ndata file: {place}", b""))
        with pytest.raises(ImageError, match="one file beside it"):
            judge(path, ".nrrd")


@pytest.mark.parametrize("kind", (".nii.gz", ".nrrd", ".mha", ".png"))
def test_a_pipe_in_the_folder_is_refused_and_nobody_waits_for_it(kind, tmp_path):
    os.mkfifo(tmp_path / f"pipe{kind}")
    with pytest.raises(ImageError, match="pipe"):
        judge(tmp_path / f"pipe{kind}", kind)


@pytest.mark.parametrize("kind", (".nii.gz", ".nrrd", ".mha"))
def test_a_name_that_is_no_text_is_refused_and_ends_no_process(kind, tmp_path):
    genuine(kind, tmp_path)
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/l\xff\xfe" + kind.encode()))
    (tmp_path / f"genuine{kind}").rename(place)

    def read() -> None:  # SimpleITK ends the process that it is in
        with pytest.raises(ImageError, match="no text in UTF-8; rename it"):
            read_grid(place)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=read)
    process.start()
    process.join()
    assert process.exitcode == 0
