"""Pages: an app's `ui/` folder on the app's own origin, and the dashboard on the server's.

Files only, from inside the folder: no listing, no dotfiles, no links out. They are public behind the guard,
for a page holds nothing secret; what it shows, it fetches with its own token.
"""

from __future__ import annotations

import asyncio
import html
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from aiohttp import hdrs, web

from localsrv.base.errors import NotFound
from localsrv.model.manifest import UiSettings
from localsrv.services.apps import Hosted
from localsrv.web.files import Content, send
from localsrv.web.headers import REFERRER_POLICY

DASHBOARD = Path(__file__).with_name("ui")

CONTENT_TYPES: Mapping[str, str] = {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".gif": "image/gif",
    ".htm": "text/html; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".ogg": "audio/ogg",
    ".otf": "font/otf",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
"""Ours, not the system's: a Windows registry that calls .js text/plain would stop every module."""

ENCODINGS = ((".br", "br"), (".gz", "gzip"))

_POLICY: Mapping[str, tuple[str, ...]] = {
    "default-src": ("'self'",),
    "script-src": ("'self'",),
    "style-src": ("'self'",),
    "img-src": ("'self'", "data:", "blob:"),
    "media-src": ("'self'", "blob:"),
    "font-src": ("'self'",),
    "connect-src": ("'self'",),
    "worker-src": ("'self'",),
    "frame-src": ("'none'",),
    "object-src": ("'none'",),
    "base-uri": ("'none'",),
    "form-action": ("'self'",),
    "frame-ancestors": ("'none'",),
}


def content_security_policy(settings: UiSettings) -> str:
    """The strict policy with the manifest's further sources."""
    parts = []
    for directive, sources in _POLICY.items():
        more = settings.csp.get(directive, ())
        kept = tuple(s for s in sources if s != "'none'") if more else sources
        parts.append(" ".join((directive, *kept, *more)))
    return "; ".join(parts)


def page_headers(settings: UiSettings) -> dict[str, str]:
    return {
        "Content-Security-Policy": content_security_policy(settings),
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        str(REFERRER_POLICY): "same-origin",
        hdrs.CACHE_CONTROL: "no-cache",
        hdrs.VARY: "Accept-Encoding",
    }


async def serve_dashboard_file(request: web.Request, segments: Sequence[str]) -> web.StreamResponse:
    return await _serve(request, DASHBOARD, segments, UiSettings())


async def serve_app_file(request: web.Request, hosted: Hosted, segments: Sequence[str]) -> web.StreamResponse:
    if hosted.ui is None:
        return _no_pages(hosted)
    return await _serve(request, hosted.ui, segments, hosted.settings)


async def _serve(
    request: web.Request, root: Path, segments: Sequence[str], settings: UiSettings
) -> web.StreamResponse:
    accepted = _accepted_encodings(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
    found = await asyncio.to_thread(_find, root, segments, settings.single_page, accepted)
    if found is None:
        raise NotFound(
            "There is no such file.", code="file-not-found", details="/" + "/".join(segments)[:200]
        )
    if isinstance(found, str):
        return web.Response(status=308, headers={hdrs.LOCATION: found})
    content, encoding = found
    headers = page_headers(settings)
    if encoding:
        headers[hdrs.CONTENT_ENCODING] = encoding
    return await send(request, content, headers)


def _find(
    root: Path, segments: Sequence[str], single_page: bool, accepted: frozenset[str]
) -> tuple[Content, str | None] | str | None:
    """What to serve and its encoding, or the address to go to, or None. Runs in a thread."""
    if not all(segments[:-1]) or not all(_is_served(name) for name in segments if name):
        return None  # an empty segment before the last, as in `//elsewhere`, or a name that is never served
    path = inside(root, [s for s in segments if s])
    if path is not None and path.is_dir():
        if not segments[-1]:
            path = inside(root, [*segments[:-1], "index.html"])
        elif (path / "index.html").is_file():
            return "/" + "/".join(quote(s, safe="") for s in segments) + "/"
    elif path is not None and not segments[-1]:
        return None  # a file is no folder
    if (path is None or path.is_dir()) and single_page and "." not in segments[-1]:
        # A name with an extension is a file that is missing; a page in its place would only confuse.
        path = inside(root, ["index.html"])
    if path is None or not path.is_file():
        return None
    content_type = CONTENT_TYPES.get(path.suffix.lower(), "application/octet-stream")
    for suffix, encoding in ENCODINGS:
        sibling = path.with_name(path.name + suffix)
        if encoding in accepted and not sibling.is_symlink() and sibling.is_file():
            return _content(sibling, content_type), encoding
    return _content(path, content_type), None


def _content(path: Path, content_type: str) -> Content:
    state = path.stat()
    return Content(
        path, state.st_size, content_type, f"{state.st_mtime_ns:x}-{state.st_size:x}", state.st_mtime
    )


def _is_served(name: str) -> bool:
    """Whether a file of this name may be served: no dotfile, nothing that is special to a file system."""
    return not (name.startswith(".") or name.endswith((" ", ".")) or any(c in name for c in '/\\:\0<>|"?*'))


def inside(root: Path, names: Sequence[str]) -> Path | None:
    """The file or folder below `root`, links resolved; None when there is none, or it lies outside."""
    try:
        path = root.joinpath(*names).resolve(strict=True)
        if not path.is_relative_to(root.resolve()):
            return None
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    return path if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else None


def _accepted_encodings(header: str) -> frozenset[str]:
    accepted = set()
    for part in header.lower().split(","):
        name, _, weight = part.partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            accepted.add(name.strip())
    return frozenset(accepted)


def _no_pages(hosted: Hosted) -> web.Response:
    name = html.escape(hosted.title or hosted.app)
    body = (
        f"<!doctype html><meta charset=utf-8><title>{name}</title><h1>{name}</h1>"
        "<p>This app has no pages yet.</p>"
    )
    headers = page_headers(UiSettings())
    return web.Response(status=404, text=body, content_type="text/html", headers=headers)
