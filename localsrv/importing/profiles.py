"""What a column really holds, learnt by reading every value once, in constant memory per column."""

from __future__ import annotations

from localsrv.importing.json_text import BigNumber
from localsrv.importing.shapes import Shapes
from localsrv.importing.tables import Row
from localsrv.importing.values import Opaque


class Profile:
    """Counts of one column's values by kind, and the shapes its texts share.

    `fraction` is the number of digits after the point that all decimals had, or None if they differ.
    `longest` is the longest text in bytes; `starts_badly` says that one is empty or starts with `_`, which
    no id may.
    """

    __slots__ = (
        "_boolish", "_fraction", "big", "blobs", "booleans", "integers", "longest", "nulls", "opaque",
        "reals", "shapes", "starts_badly", "structures", "texts",
    )  # fmt: skip

    def __init__(self) -> None:
        self.nulls = self.booleans = self.integers = self.reals = self.texts = self.structures = 0
        self.blobs = self.opaque = self.big = 0
        self.shapes = Shapes()
        self.longest = 0
        self.starts_badly = False
        self._boolish = True
        self._fraction: int | None = -1

    @property
    def scalars(self) -> int:
        """Values that are neither null nor attachments."""
        return self.booleans + self.integers + self.reals + self.big + self.texts + self.structures

    @property
    def is_boolish(self) -> bool:
        """Whether all values are the integers 0 and 1."""
        return self._boolish and self.scalars == self.integers and self.integers > 0

    @property
    def fraction(self) -> int | None:
        return self._fraction if self._fraction != -1 else None

    def add(self, value: object) -> None:
        if value is None:
            self.nulls += 1
        elif isinstance(value, BigNumber):
            self.big += 1
        elif isinstance(value, str):
            self.texts += 1
            self._add_text(value)
        elif isinstance(value, bool):
            self.booleans += 1
        elif isinstance(value, int):
            self.integers += 1
            if value not in (0, 1):
                self._boolish = False
        elif isinstance(value, float):
            self.reals += 1
        elif isinstance(value, Opaque):
            if value.kind == "blob":
                self.blobs += 1
            else:
                self.opaque += 1
        else:
            self.structures += 1

    def _add_text(self, text: str) -> None:
        self.longest = max(self.longest, len(text) if text.isascii() else len(text.encode()))
        if not text or text[0] == "_":
            self.starts_badly = True
        if not self.shapes.left:
            return
        self.shapes.add(text)
        if "decimal" in self.shapes.left:
            digits = len(text.partition(".")[2])
            self._fraction = digits if self._fraction in (-1, digits) else None


class TableProfile:
    """The columns of a table as its rows show them; columns appear in the order met."""

    def __init__(self, columns: tuple[str, ...] = ()) -> None:
        self.rows = 0
        self.columns: dict[str, Profile] = {name: Profile() for name in columns}

    def add(self, row: Row) -> None:
        self.rows += 1
        columns = self.columns
        for name, value in row.items():
            profile = columns.get(name)
            if profile is None:
                profile = columns[name] = Profile()
            profile.add(value)

    def absent(self, name: str) -> int:
        """Rows without a value for the column: null, or not there."""
        profile = self.columns[name]
        return self.rows - profile.scalars - profile.blobs - profile.opaque
