"""The one way in which this package compiles: Numba with NumPy's division, without the interpreter lock, never fastmath.

Machine code is kept on disk, so that only the first run on a machine waits for the compiler. Numba's own cache looks at the
file that holds the function alone and is stale when a function that it calls changes in another; here the key is a hash of
all sources of this package. Code is kept only of functions of this package, one file for each, written atomically, in a
folder that nobody else may write to (they are pickles).

``EVENTSIM_CACHE_DIR`` names the folder; set to ``off`` nothing is kept.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import pickle
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core import bytecode, compiler, config, serialize, sigutils
from numba.core.ccallback import CFunc

PACKAGE = Path(__file__).parent
DIGEST = hashlib.sha256().digest_size
KEPT_VERSIONS = 4
OPTIONS = {"nogil": True, "error_model": "numpy"}


def _number_functions_anew() -> None:
    """Let Numba number functions from a random number on.

    The numbers tell apart functions of one name, as those are that a maker of kernels returns. Numba begins with 1 in every
    process: code that two processes have put on disk could hold two functions under one name, and a third process, which loads
    both, would take one for the other.
    """
    bytecode.FunctionIdentity._unique_ids = itertools.count(int.from_bytes(os.urandom(6)))


_number_functions_anew()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_number_functions_anew)


@functools.cache
def source_stamp() -> str:
    """A hash of everything that the machine code depends on, but for the function and its types."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode())
        digest.update(path.read_bytes())
    settings = (config.BOUNDSCHECK, config.OPT, config.DEBUGINFO_DEFAULT, config.DISABLE_JIT, config.LOOP_VECTORIZE)
    digest.update(repr((numba.__version__, sys.version_info[:3], sys.platform, settings)).encode())
    return digest.hexdigest()


@functools.cache
def cache_folder() -> Path | None:
    """Where machine code is kept, or None if it is not: switched off, not writable, or open to others."""
    wanted = os.environ.get("EVENTSIM_CACHE_DIR", "")
    if wanted.lower() == "off":
        return None
    home = os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else os.environ.get("XDG_CACHE_HOME")
    try:
        folder = Path(wanted) if wanted else Path(home or Path.home() / ".cache") / "eventsim"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return None
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        return None
    return _folder_of_this_version(folder)


def _folder_of_this_version(folder: Path) -> Path | None:
    """A folder for the present sources; those of versions that were not used for longest are removed."""
    mine = folder / source_stamp()[:16]
    try:
        mine.mkdir(mode=0o700, exist_ok=True)
        os.utime(mine)
        versions = sorted((f for f in folder.iterdir() if f.is_dir()), key=lambda f: f.stat().st_mtime, reverse=True)
        for old in versions[KEPT_VERSIONS:]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError:
        return mine if mine.is_dir() else None  # another process tidied up at the same time
    return mine


class CodeCache:
    """What Numba asks for machine code of one function, and gives it to (the interface of ``numba.core.caching``)."""

    def __init__(self, name: str):
        self._name = name

    @property
    def cache_path(self) -> str | None:
        """The folder."""
        return str(cache_folder())

    def _path(self, signature: Any, codegen: Any) -> Path | None:
        folder = cache_folder()
        key = repr((self._name, str(signature), codegen.magic_tuple()))
        return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.code" if folder else None

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The compiled function for a signature, or None."""
        target_context.refresh()
        path = self._path(signature, target_context.codegen())
        if path is None or not path.exists():
            return None
        try:
            content = path.read_bytes()
        except OSError:
            return None  # removed meanwhile: it is compiled again
        digest, payload = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(payload).digest() != digest:
            return None  # damaged
        return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep a compiled function."""
        path = self._path(signature, result.codegen)
        if path is None or result.lifted or result.library.has_dynamic_globals:
            return
        try:
            handle, temporary = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                payload = serialize.dumps(result._reduce())
                file.write(hashlib.sha256(payload).digest() + payload)
            os.replace(temporary, path)
        except OSError:
            return  # a full disk costs the next run its compile time, and nothing else

    def flush(self) -> None:
        """Nothing is kept in memory."""


def _takes_operations(function: Callable) -> bool:
    """Whether a function is handed others to call, as ``ops`` (`eventsim.ops.Ops`)."""
    return "ops" in function.__code__.co_varnames[: function.__code__.co_argcount]


def _can_be_kept(function: Callable) -> bool:
    """Whether the package's sources say all about a function: it stands in them, closes over nothing, is handed no functions."""
    inside = (function.__module__ or "").split(".")[0] == PACKAGE.name
    return inside and function.__closure__ is None and "<" not in function.__qualname__ and not _takes_operations(function)


def _options(function: Callable) -> dict[str, Any]:
    """Code that hands functions on holds their addresses, which mean nothing to another process: it could not be kept."""
    return {**OPTIONS, "forceinline": True} if _takes_operations(function) else OPTIONS


@functools.cache
def jit(function: Callable) -> Any:
    """Compile a function when it is first called; keep its code if it is a plain function of this package."""
    dispatcher = njit(**_options(function))(function)
    if _can_be_kept(function):
        dispatcher._cache = CodeCache(f"{function.__module__}.{function.__qualname__}")
    return dispatcher


@functools.cache
def jit_borrowing(function: Callable) -> Any:
    """As `jit`, for what runs in the innermost loops: arrays are borrowed, and no reference to them is counted.

    Counting is an atomic operation, or at least a call, for every array that is handed to a function or sliced. Such a function
    must not allocate (Numba refuses it) and must not return an array that owns its memory, or a part of one.
    """
    dispatcher = njit(**_options(function), _nrt=False)(function)
    if _can_be_kept(function):
        dispatcher._cache = CodeCache(f"{function.__module__}.{function.__qualname__}")
    return dispatcher


@functools.cache
def jit_inlined(function: Callable) -> Any:
    """As `jit_borrowing`, and a part of what calls it, however long it is: only a loop without calls is done several at a time."""
    return njit(**OPTIONS, _nrt=False, forceinline=True)(function)


def numba_says(error: Exception) -> str:
    """The lines of one of Numba's errors that tell what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join([line for line in lines if not line.startswith(("Failed in", "During:", "- "))][:3])


_COMPILING = [threading.RLock()]
if hasattr(os, "register_at_fork"):  # a thread that compiled when the process forked is not there in the child
    os.register_at_fork(after_in_child=lambda: _COMPILING.__setitem__(0, threading.RLock()))


def compiled_once(function: Callable) -> Callable:
    """`functools.cache` for what compiles: a thread that asks for what another one is compiling waits, and gets the same."""
    kept = functools.cache(function)

    @functools.wraps(function)
    def get(*args: Any) -> Any:
        with _COMPILING[0]:
            return kept(*args)

    return get


def compile_callback(signature: Any, function: Callable, name: str | None, borrowing: bool = False) -> Any:
    """Compile a function that C code can call by its ``address``; keep its code under a name that says all about it, if given."""
    options = {"error_model": "numpy", "_nrt": not borrowing}
    callback = CFunc(function, sigutils.normalize_signature(signature), locals={}, options=options)
    if name is not None:
        callback._cache = CodeCache(name)
    callback.compile()
    return callback
