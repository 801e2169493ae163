"""Where keys stand in a TOML text.

tomllib keeps no lines, so a small scan finds them. It need not understand values, since tomllib has accepted
the text by then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_BARE_OR_QUOTED = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = re.compile(rf"{_BARE_OR_QUOTED}(?:\s*\.\s*{_BARE_OR_QUOTED})*")
_PART = re.compile(_BARE_OR_QUOTED)
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)


def key_lines(text: str) -> dict[str, int]:
    """Dotted place → line (from 1) of every table header and key of a valid TOML text.

    Tables of an array are `place[0]`, `place[1]`, …; keys inside inline values are not told apart.
    """
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table, depth = "", 0
    for number, line in enumerate(_blanked(text).split("\n"), 1):
        stripped = line.strip()
        if depth == 0 and stripped.startswith("["):
            is_array = stripped.startswith("[[")
            if found := _DOTTED.search(stripped):
                table = _dotted(found.group(), counts)
                if is_array:
                    counts[table] = counts.get(table, -1) + 1
                    lines.setdefault(table, number)
                    table = f"{table}[{counts[table]}]"
                lines.setdefault(table, number)
            continue
        found = _DOTTED.match(stripped) if depth == 0 else None
        if found and stripped[found.end() :].lstrip().startswith("="):
            name = _dotted(found.group(), {})
            lines.setdefault(f"{table}.{name}" if table else name, number)
        depth += sum(line.count(c) for c in "[{") - sum(line.count(c) for c in "]}")
    return lines


def _dotted(name: str, counts: Mapping[str, int]) -> str:
    """The dotted name without its quotes; parts that are arrays of tables get their last index."""
    out = ""
    for part in _PART.findall(name):
        bare = part[1:-1] if part[0] in "\"'" else part
        if out in counts:
            out = f"{out}[{counts[out]}]"
        out = f"{out}.{bare}" if out else bare
    return out


def _blanked(text: str) -> str:
    """`text` with its comments and multi-line strings emptied, and with brackets inside strings replaced."""
    out: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif char in "\"'" and (found := _STRING.match(text, at)):
            inside = found.group()
            out.append("\n" * inside.count("\n") + re.sub(r"[\[\]{}#\n]", "_", inside))
            at = found.end()
        else:
            out.append(char)
            at += 1
    return "".join(out)


def nearest_line(lines: Mapping[str, int], place: str) -> int:
    """The line of `place`, or of the closest thing around it; 1 when nothing is."""
    while place:
        if place in lines:
            return lines[place]
        inside = [n for p, n in lines.items() if p.startswith((f"{place}.", f"{place}["))]
        if inside:
            return min(inside)
        place = place[: max(place.rfind("."), place.rfind("["), 0)]
    return 1
