"""Large files from others: judged by the header, read through in little memory, one at a time, and no more than needed."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import tracemalloc

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK

from benchmarks.hostile.files import meta_of, nifti_of, nrrd_of, packed
from scaling_app.imaging.geometry import read_image
from scaling_app.imaging.image_channels import channels_of
from scaling_app.imaging.image_files import label_names, read_grid
from scaling_app.imaging.untrusted import Header, ImageError, judge, read_through, unpacking
from scaling_app.studies.labels import checks, parsing_process

MIB = 1 << 20
SIDE = 400
SIZES = f"{SIDE} {SIDE} {SIDE}"


def write(array: np.ndarray, path) -> None:
    """As the format's own library does it."""
    if path.name.endswith((".nii", ".nii.gz")):
        nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    elif path.suffix == ".nrrd":
        nrrd.write(str(path), array, {"encoding": path.name.split("_")[1].split(".")[0]})
    else:
        SimpleITK.WriteImage(
            SimpleITK.GetImageFromArray(array), str(path), useCompression="packed" in path.name
        )


FILES = ("a.nii", "a.nii.gz", "a_raw.nrrd", "a_gzip.nrrd", "a_bzip2.nrrd", "a.mha", "a_packed.mha")


def kind_of(name: str) -> str:
    return name[name.index(".") :]


@pytest.mark.parametrize("name", FILES)
def test_reading_through_a_file_finds_what_reading_it_finds(name, tmp_path):
    path, kind = tmp_path / name, kind_of(name)
    voxels = np.random.default_rng(0).normal(size=(17, 13, 11)).astype(np.float32)
    write(voxels, path)
    read_through(path, judge(path, kind, alone=True))
    one = np.full_like(voxels, np.nan)
    one[9, 9, 9] = 1
    write(one, path)
    read_through(path, judge(path, kind, alone=True))
    write(np.full_like(voxels, np.nan), path)
    for read in (lambda: read_through(path, judge(path, kind, alone=True)), lambda: read_image(path)):
        with pytest.raises(ImageError, match="no voxel with a finite value"):
            read()
    write(voxels, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(Exception, match=r"truncated|ended before|unpack|promises"):
        read_through(path, judge(path, kind, alone=True, unpacked=False))


LARGE = {
    ".nii.gz": packed(nifti_of((SIDE,) * 3) + bytes(4), SIDE**3, "gzip"),
    ".nrrd": nrrd_of("encoding: gzip", packed(b"", SIDE**3, "gzip"), SIZES),
    ".mha": meta_of("LOCAL", packed(b"", SIDE**3, "zlib"), "CompressedData = True\n", SIZES),
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_large_image_that_is_sent_is_checked_in_little_memory(kind, tmp_path):
    path = tmp_path / f"sent{kind}"
    path.write_bytes(LARGE[kind])
    assert parsing_process.memory_for(judge(path, kind)) > parsing_process.LARGE
    tracemalloc.start()
    assert parsing_process.image_is_readable(str(path), alone=True, most_bytes=1 << 30) == {}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * MIB


@pytest.mark.parametrize("kind", [".nrrd", ".mha"])
def test_a_large_image_over_a_larger_body_is_refused(kind, tmp_path):
    path = tmp_path / f"sent{kind}"
    more = packed(b"", SIDE**3 + 9 * MIB, "zlib" if kind == ".mha" else "gzip")
    path.write_bytes(
        nrrd_of("encoding: gzip", more, SIZES)
        if kind == ".nrrd"
        else meta_of("LOCAL", more, "CompressedData = True\n", SIZES)
    )
    with pytest.raises(ImageError, match="more data"):
        parsing_process.image_is_readable(str(path), alone=True, most_bytes=1 << 30)


@pytest.mark.parametrize("kind", LARGE)
def test_who_reads_a_header_alone_unpacks_nothing(kind, tmp_path, monkeypatch):
    path = tmp_path / f"sent{kind}"
    path.write_bytes(LARGE[kind])

    def unpack(*_: object, **__: object) -> None:
        raise AssertionError("the voxels were unpacked")

    for module in ("nrrd_file", "meta_file"):
        monkeypatch.setattr(f"scaling_app.imaging.untrusted.{module}.require_unpacked", unpack)
    monkeypatch.setattr(unpacking, "read_through", unpack)
    assert read_grid(path).shape == (SIDE,) * 3 and channels_of(path) == 1
    # nor is a label of other voxels than its image's
    with pytest.raises(checks.LabelError, match="400 x 400 x 400"):
        parsing_process.label_facts(str(path), shape=(4, 4, 4), alone=True, most_bytes=1 << 40)


def test_channels_are_known_from_the_header_of_every_kind(tmp_path):
    colour = SimpleITK.GetImageFromArray(np.ones((4, 5, 6, 3), np.uint8), isVector=True)
    SimpleITK.WriteImage(colour, str(tmp_path / "colour.mha"))
    (tmp_path / "many.seg.nrrd").write_bytes(
        nrrd_of("encoding: raw\nkinds: list domain domain domain", bytes(2000 * 8), "2000 2 2 2")
    )
    (tmp_path / "four.nrrd").write_bytes(nrrd_of("encoding: raw", bytes(7 * 8), "7 2 2 2"))
    assert channels_of(tmp_path / "colour.mha") == 3 == read_image(tmp_path / "colour.mha").shape[0]
    assert channels_of(tmp_path / "many.seg.nrrd") == 2000
    assert channels_of(tmp_path / "four.nrrd") == 7


def test_a_label_of_too_many_layers_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "sent.seg.nrrd"
    data = packed(b"", 200_000 * 8, "gzip")
    path.write_bytes(nrrd_of("encoding: gzip\nkinds: list domain domain domain", data, "200000 2 2 2"))
    allowed: list[Header] = []
    with pytest.raises(ImageError, match="200,000 layers"):
        parsing_process.label_facts(str(path), shape=None, alone=True, most_bytes=None, allow=allowed.append)
    assert not allowed


@pytest.mark.parametrize(
    ("field", "number"), [("LabelValue", 10**30), ("LabelValue", -1), ("LabelValue", "two"), ("Layer", 2**40)]
)
def test_a_segment_whose_value_or_layer_no_label_map_has_is_refused(field, number, tmp_path):
    path = tmp_path / "sent.seg.nrrd"
    path.write_bytes(
        nrrd_of(f"encoding: raw\nSegment0_Name:=tumour\nSegment0_{field}:={number}", bytes(1000))
    )
    with pytest.raises(ImageError, match="'tumour'"):
        label_names(path)


def test_values_that_no_label_map_has_are_no_names():
    sent = [{"name": "a", "idx": 10**30}, {"name": "b", "idx": 2**31}, {"name": "c", "idx": 2**31 - 1}]
    assert checks.parse_label_info(sent) == [("c", 2**31 - 1)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="files are read apart only where processes fork")
def test_large_files_are_read_one_at_a_time_and_a_killed_reading_gives_its_turn_up():
    large = Header((1 << 30,), 1, 1)

    def take_turn(turns: int) -> tuple[int, int]:
        said, say = os.pipe()
        child = os.fork()
        if child == 0:
            parsing_process._take_turns(large, turns)
            os.write(say, b".")
            signal.pause()
        os.close(say)
        return child, said

    with tempfile.TemporaryFile() as turns:
        first, first_said = take_turn(turns.fileno())
        assert os.read(first_said, 1) == b"."
        second, second_said = take_turn(turns.fileno())
        try:
            assert not select.select([second_said], [], [], 0.3)[0]
            os.kill(first, signal.SIGKILL)
            assert os.read(second_said, 1) == b"."
        finally:
            for child in (first, second):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def test_a_server_that_ends_before_it_has_heard_of_the_parser_leaves_no_traceback_in_the_log():
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", parsing_process.__name__]
    with subprocess.Popen(command, stdin=theirs, stderr=subprocess.PIPE, text=True) as parser:
        theirs.close()
        assert select.select([ours], [], [], 120)[0]
        ours.close()  # with its word unread
        said = parser.communicate(timeout=120)[1]
    assert (parser.returncode, said) == (0, "")
