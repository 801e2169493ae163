"""Requests to refuse, as a table: what is sent, and how the refusal must look."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.support.refusals import API, JSON, REST

IMPORT = f"{API}/collections/notes/import"
ITEM = f"{REST}/items?id=eq.1"


@dataclass(frozen=True)
class Case:
    """One request to refuse: its status, the error's code, and what the error must say."""

    name: str
    status: int
    code: str
    says: str
    method: str = "POST"
    path: str = f"{REST}/notes"
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def writes(name: str, code: str, says: str, body: Any, *, to: str = "notes", status: int = 400) -> Case:
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body)
    return Case(f"write {name}", status, code, says, body=data, path=f"{REST}/{to}", headers=JSON)


def reads(query: str, code: str, says: str, *, of: str = "items", status: int = 400) -> Case:
    return Case(f"read {query[:60]}", status, code, says, "GET", f"{REST}/{of}?{query}")


def defines(name: str, says: str, definition: Any) -> Case:
    path = f"{API}/collections/fresh"
    return Case(f"define {name}", 400, "bad-config", says, "PUT", path, json.dumps(definition), JSON)


DEEP = [
    writes(f"{kind} nested {depth} deep", "PGRST102", "100 deep", text)
    for depth in (101, 1000, 100_000)
    for kind, text in (
        ("arrays", '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"),
        ("objects", '{"a":' * depth + "1" + "}" * depth),
        ("open arrays", "[" * depth if depth > 2000 else '{"a":' + "[" * depth + "]" * depth + "}"),
    )
]

BODIES = [
    writes("nothing", "PGRST102", "empty", ""),
    writes("half a text", "PGRST102", "line 1, column", '{"a": "b'),
    writes("a comma too many", "PGRST102", "line 1, column", '{"a": 1,\n}'),
    writes("two values", "PGRST102", "line 1, column", "{} {}"),
    writes("no UTF-8", "PGRST102", "line 1, byte 7", b'{"a":"\xff"}'),
    writes("UTF-16", "PGRST102", "UTF-8", '{"a": 1}'.encode("utf-16")),
    writes("half an UTF-8 sequence", "PGRST102", "UTF-8", '{"a":"é"}'.encode()[:-3]),
    *DEEP,
    *(writes(v, "PGRST102", "null or a text", f'{{"a":{v}}}') for v in ("NaN", "Infinity", "-Infinity")),
    *(
        writes(f"the number {v[:25]}", "22003", says, f'{{"a":{v}}}')
        for v, says in (
            ("9223372036854775808", "64 bits"),
            ("-9223372036854775809", "64 bits"),
            ("18446744073709551616", "64 bits"),
            ("1" * 10_000, "64 bits"),
            ("-" + "9" * 10_000, "64 bits"),
            ("0." + "1" * 10_000, "more digits"),
            ("1e400", "range of a double"),
            ("-1e400", "range of a double"),
            ("1e-400", "range of a double"),
        )
    ),
    writes("a lone high surrogate", "PGRST102", "surrogate", '{"a":"\\ud800"}'),
    writes("a lone low surrogate", "PGRST102", "surrogate", '{"a":"\\udc00 x"}'),
    writes("a lone surrogate in UTF-8", "PGRST102", "UTF-8", b'{"a":"\xed\xa0\x80"}'),
    writes("a lone surrogate in a name", "PGRST102", "surrogate", '{"\\ud800":1}'),
    writes("NUL in a text", "22P05", "NUL", '{"a":"x\\u0000y"}'),
    writes("NUL in a name", "22P05", "NUL", '{"a\\u0000b":1}'),
    writes("NUL in an id", "22P05", "NUL", '{"id":"a\\u0000"}'),
    writes("NUL deep inside", "22P05", "NUL", '{"a":[{"b":["\\u0000"]}]}'),
    writes("a raw NUL", "PGRST102", "line 1", b'{"a":"\0"}'),
    writes("a text", "PGRST102", "object", '"x"'),
    writes("a list of numbers", "PGRST102", "object", "[1]"),
]
BODIES += [
    Case("CSV with NUL", 400, "22P05", "NUL", body=b"a\n\0\n", headers={"Content-Type": "text/csv"}),
    Case("ragged CSV", 400, "PGRST102", "Row 3", body=b"a,b\n1,2\n3\n", headers={"Content-Type": "text/csv"}),
    Case("CSV with a name twice", 400, "PGRST102", "twice", body=b"a,a\n1,2\n",
         headers={"Content-Type": "text/csv"}),
    Case("broken NDJSON", 400, "PGRST102", "line", body=b'{"a":1}\n{"a":\n',
         headers={"Content-Type": "application/x-ndjson"}),
    Case("a form", 415, "PGRST107", "application/json", body=b"a=b",
         headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Case("no content type", 415, "PGRST107", "application/json", body=b'{"a":1}'),
]  # fmt: skip

NAMES = [
    writes("an empty name", "42602", "1 to 255", {"": 1}),
    writes("a name of 256", "42602", "1 to 255", {"k" * 256: 1}),
    writes("__proto__", "42602", "`__proto__`", {"__proto__": 1}),
    writes("_id", "42602", "`_id`", {"_id": "x"}),
    writes("_private", "42602", "starting with `_`", {"_private": 1}),
    writes("two names that differ by case", "42602", "only by case", {"Cab": 1, "cAB": 2}),
    writes("a name that differs by case from a stored one", "42602", "Use `Abc`", {"aBC": 1}),
    writes(
        "a name in Greek capitals",
        "42602",
        "only by case",
        {"\u03a3\u0391": 1, "\u03c3\u03b1": 2},
    ),
    writes("a declared name in capitals", "42602", "Use `name`", {"id": 9, "NAME": "x"}, to="items"),
    writes("an undeclared name", "PGRST204", "`b`", {"a": 1, "b": 2}, to="closed"),
]

IDS = [
    writes("an empty id", "22023", "text", {"id": ""}),
    writes("an id of 10 kB", "22023", "1,000", {"id": "x" * 10_000}),
    writes("an id with _", "22023", "`_x`", {"id": "_x"}),
    *(writes(f"the id {v!r}", "22023", "text", {"id": v}) for v in (5, 1.5, True, [], {})),
    *(
        writes(f"the key {v!r}", "22P02", "`id`", {"id": v, "name": "x"}, to="items")
        for v in ("", "x", 1.5, True, [], {}, "9223372036854775808")
    ),
    writes("no key", "23502", "`id`", {"name": "x"}, to="items"),
    writes("a key that exists", "23505", "(id)=(1)", {"id": 1, "name": "x"}, to="items", status=409),
    Case("a document without id to import", 400, "invalid-id", "text", "POST", IMPORT,
         b'[{"_id":"fine"},{"_id":""}]', JSON),
    Case("an id with _ to import", 400, "invalid-id", "`_x`", "POST", IMPORT,
         b'[{"_id":"fine"},{"_id":"_x"}]', JSON),
    Case("a document that is not there", 404, "document-not-found", "x", "GET",
         f"{API}/collections/notes/documents/{'x' * 5000}"),
    Case("NUL in the path", 400, "malformed-target", "NUL", "GET", f"{API}/collections/notes/documents/%00"),
]  # fmt: skip

VALUES = [
    *(
        writes(f"{kind} {value!r}", code, f"`{name}`", {"id": 9, name: value}, to="items")
        for name, kind, code, values in (
            ("price", "decimal", "22P02", ("x", True, [], "NaN", "1e999999999", "\u0661")),
            ("size", "number", "22P02", ("x", True, [], "1e400")),
            ("made", "date", "22P02", ("x", 5, "2024-02-30", "infinity")),
            ("at", "time", "22P02", ("x", 5, "2024-01-01T25:00:00Z")),
            ("is_new", "boolean", "22P02", ("x", 7, [])),
            ("serial", "uuid", "22P02", ("x", 5, [], {}, True)),
            ("name", "text", "22P02", ([], {})),
        )
        for value in values
    ),
    writes("a required field as null", "23502", "`a`", {"a": None}, to="closed"),
    writes("no required field", "23502", "`a`", {}, to="closed"),
    writes("a relation to nothing", "23503", "(item)=(99)", {"item": 99}, to="lines", status=409),
    writes("a unique value again", "23505", "(code)=(c1)", {"id": 9, "code": "c1"}, to="items", status=409),
    writes("good rows and a bad one", "23505", "c1", [{"id": 7}, {"id": 8}, {"id": 9, "code": "c1"}],
           to="items", status=409),
    writes("what the schema refuses", "23514", "/t", {"t": "b"}, to="checked"),
    Case("a change of the key", 400, "22023", "key", "PATCH", ITEM, b'{"id":5}', JSON),
    Case("a change into a taken value", 409, "23505", "c2", "PATCH", ITEM, b'{"code":"c2"}',
         JSON),
    Case("a delete of what is referred to", 409, "23503", "lines", "DELETE", ITEM),
    Case("a stale revision", 412, "PT412", "Read it again", "PATCH", ITEM, b'{"name":"z"}',
         {**JSON, "If-Match": '"1-0123456789abcdef0123456789abcdef"'}),
    Case("an empty If-Match", 400, "PT400", "If-Match", "PATCH", ITEM, b'{"name":"z"}',
         {**JSON, "If-Match": ""}),
    Case("a stale _rev", 412, "PT412", "Read it again", "PATCH", ITEM,
         b'{"name":"z","_rev":"1-0"}', JSON),
]  # fmt: skip

QUERIES = [
    reads("name=zz.1", "PGRST100", "isdistinct"),
    reads("name=eq", "PGRST100", "column=operator.value"),
    reads("name=", "PGRST100", "column=operator.value"),
    reads("name=eq(some).{x}", "PGRST100", "(any)"),
    reads("nme=eq.1", "42703", 'items.name"'),
    reads("select=nme", "42703", "items.nme"),
    reads("order=nme", "42703", "items.nme"),
    reads("select=data->nothing->>a,bad", "42703", "items.bad"),
    reads("select=*,suppliers(*)", "PGRST200", "suppliers"),
    reads("suppliers.name=eq.x", "PGRST108", "suppliers"),
    reads("order=name.sideways", "PGRST100", "asc"),
    reads("select=name::money", "42704", "timestamptz"),
    reads("select=name.median()", "PGRST100", "avg()"),
    reads("name=fts.((", "42601", "plfts"),
    reads("code=fts.x", "42883", "name"),
    reads("id=eq.x", "22P02", "integer"),
    reads("id=eq.99999999999999999999", "22003", "out of range"),
    reads("made=gt.soon", "22007", "date"),
    reads("serial=eq.x", "22P02", "uuid"),
    reads("is_new=eq.maybe", "22P02", "boolean"),
    reads("name=is.odd", "PGRST100", "not_null"),
    reads("data=cs.{", "22P02", "malformed"),
    reads("id=in.1,2", "PGRST100", "`(`"),
    reads("or=(id.eq.1", "PGRST100", "`)`"),
    reads("and=" + "and(" * 101 + "id.eq.1" + ")" * 101, "PGRST100", "100"),
    reads("limit=-1", "PGRST103", "limit", status=416),
    reads("limit=many", "PGRST100", "whole number"),
    reads("offset=99999999999999999999", "PGRST100", "whole number"),
    reads("name%00=eq.1", "PGRST100", "column 5"),
    reads("select=na%00me", "PGRST100", "column"),
    reads("data->%00=eq.1", "PGRST100", "column"),
    reads("name=eq.%ff", "PGRST100", "UTF-8"),
    reads("name=eq.%ed%a0%80", "PGRST100", "UTF-8"),
    reads("name=match.(", "2201B", "RE2"),
    reads("name=match.a{100000}", "2201B", "repetition"),
    reads("name=match." + quote("((a{100}){100}){100}"), "2201B", "repetition"),
    reads("name=match." + quote("(\\pL|\\pN){500}$"), "2201B", "too large"),
    reads("name=match." + quote("(?=a)b"), "2201B", "RE2"),
    reads("name=match." + "a" * 10_001, "2201B", "10,000"),
    reads(quote("'; DROP TABLE items; --") + "=eq.1", "42703", "Known are"),
    reads("&".join(["id=eq.1"] * 1001), "PGRST100", "1000"),
    reads("id=eq.1", "42P01", "`items`", of="item", status=404),
    reads("id=eq.1", "42P01", "`items`", of=quote('items"; --'), status=404),
    reads("x=1", "42P01", "sqlite_master", of="sqlite_master", status=404),
    reads("x=1", "42P01", "localsrv_fields", of="localsrv_fields", status=404),
    Case("an unknown function", 404, "PGRST125", "rpc", "POST", f"{REST}/rpc/nothing", b"{}", JSON),
    Case("an unknown app", 404, "3D000", "localsrv app list", "GET", "/apps/nothing/rest/v1/items"),
    Case("an app outside the folder", 404, "3D000", "app", "GET", "/apps/..%2f..%2f/rest/v1/items"),
    Case("an unknown collection to write", 404, "42P01", "`notes`", body=b"{}", path=f"{REST}/note",
         headers=JSON),
    Case("a strict unknown preference", 400, "PGRST122", "colour", "GET", f"{REST}/items",
         headers={"Prefer": "handling=strict, colour=blue"}),
    Case("a form nobody has", 406, "PGRST107", "text/csv", "GET", f"{REST}/items",
         headers={"Accept": "application/xml"}),
    Case("a conflict target that is none", 400, "42P10", "unique", path=f"{REST}/items?on_conflict=name",
         body=b'{"id":9}', headers={**JSON, "Prefer": "resolution=merge-duplicates"}),
]  # fmt: skip

DEFINITIONS = [
    defines("an unknown setting", "`fields`", {"feilds": {}}),
    defines("an unknown type", "`text`", {"fields": {"a": "txt"}}),
    defines("names by case", "only by case", {"fields": {"Ab": "text", "aB": "text"}}),
    defines("a relation to nothing", "`items`", {"fields": {"a": "text"}, "relations": [
        {"fields": "a", "to": "itms"}]}),
    defines("a hostile reference", "inside", {"schema": {"$ref": "file:///etc/passwd"}}),
    defines("a broken pattern", "pattern", {"schema": {"properties": {"a": {"pattern": "("}}}}),
    defines("a pattern that looks ahead", "RE2", {"schema": {"properties": {"a": {"pattern": "(?=a)"}}}}),
    defines("a title that is no text", "title", {"title": 5}),
    defines("a list as source", "source", {"source": []}),
    defines("thousands of fields", "1900", {"fields": {f"f{n}": "text" for n in range(3000)}}),
    defines("a default of another type", "default", {"fields": {"a": {"type": "integer", "default": "x"}}}),
    Case("define a name that is none", 400, "bad-config", "a-z", "PUT", f"{API}/collections/Fresh", b"{}",
         JSON),
    Case("define the store's own name", 400, "bad-config", "a-z", "PUT", f"{API}/collections/localsrv_x",
         b"{}", JSON),
    Case("define a cycle of required relations", 400, "bad-config", "a → b → a", "PUT", f"{API}/collections",
         json.dumps({
             one: {"key": "id", "fields": {"id": "integer", "r": {"type": "integer", "required": True}},
                   "relations": [{"fields": "r", "to": other}]} for one, other in (("a", "b"), ("b", "a"))
         }), JSON),
]  # fmt: skip

ADMIN = [
    Case("a key without scopes", 400, "invalid-value", "*:read", "POST", "/api/v1/keys",
         b'{"name":"k","app":"shop","scopes":[]}', JSON),
    Case("a key with an unknown scope", 400, "invalid-value", "`items:own`", "POST", "/api/v1/keys",
         b'{"name":"k","app":"shop","scopes":["items:own"]}', JSON),
    Case("a key for an origin that is none", 400, "invalid-value", "http://localhost:5173", "POST",
         "/api/v1/keys", b'{"name":"k","app":"shop","scopes":["*:read"],"origin":"null"}', JSON),
    Case("an app id that is none", 400, "invalid-value", "a-z", "POST", "/api/v1/apps", b'{"id":"../x"}',
         JSON),
    Case("an app that exists", 409, "app-exists", "shop", "POST", "/api/v1/apps", b'{"id":"shop"}', JSON),
    Case("a folder that is none", 400, "manifest-missing", "app.toml", "POST", "/api/v1/apps",
         b'{"path":"/nothing/here"}', JSON),
    Case("a query that writes", 400, "sql", "reading", "POST", f"{API}/query", b'{"sql":"DROP TABLE items"}',
         JSON),
    Case("a query that attaches", 400, "sql", "reading", "POST", f"{API}/query",
         b'{"sql":"ATTACH \'x.db\' AS x"}', JSON),
    Case("a query without end", 500, "query-timeout", "fewer rows", "POST", f"{API}/query",
         b'{"sql":"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c) SELECT sum(n) FROM c"}',
         JSON),
    Case("an unknown member", 400, "bad-request", "title", "POST", "/api/v1/apps", b'{"id":"x","tilte":"X"}',
         JSON),
    Case("a feed of nothing", 404, "no-collection", "`items`", "GET", f"{API}/changes?collections=item"),
    Case("a feed since nonsense", 400, "invalid-since", "since", "GET", f"{API}/changes?since=soon"),
    Case("an attachment with _", 400, "invalid-attachment", "_", "PUT",
         f"{API}/collections/notes/documents/n/attachments/_x", b"x", {"Content-Type": "text/plain"}),
    Case("an attachment of nothing", 404, "no-document", "`nobody`", "PUT",
         f"{API}/collections/notes/documents/nobody/attachments/x", b"x", {"Content-Type": "text/plain"}),
    Case("an upload without a name", 400, "bad-request", "?name=", "POST", "/api/v1/uploads", b"a,b\n"),
    Case("an import of no upload", 404, "no-upload", "again", "POST", "/api/v1/imports",
         b'{"upload":"../../x","app":"shop"}', JSON),
]  # fmt: skip

GUARD = [
    Case("a foreign Host", 421, "foreign-host", "localhost", "GET", f"{API}/collections",
         headers={"Host": "evil.example"}),
    Case("a foreign Host with our port", 421, "foreign-host", "localhost", "POST", "/api/v1/keys",
         b'{"name":"k","app":"*","scopes":["admin"]}', {**JSON, "Host": "evil.example:{port}"}),
    Case("a foreign Origin", 403, "foreign-origin", "--origin", "POST", "/api/v1/keys",
         b'{"name":"k","app":"*","scopes":["admin"]}', {**JSON, "Origin": "https://evil.example"}),
    Case("Origin null", 403, "foreign-origin", "null", "POST", IMPORT,
         b'[{"_id":"x"}]', {**JSON, "Origin": "null"}),
    Case("a cross-origin form", 403, "foreign-origin", "--origin", "POST", "/api/v1/keys", b"name=k",
         {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://evil.example"}),
    Case("a cross-origin form to the data", 403, "42501", "--origin", "POST", f"{REST}/notes", b'{"a":"=b"}',
         {"Content-Type": "text/plain", "Origin": "https://evil.example"}),
    Case("a form without Origin", 403, "foreign-origin", "site", "POST", "/api/v1/keys", b"name=k",
         {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "cross-site"}),
    Case("an unknown token", 401, "bad-token", "key", "GET", f"{API}/collections",
         headers={"Authorization": "Bearer lsk_" + "A" * 43}),
    Case("another scheme", 400, "malformed-header", "Bearer", "GET", f"{API}/collections",
         headers={"Authorization": "Basic eDp5"}),
    Case("a method that is none", 405, "PGRST117", "PATCH", "PROPFIND", f"{REST}/items"),
]  # fmt: skip

CASES = [*BODIES, *NAMES, *IDS, *VALUES, *QUERIES, *DEFINITIONS, *ADMIN, *GUARD]
