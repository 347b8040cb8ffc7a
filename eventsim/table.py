"""Tables as plain text."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(head: Sequence[str], rows: Sequence[Sequence[object]], indent: str = "  ") -> str:
    """Columns padded to one width under their heads: texts to the left, numbers (what begins like one) to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(name), *(len(row[column]) for row in cells)) if cells else len(name) for column, name in enumerate(head)]
    right = [all(row[column][:1] in "0123456789-+<~." for row in cells) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        return (indent + "  ".join(padded)).rstrip()

    return "\n".join([line(head), indent + "  ".join("-" * width for width in widths), *map(line, cells)])


def bytes_text(count: float) -> str:
    """A number of bytes as a person reads it: ``2.31 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024.0:
            return f"{count:.0f} B" if unit == "B" else f"{count:.2f} {unit}"
        count /= 1024.0
    return f"{count:.2f} TiB"
