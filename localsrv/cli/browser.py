"""Showing a page to the person, where there is a screen."""

from __future__ import annotations

import os
import sys


def has_display() -> bool:
    """Whether a browser could show up: a desktop session, not a remote shell or a container."""
    if sys.platform in ("win32", "darwin"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_in_browser(url: str) -> bool:
    """Whether a browser was asked to show the address. Text browsers do not count: they take the terminal."""
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    if getattr(browser, "basename", "") in ("lynx", "links", "elinks", "w3m", "www-browser"):
        return False
    return browser.open(url)
