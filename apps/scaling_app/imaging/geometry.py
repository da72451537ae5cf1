"""Reading and writing images and labels with their place in space.

An image is a `MetaTensor (C, *S)`: array order (i, j[, k]), the affine maps voxels to RAS+ millimetres
as in NIfTI and MONAI. Two-dimensional pictures (PNG, JPG, TIF) come in MONAI's order (column, row) with
a unit affine: their spacing is one pixel.
"""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import torch
from monai.data import MetaTensor
from PIL import Image

from scaling_app.imaging.segmentation_nrrd import flatten_layers, nrrd_affine, nrrd_header, spatial_last

logger = logging.getLogger(__name__)

Arrays = tuple[np.ndarray, np.ndarray]
"""A channel-first array and its 4x4 affine."""

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
# what nibabel, pynrrd and Pillow raise on damaged files
_READ_ERRORS = (OSError, EOFError, ValueError, LookupError, TypeError, SyntaxError, StopIteration, zlib.error)
_READ_ERRORS += (ArithmeticError, nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError)
_READ_ERRORS += (nrrd.NRRDError,)
GREY_MODES = {"1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
_NOT_FINITE = "not_finite"


_LEAST_VOLUME = 1e-6
"""Of the parallelepiped of an affine's axes, each of length 1, where they span space."""


class ImageError(ValueError):
    """A file that cannot be used as an image or label; the message names the file and the reason."""


def suffix_of(path: Path | str) -> str:
    """The file's kind in lower case: `.nii.gz`, `.seg.nrrd`, `.nrrd`, `.png`, ..."""
    name = Path(path).name.lower()
    for double in (".nii.gz", ".seg.nrrd"):
        if name.endswith(double):
            return double
    return Path(name).suffix


def stem_of(path: Path | str) -> str:
    """The file's name without its kind: `a.b` for `a.b.nii.gz`."""
    name = Path(path).name
    return name[: len(name) - len(suffix_of(path))]


def readable_kinds() -> tuple[str, ...]:
    """The kinds of file that `read_image` and `read_label` open, as `suffix_of` names them."""
    return tuple(_READERS)


def is_image_file(path: Path) -> bool:
    """Whether the file's kind is one that `read_image` opens."""
    return path.is_file() and not path.name.startswith(".") and suffix_of(path) in _READERS


def read_image(path: Path | str) -> MetaTensor:
    """Reads an image as `(C, *S)` float32 with its affine; non-finite voxels become 0, `not_finite` counts them.

    Raises:
        ImageError: missing, unreadable, truncated or empty file, no finite voxel, several pages, or a kind that
            is not known.
    """
    array, affine = _read(Path(path), as_label=False)
    image = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    strange = 0
    # min and max are NaN as soon as one voxel is: cheaper than a mask of a large volume
    if not bool(torch.isfinite(image.amin()) & torch.isfinite(image.amax())):
        strange = image.numel() - int(torch.isfinite(image).sum())
        if strange == image.numel():
            raise ImageError(f"{Path(path).name} holds no voxel with a finite value; export it anew")
        logger.warning("%s holds voxels that are not finite; they are read as 0", Path(path).name)
        image = torch.nan_to_num_(image, nan=0.0, posinf=0.0, neginf=0.0)
    return MetaTensor(image, affine=torch.from_numpy(affine), meta={_NOT_FINITE: strange})


def not_finite(image: MetaTensor) -> int:
    """How many values of an image that was read were NaN or infinite."""
    return int(image.meta.get(_NOT_FINITE, 0))


def read_label(path: Path | str) -> MetaTensor:
    """Reads a label map as `(1, *S)` of the smallest of uint8, int16 and int32 that holds its values.

    A `.seg.nrrd` with several layers is flattened: where segments overlap, the later one wins.

    Raises:
        ImageError: as `read_image`; also several channels, fractions or negative values.
    """
    path = Path(path)
    array, affine = _read(path, as_label=True)
    if array.shape[0] != 1:
        raise ImageError(f"{path.name} has {array.shape[0]} channels; a label map has one number per voxel")
    if array.dtype.kind not in "ui":
        array = _as_integers(array, path)
    low, high = int(array.min()), int(array.max())
    if low < 0:
        raise ImageError(f"{path.name} holds the label value {low}; label values start at 0 (background)")
    label = torch.from_numpy(np.ascontiguousarray(array, dtype=_smallest_type(high)))
    return MetaTensor(label, affine=torch.from_numpy(affine))


def label_values(label: torch.Tensor) -> set[int]:
    """The values in a label map `(1, *S)` as `read_label` gives it, background among them."""
    flat = torch.as_tensor(label).flatten()
    if flat.dtype == torch.uint8:  # counting takes a thirtieth of the time of sorting
        return set(torch.bincount(flat).nonzero().flatten().tolist())
    return set(torch.unique(flat).tolist())


def label_names(path: Path | str) -> dict[int, str]:
    """Names of label values that the file itself carries (`.seg.nrrd`); empty for other kinds."""
    if suffix_of(path) not in (".seg.nrrd", ".nrrd", ".nhdr"):
        return {}
    return nrrd_header(Path(path)).names


def write_label(
    array: np.ndarray | torch.Tensor, reference: Path | str | MetaTensor, out: Path | str
) -> Path:
    """Writes a label map `(1, *S)` or `(*S)` on the grid of `reference`, in the kind that `out` names.

    Raises:
        ImageError: the shape differs from the reference's, or the kind cannot be written.
    """
    out = Path(out)
    grid = reference if isinstance(reference, MetaTensor) else read_image(reference)
    label = np.asarray(torch.as_tensor(array).detach().cpu())
    label = label[0] if label.ndim == grid.ndim else label
    if label.shape != tuple(grid.shape[1:]):
        raise ImageError(
            f"the label's shape {label.shape} is not the image's {tuple(grid.shape[1:])}; nothing written"
        )
    label = label.astype(_smallest_type(int(label.max(initial=0))))
    affine = np.asarray(grid.affine.cpu(), dtype=np.float64)
    writer = _WRITERS.get(suffix_of(out))
    if writer is None:
        raise ImageError(f"cannot write labels as {out.name}; use one of {', '.join(_WRITERS)}")
    out.parent.mkdir(parents=True, exist_ok=True)
    writer(label, affine, out)
    return out


def grid_tolerance_mm(spacing: Sequence[float]) -> float:
    """How far apart the corners of two grids may lie that count as one, mm: rounding in file headers.

    Args:
        spacing: voxel sizes, mm.
    """
    return max(0.1, 0.1 * min(spacing))


def same_grid(image: MetaTensor, label: MetaTensor) -> str | None:
    """None when image and label share their grid, else a sentence that says how they differ."""
    shape, other = tuple(image.shape[1:]), tuple(label.shape[1:])
    if shape != other:
        return f"The label has {_times(other)} voxels, the image has {_times(shape)}."
    distance = float(np.abs(_corners_mm(image) - _corners_mm(label)).max())
    if distance > grid_tolerance_mm(spacing_of(image)):
        return f"The label lies up to {distance:.1f} mm away from the image (their affines differ)."
    return None


def spacing_of(image: MetaTensor) -> tuple[float, ...]:
    """Voxel sizes in mm along the image's own array axes."""
    lengths = torch.linalg.norm(image.affine[:3, :3].double(), dim=0)
    return tuple(float(x) for x in lengths[: image.ndim - 1])


@dataclass(frozen=True)
class Canonical:
    """The turn of an array's axes to (right, anterior, superior), and back; pictures stay as they are."""

    order: tuple[int, ...]
    flips: tuple[int, ...]

    @classmethod
    def of(cls, image: MetaTensor) -> Canonical:
        """The turn for this image, from its affine."""
        dims = image.ndim - 1
        if dims != 3:
            return cls(tuple(range(dims)), ())
        turns = nib.orientations.io_orientation(np.asarray(image.affine.cpu(), dtype=np.float64))
        order = tuple(int(np.flatnonzero(turns[:, 0] == axis)[0]) for axis in range(dims))
        flips = tuple(axis for axis in range(dims) if turns[order[axis], 1] < 0)
        return cls(order, flips)

    def apply(self, image: torch.Tensor) -> torch.Tensor:
        """`(C, *S)` in the file's axes to `(C, *S')` in canonical axes (a view where possible)."""
        turned = torch.as_tensor(image).permute(0, *(axis + 1 for axis in self.order))
        return turned.flip([axis + 1 for axis in self.flips]) if self.flips else turned

    def undo(self, image: torch.Tensor) -> torch.Tensor:
        """The inverse of `apply`."""
        turned = image.flip([axis + 1 for axis in self.flips]) if self.flips else image
        back = np.argsort(self.order)
        return turned.permute(0, *(int(axis) + 1 for axis in back))

    def turn(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """One value per file axis to one per canonical axis."""
        return tuple(values[axis] for axis in self.order)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what the readers raise on a damaged file into an `ImageError`, which names the file but not its folder."""
    try:
        yield
    except ImageError:
        raise
    except _READ_ERRORS as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0].replace(str(path), path.name)
        raise ImageError(f"{path.name} cannot be read; it may be truncated or damaged ({reason})") from error


def _read(path: Path, as_label: bool) -> Arrays:
    if not path.is_file():
        raise ImageError(f"{path} is not there")
    reader = _READERS.get(suffix_of(path))
    if reader is None:
        raise ImageError(f"{path.name} is of a kind that is not read; known are {', '.join(_READERS)}")
    with reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array, affine = reader(path, as_label)
    if array.size == 0:
        raise ImageError(f"{path.name} holds no voxels (shape {array.shape})")
    if not np.isfinite(affine).all() or _is_singular(affine):
        raise ImageError(f"{path.name} does not say where its voxels lie (its affine is singular)")
    return array, affine


def _is_singular(affine: np.ndarray) -> bool:
    """Whether the axes do not span space, however small the voxels are."""
    axes = affine[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    return not lengths.all() or abs(np.linalg.det(axes / lengths)) < _LEAST_VOLUME


def _read_nifti(path: Path, as_label: bool) -> Arrays:
    image = nib.load(path)
    scaled = not as_label and not image.get_data_dtype().names
    # not through float64, which nibabel takes for scaled integers: twice the memory of a large scan
    array = np.asarray(image.dataobj, dtype=np.float32 if scaled else None)
    affine = np.asarray(image.affine, dtype=np.float64)
    if array.dtype.names:  # RGB stored as a record
        array = np.stack([array[name] for name in array.dtype.names], axis=-1)[..., :3]
        return np.moveaxis(array, -1, 0), affine
    if array.ndim == 5 and array.shape[3] == 1:
        array = array[:, :, :, 0]
    if array.ndim == 4:
        return np.moveaxis(array, -1, 0), affine
    if array.ndim not in (2, 3):
        raise ImageError(f"{path.name} has {array.ndim} axes; 2 or 3 (and channels) are read")
    return array[None], affine


def _read_nrrd(path: Path, as_label: bool) -> Arrays:
    array, header = nrrd.read(str(path), index_order="F")
    array = spatial_last(array, header)
    if as_label and array.shape[0] > 1:
        array = flatten_layers(array, nrrd_header(path))
    return array, nrrd_affine(header)


def _read_picture(path: Path, as_label: bool) -> Arrays:
    with Image.open(path) as picture:
        pages = getattr(picture, "n_frames", 1)
        if pages > 1 and picture.format != "MPO":  # a camera's JPEG, with previews beside its one picture
            raise ImageError(
                f"{path.name} holds {pages} pages; one picture a file is read, and volumes as .nii.gz or .nrrd"
            )
        picture.load()
        if not (as_label and picture.mode == "P") and picture.mode not in GREY_MODES:
            picture = picture.convert("L" if picture.mode in ("LA", "La") else "RGB")
        array = np.asarray(picture)
    array = array.astype(np.uint8) if array.dtype == bool else array
    if array.ndim == 3 and as_label and (array == array[..., :1]).all():
        array = array[..., 0]  # a grey label that some editor stored as RGB
    array = array[..., None] if array.ndim == 2 else array
    return np.transpose(array, (2, 1, 0)), np.eye(4)


def _read_itk(path: Path, as_label: bool) -> Arrays:
    from monai.data import ITKReader  # takes seconds to import, and few files need it

    try:
        reader = ITKReader()
        array, meta = reader.get_data(reader.read(str(path)))
    except RuntimeError as error:
        raise ImageError(f"{path.name} cannot be read; it may be truncated or damaged") from error
    affine = np.eye(4)
    small = np.asarray(meta["affine"], dtype=np.float64)
    affine[: small.shape[0], : small.shape[1]] = small
    return (np.moveaxis(array, -1, 0) if array.ndim == 4 else array[None]), affine


def _smallest_type(highest: int) -> type[np.integer]:
    """The smallest type that holds label values up to this one."""
    return np.uint8 if highest <= 255 else np.int16 if highest <= 32767 else np.int32


def _as_integers(array: np.ndarray, path: Path) -> np.ndarray:
    rounded = np.rint(array)
    if not np.isfinite(array).all() or np.abs(array - rounded).max() > 1e-3:
        raise ImageError(f"{path.name} holds fractions or undefined values; a label map holds whole numbers")
    return rounded.astype(np.int32)


def _write_nifti(label: np.ndarray, affine: np.ndarray, out: Path) -> None:
    nib.save(nib.Nifti1Image(label, affine), out)


def _write_nrrd(label: np.ndarray, affine: np.ndarray, out: Path) -> None:
    dims = label.ndim
    to_lps = np.diag([-1.0, -1.0, 1.0])
    header: dict[str, object] = {"kinds": ["domain"] * dims, "encoding": "gzip"}
    if dims == 3:
        header |= {"space": "left-posterior-superior", "space origin": to_lps @ affine[:3, 3]}
        header["space directions"] = (to_lps @ affine[:3, :3]).T
    else:
        header["spacings"] = [float(x) for x in np.linalg.norm(affine[:3, :dims], axis=0)]
    nrrd.write(str(out), label, header, index_order="F")


def _write_picture(label: np.ndarray, affine: np.ndarray, out: Path) -> None:
    flat = label[..., 0] if label.ndim == 3 and label.shape[-1] == 1 else label
    if flat.ndim != 2:
        raise ImageError(f"a volume cannot be written as {out.name}; use .nii.gz or .nrrd")
    Image.fromarray(np.ascontiguousarray(flat.T)).save(out)


def _corners_mm(image: MetaTensor) -> np.ndarray:
    dims = image.ndim - 1
    ends = [(0, size - 1) for size in image.shape[1:]] + [(0, 0)] * (3 - dims)
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    affine = np.asarray(image.affine.cpu(), dtype=np.float64)
    return corners @ affine[:3, :3].T + affine[:3, 3]


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)


_READERS: dict[str, Callable[[Path, bool], Arrays]] = {
    ".nii.gz": _read_nifti,
    ".nii": _read_nifti,
    ".nrrd": _read_nrrd,
    ".seg.nrrd": _read_nrrd,
    ".nhdr": _read_nrrd,
    ".mha": _read_itk,
    ".mhd": _read_itk,
} | dict.fromkeys(PICTURES, _read_picture)

_WRITERS: dict[str, Callable[[np.ndarray, np.ndarray, Path], None]] = {
    ".nii.gz": _write_nifti,
    ".nii": _write_nifti,
    ".nrrd": _write_nrrd,
    ".seg.nrrd": _write_nrrd,
    ".png": _write_picture,
    ".tif": _write_picture,
    ".tiff": _write_picture,
    ".bmp": _write_picture,
}
