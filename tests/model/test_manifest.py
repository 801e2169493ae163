"""Manifests: what is read, and that everything wrong is told at once, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from localsrv.model.manifest import ManifestError, UiSettings, parse_manifest
from localsrv.model.toml_lines import key_lines

GOOD = """\
id = "shop"
title = "Shop"
version = "1.2"
description = "What a shop has."

[ui]
single_page = true

[ui.csp]
img-src = ["https://tile.example.org", "blob:"]

[collections.categories.fields]
name = "text"

[collections.products]
relations = [{ fields = "category", to = "categories" }]

[collections.products.fields]
name = { type = "text", required = true }
category = "text"
"""


def test_a_manifest_is_read() -> None:
    manifest = parse_manifest(GOOD)
    assert (manifest.id, manifest.title, manifest.version) == ("shop", "Shop", "1.2")
    assert manifest.ui == UiSettings(True, False, {"img-src": ("https://tile.example.org", "blob:")})
    assert list(manifest.collections) == ["categories", "products"]
    (relation,) = manifest.collections["products"].relations
    assert relation.to_fields == ("id",)


def test_the_sample_app_is_read() -> None:
    path = Path(__file__).parents[2] / "localsrv" / "sample" / "inventory" / "app.toml"
    manifest = parse_manifest(path.read_text(encoding="utf-8"))
    assert manifest.id == "inventory"
    assert "products" in manifest.collections


def test_the_least_manifest() -> None:
    manifest = parse_manifest('id = "a"')
    assert (manifest.id, manifest.ui, dict(manifest.collections)) == ("a", UiSettings(), {})


def test_integrations_that_an_app_asks_for() -> None:
    manifest = parse_manifest(
        'id = "a"\n[integrations.weather]\nwhy = "Shows it"\nbase_url = "https://api.example.org/v1/"\n'
        'auth = { kind = "header", name = "X-Key" }\nmethods = ["get"]\npaths = ["/now/*"]\n'
        '[integrations.plain]\nwhy = "w"\n'
    )
    asked = manifest.integrations["weather"]
    assert (asked.title, asked.base_url, asked.auth.as_json(), asked.methods, asked.paths) == (
        "weather", "https://api.example.org/v1", {"kind": "header", "name": "X-Key"}, ("GET",), ("/now/*",),
    )  # fmt: skip
    assert manifest.integrations["plain"].auth.kind == "none"


BAD = [
    # text, lines, a part of the first message, hint
    ("", [1], "`id` is missing", 'Add a line such as id = "my-app".'),
    ('id = "Shop"', [1], "not an app id", None),
    ("id = 5", [1], "not an app id", None),
    ('id = "a"\ntitel = "x"', [2], "Unknown setting `titel`", "Did you mean `title`?"),
    ('id = "a"\n\ntitle = 5', [3], "`title` must be a text", None),
    ('id = "a"\n[ui]\nsinglepage = true', [3], "Unknown setting `singlepage`", "Did you mean `single_page`?"),
    ('id = "a"\n[ui]\nsingle_page = "yes"', [3], "must be true or false", None),
    ('id = "a"\n[ui]\nkit = 1', [3], "`kit` must be true or false", None),
    ('id = "a"\nui = 5', [2], "`ui` must be a table", None),
    ('id = "a"\n[ui.csp]\nimg = ["https://x.org"]', [3], "Unknown setting `img`", "Did you mean `img-src`?"),
    ('id = "a"\n[ui.csp]\nimg-src = ["*"]', [3], "`*` is no source", None),
    ('id = "a"\n[ui.csp]\nimg-src = "https://x.org"', [3], "must be a list", None),
    ('id = "a"\n[ui.csp]\nscript-src = ["\'unsafe-inline\'"]', [3], "Inline scripts are never allowed", None),
    ('id = "a"\n[ui.csp]\nscript-src = ["\'unsafe-eval\'"]', [3], "is no source that can be allowed", None),
    ('id = "a"\n[ui.csp]\nimg-src = ["https://x.org; script-src *"]', [3], "is no source", None),
    ('id = "a"\ncollections = []', [2], "`collections` must be tables", None),
    ('id = "a"\n[collections]\nitems = 5', [3], "must be a table", None),
    ('id = "a"\n[collections.Items]', [2], "not a collection id", None),
    ('id = "a"\n[collections.items]\ntitle = "x"\nkeys = "a"', [4], "unknown setting `keys`",
     "Did you mean `key`?"),
    ('id = "a"\n[collections.items]\ntitle = "x"\nconflicts = "megre"', [4], "unknown policy `megre`",
     'Write "keep", "merge" or { latest = "changed_at" }.'),
    ('id = "a"\n[collections.items]\nconflicts = { latest = "at" }\n[collections.items.fields]\nat = "text"',
     [3], "does not say which version is the latest",
     "Declare it as one of timestamptz, timestamp, date, integer, number."),
    ('id = "a"\n[collections.items.fields]\na = "text"\nb = "txt"', [4], "unknown type `txt`", None),
    ('id = "a"\n[collections.items.fields]\na = { type = "text", requird = true }', [3], "unknown setting",
     None),
    ('id = "a"\n[collections.items]\nkey = "a"', [3], "not declared", None),
    ('id = "a"\n[collections.items]\nrelations = [\n  { fields = "a", to = "nothing" },\n]\n'
     'fields = { a = "text" }', [3], "does not exist", None),
    ('id = "a"\n[[collections.items.relations]]\nfields = "a"\nto = "items"\n'
     '[[collections.items.relations]]\nfield = "a"\n[collections.items.fields]\na = "text"',
     [6], "unknown setting `field`", "Did you mean `fields`?"),
    # a cycle that no first document could ever be written in
    ('id = "a"\n[collections.x]\nrelations = [{ fields = "y", to = "y" }]\n'
     '[collections.x.fields]\ny = { type = "text", required = true }\n'
     '[collections.y]\nrelations = [{ fields = "x", to = "x" }]\n'
     '[collections.y.fields]\nx = { type = "text", required = true }', [3], "cycle", None),
    # several at once, in the order of the file
    ('title = 5\nid = "A"\n[collections.a]\nkeys = "a"\n[collections.b]\ntitel = ""', [1, 2, 4, 6],
     "`title` must be a text", None),
    ('id = "a"\nintegrations = 5', [2], "`integrations` must be tables", None),
    ('id = "a"\n[integrations.Weather]\nwhy = "x"', [2], "`Weather` is no name of an integration", None),
    ('id = "a"\n[integrations]\nx = 5', [3], "`integrations.x` must be a table", None),
    ('id = "a"\n[integrations.x]\ntitle = "X"', [2], "does not say why", None),
    ('id = "a"\n[integrations.x]\nwhy = "w"\nurl = "https://x"', [4], "Unknown setting `url`", None),
    ('id = "a"\n[integrations.x]\nwhy = "w"\nbase_url = "ftp://x"', [4], "must be an http or https", None),
    ('id = "a"\n[integrations.x]\nwhy = "w"\nmethods = ["GET", "BREW"]', [4], "`BREW` is no method", None),
    ('id = "a"\n[integrations.x]\nwhy = "w"\npaths = ["/a/../b"]', [4], "no part of a path", None),
    ('id = "a"\n[integrations.x]\nwhy = "w"\n[integrations.x.auth]\nkind = "header"\nname = "Host"', [6],
     "no header that can carry a secret", "Such as X-Api-Key."),
    ('id = "a"\n[integrations.x]\nwhy = "w"\nauth = "berer"\npaths = []\nmethods = []', [4, 5, 6],
     "no kind of authentication", None),
    # not TOML
    ('id = "a"\ntitle = "x', [2], "This is not TOML", None),
    ('id = "a"\nid = "b"', [2], "This is not TOML", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "lines", "message", "hint"), BAD, ids=range(len(BAD)))
def test_bad_manifests_are_refused_whole(text: str, lines: list[int], message: str, hint: str | None) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text, "shop/app.toml")
    error = caught.value
    assert [p.line for p in error.problems] == lines, error.details
    assert message in error.problems[0].message
    assert error.message.startswith(f"shop/app.toml, line {lines[0]}: ")
    assert error.details is not None
    assert len(error.details.splitlines()) == len(lines)
    if hint is not None:
        assert error.hint == hint


def test_lines_of_keys() -> None:
    text = '''\
# id = "no"
id = "a" # title = "no"
text = """
[not.a.table]
key = 1
"""
"quoted key" = 1
'single.quoted' = 2
dotted . key = 3
list = [
  "]", # [
  { key = 4 },
]

[table]
key = "[x]"
[table.sub]
key = 1
[[many]]
key = 1
[[many]]
key = 2
[many.sub]
key = 3
'''
    assert key_lines(text) == {
        "id": 2,
        "text": 3,
        "quoted key": 7,
        "single.quoted": 8,
        "dotted.key": 9,
        "list": 10,
        "table": 15,
        "table.key": 16,
        "table.sub": 17,
        "table.sub.key": 18,
        "many": 19,
        "many[0]": 19,
        "many[0].key": 20,
        "many[1]": 21,
        "many[1].key": 22,
        "many[1].sub": 23,
        "many[1].sub.key": 24,
    }
