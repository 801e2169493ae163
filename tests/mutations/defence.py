"""What a defence is: some code, what it looks like without it, and the tests that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Defence:
    """One defence and how it is taken away.

    `code` stands in `file` exactly once and is replaced by `instead`. Each of `tests` (as pytest names them,
    from the project's folder) must fail then. `attack` says what gets through without the defence.
    """

    attack: str
    file: str
    code: str
    instead: str
    tests: tuple[str, ...]

    def taken_away(self, root: Path) -> str:
        """The file's text without the defence. Raises ValueError when `code` is not there once."""
        text = (root / self.file).read_text(encoding="utf-8")
        found = text.count(self.code)
        if found != 1:
            raise ValueError(
                f"«{self.attack}»: this is {found} times in {self.file}, so the entry must follow the code, "
                f"and make mutations must say that its test still notices:\n{self.code}"
            )
        return text.replace(self.code, self.instead)
