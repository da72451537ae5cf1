"""Images whose headers can be read in more than one way, and what ITK makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import SimpleITK as sitk  # noqa: N813
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SHAPE = (6, 5, 4)
NAN, INF = float("nan"), float("inf")
SCALES = [(0.0, 0.0), (1.0, 0.0), (2.0, 1.0), (-0.5, 3.0), (0.0, 5.0)]
SCALES += [(NAN, 0.0), (NAN, 5.0), (1.0, NAN), (2.0, INF), (INF, NAN)]


@dataclass(frozen=True)
class NiftiHeader:
    """What a NIfTI header says; `sform` differs from the qform in one way."""

    dims: int
    spacing: tuple[float, float, float]
    turn: tuple[float, float, float]
    flips: tuple[bool, bool, bool]
    origin: tuple[float, float, float]
    codes: tuple[int, int]
    sform: str
    units: int
    qfac: int | None
    scale: tuple[float, float]
    signs: tuple[int, int, int] = (1, 1, 1)

    def write(self, path: Path) -> np.ndarray:
        """Writes the file; returns its voxels as they are stored."""
        shape = (*SHAPE, 2)[: self.dims]
        voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
        image = nibabel.Nifti1Image(voxels, None)
        header = image.header
        header.set_zooms((*self.spacing, 1.0)[: self.dims])
        axes = Rotation.from_euler("xyz", self.turn).as_matrix() * np.where(self.flips, -1, 1)
        form = np.eye(4)
        form[:3, :3], form[:3, 3] = axes * self.spacing, self.origin
        header.set_qform(form, 1)
        if self.dims == 2:
            header["pixdim"][3] = 1.0  # `set_qform` takes it for the form's third size
        header.set_sform(self._sform(form), 1)
        header["qform_code"], header["sform_code"] = self.codes
        header["xyzt_units"] = self.units
        if self.qfac is not None:
            header["pixdim"][0] = self.qfac
        nibabel.save(image, path)
        content = bytearray(path.read_bytes())
        content[112:120] = np.asarray(self.scale, dtype="<f4").tobytes()
        sizes = np.frombuffer(content, dtype="<f4", count=3, offset=80) * self.signs
        content[80:92] = sizes.astype("<f4").tobytes()
        path.write_bytes(content)
        return voxels

    def _sform(self, form: np.ndarray) -> np.ndarray:
        other = form.copy()
        if self.sform == "turned":
            other[:3, :3] = Rotation.from_euler("z", 0.2).as_matrix() @ other[:3, :3]
        elif self.sform == "sheared":
            other[:3, :3] = other[:3, :3] @ np.array([[1, 0.3, 0], [0, 1, -0.2], [0, 0, 1]])
        elif self.sform == "moved":
            other[:3, 3] += (9, -4, 3)
        elif self.sform == "resized":
            other[:3, :3] *= 1.25
        elif self.sform == "mirrored":
            other[:3, 0] *= -1
        return other


def nifti_headers(dims: tuple[int, ...] = (2, 3, 4)) -> st.SearchStrategy[NiftiHeader]:
    """Random NIfTI headers: codes 0 to 4, differing forms, shear, both hands, units, qfac, scales and sizes below 0 or 0."""
    angles = st.sampled_from([0.0, np.pi / 2, np.pi, 0.3, -1.1])
    numbers = st.floats(-200, 200, width=32)
    return st.builds(
        NiftiHeader,
        dims=st.sampled_from(dims),
        spacing=st.tuples(*[st.floats(0.375, 4, width=32)] * 3),
        turn=st.tuples(angles, angles, angles),
        flips=st.tuples(*[st.booleans()] * 3),
        origin=st.tuples(numbers, numbers, numbers),
        codes=st.tuples(st.integers(0, 4), st.integers(0, 4)),
        sform=st.sampled_from(["same", "turned", "sheared", "moved", "resized", "mirrored"]),
        units=st.sampled_from([0, 1, 2, 3, 2 + 8]),
        qfac=st.sampled_from([None, None, 0, 1, -1]),
        scale=st.sampled_from(SCALES),
        signs=st.tuples(*[st.sampled_from([1, 1, 1, 1, -1, 0])] * 3),
    )


def write_nrrd(path: Path, space: str | None, directions: bool, seed: int) -> None:
    """Writes an NRRD; `space` None stands for a header that names none."""
    rng = np.random.default_rng(seed)
    header: dict[str, object] = {}
    if directions:
        axes = Rotation.random(random_state=seed).as_matrix() * rng.choice([-1, 1], 3)
        header["space directions"] = (axes * rng.uniform(0.4, 3, 3)).T
        header["space origin"] = rng.uniform(-90, 90, 3)
        header |= {"space dimension": 3} if space is None else {"space": space}
    else:
        header["spacings"] = rng.uniform(0.4, 3, 3).tolist()
    nrrd.write(str(path), np.arange(120, dtype=np.int16).reshape(SHAPE), header, index_order="F")


def itk_reads(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """ITK's voxels, axes as in the file, and its affine to RAS mm; None when it makes no sense of the file."""
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError:
        return None
    dims = min(image.GetDimension(), 3)
    full = np.reshape(image.GetDirection(), (image.GetDimension(), -1))
    affine = np.eye(4)
    affine[:dims, :dims] = full[:dims, :dims] * image.GetSpacing()[:dims]
    affine[:dims, 3] = image.GetOrigin()[:dims]
    if abs(np.linalg.det(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))) < 1e-6:
        return None  # of a plane that stands upright in space, ITK takes the two axes' shadows on one line
    return sitk.GetArrayFromImage(image).transpose(), LPS @ affine


def save_label_as_itk(image: Path, label: np.ndarray, out: Path) -> None:
    """A label `(*S)` on the grid that ITK sees, as Slicer saves it."""
    seen = sitk.ReadImage(str(image))
    if seen.GetDimension() == 4:
        seen = seen[:, :, :, 0]
    drawn = sitk.GetImageFromArray(label.transpose())
    drawn.CopyInformation(seen)
    sitk.WriteImage(drawn, str(out), useCompression=True)


def apart(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    """How far apart two affines put a corner of an array, in its smallest voxel sizes."""
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij"), -1).reshape(-1, len(shape))
    corners = np.pad(corners, ((0, 0), (0, 3 - len(shape))))
    difference = corners @ (first - second)[:3, :3].T + (first - second)[:3, 3]
    spacing = np.linalg.norm(second[:3, : len(shape)], axis=0).min()
    return float(np.abs(difference).max() / spacing)
