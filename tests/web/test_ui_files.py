"""The pages' files, read as files: what they share, what they load, and whether their colours can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent.parent / "localsrv"
FIRST_PAGE = PACKAGE / "web" / "ui"
INVENTORY = PACKAGE / "sample" / "inventory" / "ui"
OWN = [
    f
    for ui in (FIRST_PAGE, INVENTORY)
    for f in sorted(ui.rglob("*"))
    if f.is_file() and "vendor" not in f.parts
]


@pytest.mark.parametrize("ui", [FIRST_PAGE, INVENTORY], ids=["first page", "inventory"])
def test_every_file_that_is_named_exists(ui: Path) -> None:
    named = re.findall(r'(?:href|src)="(/[^"#]+)"', (ui / "index.html").read_text("utf-8"))
    for module in ui.rglob("*.js"):
        if "vendor" in module.parts:
            continue
        for target in re.findall(r'^import .*?"([./][^"]+)";$', module.read_text("utf-8"), re.MULTILINE):
            found = served(ui, target) if target.startswith("/") else module.parent / target
            assert found.is_file(), f"{module.name}: {target}"
    assert len(named) > 3
    for target in named:
        assert served(ui, target).is_file(), target


def served(ui: Path, target: str) -> Path:
    """The file of an absolute address. The kit is one for both: an app gets a copy when it is added."""
    return (FIRST_PAGE if target.startswith("/kit/") else ui) / target[1:]


@pytest.mark.parametrize("file", OWN, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_nothing_that_the_policy_refuses_and_nothing_from_elsewhere(file: Path) -> None:
    text = file.read_text("utf-8")
    if file.suffix == ".html":
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)
    if file.suffix == ".js":
        assert not re.search(r"innerHTML\s*=|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    addresses = re.findall(r"(?:https?:)?//[a-z][\w.-]+", re.sub(r"//\s.*", "", text))
    # The last is an example that a field shows; RFC 2606 keeps the name for such.
    assert set(addresses) <= {"http://www.w3.org", "http://localhost", "https://api.example.org"}


def test_what_others_wrote_has_its_licence() -> None:
    vendor = INVENTORY / "vendor"
    for file, package, licence in (
        ("supabase", "@supabase/supabase-js", "MIT License"),
        ("pouchdb", "pouchdb", "Apache License"),
    ):
        assert licence in (vendor / f"{file}.LICENSE.txt").read_text("utf-8")
        version = re.search(rf"`{package}` (\d+\.\d+\.\d+)", (vendor / "README.md").read_text("utf-8"))
        assert version is not None
        assert version.group(1) in (vendor / f"{file}.js").read_text("utf-8")


# ── colours ────────────────────────────────────────────────────────────────────────────────────────────────

READ_ON = [
    (text, ground)
    for text in ("ink", "ink-2", "ink-3", "accent", "out", "low")
    for ground in ("paper", "surface")
] + [
    ("on-accent", "accent"), ("on-accent", "accent-strong"), ("ink", "accent-soft"), ("ink-2", "accent-soft"),
    ("ink", "hover"), ("ink-2", "hover"), ("ink-3", "hover"), ("ink-2", "sunken"), ("ink-3", "sunken"),
    ("low", "low-soft"), ("out", "out-soft"), ("accent", "accent-soft"), ("paper", "ink"),
]  # fmt: skip
"""Pairs of text and ground that the pages use; WCAG AA wants 4.5."""

SEEN_ON = [
    (sign, ground) for sign in ("control-line", "accent-bar", "out-bar") for ground in ("surface", "paper")
]
"""Lines and bars that must be told apart from their ground; WCAG wants 3."""


def _themes() -> dict[str, dict[str, str]]:
    text = (FIRST_PAGE / "kit" / "tokens.css").read_text("utf-8")
    light, _, dark = text.partition("@media (prefers-color-scheme: dark)")
    read = {
        name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", css))
        for name, css in (("light", light), ("dark", dark))
    }
    return {"light": read["light"], "dark": read["light"] | read["dark"]}


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio, from 1 to 21."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_and_signs_be_seen(theme: str) -> None:
    colours = _themes()[theme]
    weak = [
        f"{front} on {ground}: {ratio:.2f}"
        for pairs, least in ((READ_ON, 4.5), (SEEN_ON, 3.0))
        for front, ground in pairs
        if (ratio := _contrast(colours[front], colours[ground])) < least
    ]
    assert weak == []
