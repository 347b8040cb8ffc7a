"""Odd files of arrays: .npz archives and HDF5 files that are whole, and hold something other than they should."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.draw import Draw, as_array

OUTSIDE = "outside.h5"  # a file beside the odd one, which nobody shall read


def members_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz."""
    with np.load(path) as file:
        return dict(file)


def odd_npz(draw: Draw, path: Path, good: dict[str, np.ndarray]) -> None:
    """Write an .npz in which something is changed: its bytes, its arrays, its description or its members."""
    made = draw.below(10)
    arrays = dict(good)
    if made == 0:
        write_npz(path, arrays)
        path.write_bytes(draw.bytes(path.read_bytes()))
    elif made <= 4 and "description" in arrays:
        text = draw.text(draw.json(json.loads(arrays["description"].tobytes())))
        write_npz(path, arrays | {"description": np.frombuffer(text, np.uint8)})
    elif made == 5:
        _odd_members(draw, path, arrays)
    else:
        name = draw.one([name for name in arrays if name != "description"] or list(arrays))
        write_npz(path, arrays | {name: as_array(draw.array(arrays[name]))})


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """As `numpy.savez`, objects too."""
    with warnings.catch_warnings(), open(path, "wb") as file:
        warnings.simplefilter("ignore")  # types that NumPy warns of
        np.savez(file, **arrays)


def _odd_members(draw: Draw, path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Members that are lost, renamed, there twice, of another kind, packed, or whose headers declare something else."""
    name, made = draw.one(list(arrays)), draw.below(8)
    packed = draw.one((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", packed) as archive:
        warnings.simplefilter("ignore", UserWarning)  # of names that are there twice
        for key, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(array))
            blob = buffer.getvalue()
            if key != name:
                archive.writestr(f"{key}.npy", blob)
            elif made == 0:
                archive.writestr(draw.one((f"{key}.txt", key, f"../{key}.npy", f"{key}x.npy", f"{key}/.npy", ".npy")), blob)
            elif made == 1:
                archive.writestr(f"{key}.npy", blob)
                archive.writestr(f"{key}.npy", blob)
            elif made == 2:
                archive.writestr(f"{key}.npy", b"\0" * draw.one((0, 100, 10**7)))
            elif made == 3:
                header = {"descr": array.dtype.str, "fortran_order": draw.chance(0.3), "shape": _odd_shape(draw, array.shape)}
                archive.writestr(f"{key}.npy", _header(header) + array.tobytes())
            elif made == 4:
                archive.writestr(f"{key}.npy", draw.bytes(blob[:128]) + blob[128:])
            elif made == 5:
                archive.writestr(
                    f"{key}.npy",
                    _header({"descr": draw.one(("|V0", "|S0", "|O", "<f16", "|V8")), "fortran_order": False, "shape": array.shape}),
                )
            elif made == 6:
                big = np.zeros(draw.one((10**6, 3 * 10**6)), array.dtype)
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, big)
                archive.writestr(f"{key}.npy", buffer.getvalue(), zipfile.ZIP_DEFLATED)


def _odd_shape(draw: Draw, shape: tuple[int, ...]) -> tuple[Any, ...]:
    return draw.one(
        (
            shape[:-1],
            (*shape, 1),
            (2**40,),
            (2**62, 2**62),
            (-1,),
            (0,),
            (2**31, 2**31, 0),
            (True,),
            (1,) * 65,
            tuple(n + 1 for n in shape),
        )
    )


def _header(header: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def odd_hdf5(draw: Draw, path: Path) -> None:
    """Change an HDF5 file: its bytes, or an object or attribute in it."""
    import h5py

    if draw.chance(0.35):
        path.write_bytes(draw.bytes(path.read_bytes()))
        return
    _write_outside(path.parent / OUTSIDE)
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        if draw.chance(0.25):
            _odd_attribute(draw, file[draw.one(["/", *names])])
            return
        name = draw.one([name for name in names if isinstance(file[name], h5py.Dataset)] if draw.chance(0.75) else names)
        _odd_object(draw, file, name, path)


def _write_outside(path: Path) -> None:
    import h5py

    if not path.exists():
        with h5py.File(path, "w") as file:
            file["values"] = np.ones(8)


def _odd_attribute(draw: Draw, found: Any) -> None:
    names = list(found.attrs)
    name = draw.one(names) if names else "start"
    if draw.chance(0.2):
        if name in found.attrs:
            del found.attrs[name]
        return
    value = draw.one(
        (
            draw.number(),
            np.arange(3.0),
            np.zeros((1, 1)),
            "text",
            b"",
            np.float16(1.0),
            np.nan,
            -1,
            np.uint64(2**64 - 1),
            np.array([2.0]),
        )
    )
    try:
        found.attrs[name] = value
    except (TypeError, OverflowError, ValueError):  # what HDF5 has no type for
        found.attrs[name] = "odd"


def _odd_object(draw: Draw, file: Any, name: str, path: Path) -> None:
    """Replace an object by one of another kind."""
    import h5py

    old, made = file[name], draw.below(14)
    array = old[()] if isinstance(old, h5py.Dataset) and old.dtype.kind in "iuf" else np.ones(3)
    if made == 0:
        file.move(name, draw.one(("moved", f"{name}x", "spikes/moved")))
        return
    if made == 1:
        file[f"{name}_again"] = old
        return
    del file[name]
    if made == 2:
        file[name] = h5py.SoftLink(draw.one(("/", "/nowhere", name, f"/{name}")))
    elif made == 3:
        file[name] = h5py.ExternalLink(draw.one((OUTSIDE, path.name, "/etc/passwd", "nowhere.h5")), "/values")
    elif made == 4:
        file.create_dataset(name, shape=(8,), dtype="f8", external=[(str(path.parent / OUTSIDE), 0, h5py.h5f.UNLIMITED)])
    elif made == 5:
        layout = h5py.VirtualLayout((8,), "f8")
        layout[:] = h5py.VirtualSource(str(path.parent / OUTSIDE), "values", (8,))
        file.create_virtual_dataset(name, layout)
    elif made == 6:
        huge = draw.one(((2**40,), (2**31, 2**20), (10**8,), (2**60,)))
        file.create_dataset(name, shape=huge, dtype=array.dtype, chunks=tuple(min(n, 1000) for n in huge), compression="gzip")
    elif made == 7:
        file.create_dataset(
            name,
            data=array,
            **draw.one(
                ({"compression": "gzip"}, {"compression": "lzf"}, {"shuffle": True}, {"fletcher32": True}, {"scaleoffset": 2})
            )
            if array.ndim and array.size
            else {},
        )
    elif made == 8:
        file.create_group(name)
    elif made == 9:
        file.create_dataset(
            name, data=draw.one((h5py.Empty("f8"), "text", np.array([b"a", b"bc"]), np.ones(3) * 1j, np.zeros(2, [("a", "f8")])))
        )
    elif made == 10:
        file.create_dataset(
            name,
            shape=(2,),
            dtype=draw.one((h5py.ref_dtype, h5py.vlen_dtype(np.float64), h5py.string_dtype(), h5py.enum_dtype({"a": 1}))),
        )
    else:
        changed = as_array(draw.array(array))
        if changed.dtype.kind not in "biufc" or changed.dtype.itemsize > 8:
            changed = array.astype(draw.one(("f2", "i1", "u8", ">f8")))
        file.create_dataset(name, data=changed)
