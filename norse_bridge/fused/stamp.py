"""What kept machine code of this package depends on."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from norse_bridge import surrogate

HERE = Path(__file__).parent


@functools.cache
def stamp(*folders: Path) -> str:
    """A hash of the sources here and in other folders; that of eventsim's is looked at where code is kept."""
    files = [path for folder in (HERE, *folders) for path in folder.glob("*.py")] + [Path(str(surrogate.__file__))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()[:16]
