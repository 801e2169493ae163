"""Other people's functions in child processes: what they find, what they answer, and what they cannot do."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from localsrv.javascript import pool
from localsrv.javascript.frames import REQUEST, START_OVER, frame
from localsrv.javascript.pool import MAX_CHILDREN, JavaScript, Program
from localsrv.javascript.worker import TIMED_OUT, JavaScriptError, Killed
from localsrv.services.imports import program as command

DESIGN = {
    "_id": "_design/mine",
    "views": {
        "lib": {
            "one": "exports.name = 'one'; exports.two = require('./two').name;",
            "two": "exports.name = 'two'; exports.seen = typeof require('./one').name;",
            "deep": {"inner": "module.exports.up = require('../two').name; exports.id = module.id;"},
            "bad": "exports.x = ;",
            "throws": "throw new TypeError('no')",
            "number": 5,
        },
        "v": {"map": "function (doc) { if (doc.x > 1) emit(doc._id) }"},
    },
    "filters": {
        "big": "function (doc, req) { return doc.x > req.query.least }",
        "truthy": "function (doc) { return doc.x && 'yes' }",
        "throws": "function (doc) { throw {forbidden: 'not you'} }",
        "broken": "function (doc) { return doc.a.b }",
        "empty": "",
    },
    "validate_doc_update": (
        "function (newDoc, oldDoc, userCtx, secObj) {"
        " if (newDoc.how === 'forbidden') throw {forbidden: 'no ' + userCtx.name};"
        " if (newDoc.how === 'unauthorized') throw {unauthorized: 'who are you'};"
        " if (newDoc.how === 'error') throw new TypeError('oh');"
        " if (newDoc.how === 'text') throw 'just text';"
        " if (newDoc.how === 'other') throw {strange: 'words'};"
        " if (newDoc.how === 'mutate') { newDoc.how = 1; secObj.admins = 1; userCtx.name = 'x' }"
        " if (newDoc.how === 'old' && oldDoc === null) throw {forbidden: 'first'};"
        " if (newDoc.how === 'sec' && !secObj.admins.names.length) throw {forbidden: 'nobody'};"
        " }"
    ),
}
MINE = Program("mine", "app/mine", orjson.dumps(DESIGN))


def lines(*documents: Any) -> list[bytes]:
    return [orjson.dumps(d) for d in documents]


@pytest.fixture
async def javascript() -> AsyncIterator[JavaScript]:
    made = JavaScript(command(), patience_s=20.0)
    yield made
    await made.close()
    await _collected()


@pytest.fixture
async def hasty() -> AsyncIterator[JavaScript]:
    """One that loses its patience soon."""
    made = JavaScript(command(), patience_s=1.0)
    yield made
    await made.close()
    await _collected()


async def _collected() -> None:
    """Lets the transports of killed children say goodbye before the loop ends."""
    gc.collect()
    await asyncio.sleep(0)


async def rows(javascript: JavaScript, source: str, *documents: Any) -> list[list[list[Any]]]:
    return await javascript.run(MINE, "map", {"maps": [source]}, lines(*documents))


# ── what functions find ────────────────────────────────────────────────────────────────────────────────────

INNER = "views/lib/deep/inner"

MAPS: list[tuple[str, str, list[list[Any]]]] = [
    ("a function", "function (doc) { emit(doc._id, doc.x) }", [["a", 1]]),
    ("an arrow", "doc => emit(doc._id, doc.x)", [["a", 1]]),
    ("an arrow with a body", "(doc) => { emit(doc._id, doc.x); }", [["a", 1]]),
    ("a name", "function mine(doc) { emit(mine.name) }", [["mine", None]]),
    ("a semicolon behind", "function (doc) { emit(1) };\n", [[1, None]]),
    ("comments around", "// one\nfunction (doc) { emit(1) } // two", [[1, None]]),
    ("a program", "var n = 2; function mine(doc) { emit(n) } mine", [[2, None]]),
    ("several rows in order", "function (doc) { emit(2, 'b'); emit(1, 'a') }", [[2, "b"], [1, "a"]]),
    ("nothing", "function (doc) { }", []),
    ("undefined is null", "function (doc) { emit(undefined, undefined) }", [[None, None]]),
    ("no arguments", "function (doc) { emit() }", [[None, None]]),
    ("no numbers are null", "function (doc) { emit(NaN, 1 / 0) }", [[None, None]]),
    ("functions are null", "function (doc) { emit(function () {}, [x => x]) }", [[None, [None]]]),
    ("a date", "function (doc) { emit(new Date(0)) }", [["1970-01-01T00:00:00.000Z", None]]),
    ("an error", "doc => emit(1, new RangeError('r'))", [[1, {"error": "RangeError", "message": "r"}]]),
    ("sum", "function (doc) { emit(sum([1, 2, 3.5])) }", [[6.5, None]]),
    ("isArray", "function (doc) { emit([isArray([]), isArray({})]) }", [[[True, False], None]]),
    ("toJSON", "function (doc) { emit(toJSON({a: [1]})) }", [['{"a":[1]}', None]]),
    ("JSON", "function (doc) { emit(JSON.parse('[1]')) }", [[[1], None]]),
    ("log is harmless", "function (doc) { log('x'); log({a: 1}); log(); emit(1) }", [[1, None]]),
    ("Unicode", "function (doc) { emit('żółw \\u{1F422}', 'ß') }", [["żółw 🐢", "ß"]]),
    ("NUL", "function (doc) { emit('a\\0b') }", [["a\0b", None]]),
    ("half a pair", "function (doc) { emit('\\ud83d', '\\\\ud83d') }", [["\ufffd", "\\ud83d"]]),
    ("a module", "doc => { const m = require('views/lib/one'); emit(m.name, m.two) }", [["one", "two"]]),
    ("a path", "doc => emit(1, require('views/lib/deep/inner'))", [[1, {"up": "two", "id": INNER}]]),
    ("a cycle of modules", "doc => emit(require('views/lib/two').seen)", [["string", None]]),
    ("no such module", "doc => { emit(1); require('views/lib/none') }", []),
    ("a module that is no text", "doc => { emit(1); require('views/lib/number') }", []),
    ("a module with a mistake", "doc => { emit(1); require('views/lib/bad') }", []),
    ("a module that throws", "doc => { emit(1); require('views/lib/throws') }", []),
    ("above the top", "doc => { emit(1); require('../x') }", []),
    ("a property of every object", "doc => { emit(1); require('constructor') }", []),
    ("it throws after emitting", "function (doc) { emit(1); throw new Error('x') }", []),
    ("it throws a text", "function (doc) { emit(1); throw 'x' }", []),
    ("a key without end", "function (doc) { var a = {}; a.a = a; emit(a) }", []),
    ("recursion without end", "function (doc) { function f() { return 1 + f() } f() }", []),
    ("nesting without end", "doc => { var a = []; for (var i = 0; i < 1e5; i++) a = [a]; emit(a) }", []),
    ("no way out", "doc => emit(['std', 'os', 'send'].some(n => n in globalThis))", [[False, None]]),
    ("its names are not ours", "doc => { JSON.stringify = x => 'x'; Date.now = 0; emit(1) }", [[1, None]]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), [m[1:] for m in MAPS], ids=[m[0] for m in MAPS])
async def test_a_map_function(javascript: JavaScript, source: str, expected: list[list[Any]]) -> None:
    assert await rows(javascript, source, {"_id": "a", "x": 1}) == [[[0, *row] for row in expected]]


async def test_what_one_function_does_to_a_document_no_other_sees(javascript: JavaScript) -> None:
    maps = ["function (doc) { doc.x = 9; emit(doc.x) }", "function (doc) { emit(doc.x) }"]
    found = await javascript.run(MINE, "map", {"maps": maps}, lines({"_id": "a", "x": 1}))
    assert found == [[[0, 9, None], [1, 1, None]]]


async def test_a_document_that_is_skipped_is_logged(
    javascript: JavaScript, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "localsrv.javascript")
    found = await rows(
        javascript, "function (doc) { emit(doc.a.b) }", {"_id": "bad"}, {"_id": "good", "a": {"b": 1}}
    )
    assert found == [[], [[0, 1, None]]]
    assert "app/mine: function raised exception TypeError" in caplog.text
    assert "with doc._id bad" in caplog.text


async def test_a_log_is_bounded(javascript: JavaScript, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "localsrv.javascript")
    await rows(javascript, "doc => { for (let i = 0; i < 1000; i++) log('x'.repeat(1e5)) }", {"_id": "a"})
    assert len(caplog.records) <= 50
    assert len(caplog.text) < 100_000


FAILURES: list[tuple[str, str, str, str]] = [
    ("a mistake in it", "function (doc) {", "compilation_error", "SyntaxError"),
    ("no function", "5", "compilation_error", "Expression does not eval to a function. (5)"),
    ("it throws while compiled", "(() => { throw new Error('x') })()", "compilation_error", "Error: x"),
    ("it asks", "doc => { throw 'fatal_error' }", "map_runtime_error", "function raised 'fatal_error'"),
    ("it asks in other words", "doc => { throw ['fatal', 'mine', 'words'] }", "mine", "words"),
    ("memory", "doc => { var a = []; while (1) a.push('x'.repeat(1e5)+a.length) }", "InternalError", ""),
    ("rows without end", "doc => { while (true) emit(1, 'x'.repeat(9999)) }", "InternalError", ""),
    ("small pieces", "doc => { var a = []; while (true) a.push({}) }", "InternalError", "out of memory"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "error", "reason"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES]
)
async def test_a_function_that_fails_as_a_whole(
    javascript: JavaScript, source: str, error: str, reason: str
) -> None:
    with pytest.raises(JavaScriptError) as failed:
        await rows(javascript, source, {"_id": "a"})
    assert failed.value.error == error
    assert reason in failed.value.message
    assert await rows(javascript, "doc => emit(1)", {"_id": "a"}) == [[[0, 1, None]]]


async def test_compiling(javascript: JavaScript) -> None:
    answers = await javascript.run(MINE, "compile", {}, lines("doc => 1", "function (", "7"))
    assert answers[0] is None
    assert [a[0] for a in answers[1:]] == ["compilation_error"] * 2


REDUCTIONS: list[tuple[str, bool, list[Any], Any]] = [
    ("function (keys, values) { return sum(values) }", False, [[[1, "a"], [2, "b"]], [3, 4]], 7),
    ("function (keys, values, rereduce) { return [keys, rereduce] }", True, [None, [1]], [None, True]),
    ("(keys, values) => keys[0]", False, [[["k", "id"]], [0]], ["k", "id"]),
    ("(keys, values) => { throw new Error('x') }", False, [[["k", "id"]], [0]], None),
    ("(keys, values) => undefined", False, [[["k", "id"]], [0]], None),
]


@pytest.mark.parametrize(("source", "rereduce", "group", "expected"), REDUCTIONS)
async def test_a_reduce_function(
    javascript: JavaScript, source: str, rereduce: bool, group: list[Any], expected: Any
) -> None:
    options = {"reduce": source, "rereduce": rereduce, "threshold": 5000, "ratio": 2.0}
    assert await javascript.run(MINE, "reduce", options, lines(group)) == [expected]


async def test_a_reduction_must_shrink(javascript: JavaScript) -> None:
    options = {"reduce": "(k, v) => v.concat(v)", "rereduce": False, "threshold": 200, "ratio": 2.0}
    group = [[["k", "id"]] * 100, ["value"] * 100]
    with pytest.raises(JavaScriptError) as failed:
        await javascript.run(MINE, "reduce", options, lines(group))
    assert failed.value.error == "reduce_overflow_error"
    assert failed.value.message.startswith("Reduce output must shrink more rapidly: input size: ")


# ── a design document's own functions ──────────────────────────────────────────────────────────────────────

USER = orjson.dumps({"db": "d", "name": "ann", "roles": []}).decode()
SECURITY = orjson.dumps({"admins": {"names": [], "roles": []}}).decode()

VALIDATIONS: list[tuple[str, Any]] = [
    ("fine", None),
    ("forbidden", ["forbidden", "no ann"]),
    ("unauthorized", ["unauthorized", "who are you"]),
    ("error", ["TypeError", "oh"]),
    ("text", ["unknown_error", "just text"]),
    ("other", ["unknown_error", "words"]),
    ("mutate", None),
    ("old", ["forbidden", "first"]),
    ("sec", ["forbidden", "nobody"]),
]


async def test_validate_doc_update(javascript: JavaScript) -> None:
    asked = lines(*([{"_id": "a", "how": how}, None] for how, _ in VALIDATIONS))
    answers = await javascript.run(MINE, "validate", {"user": USER, "security": SECURITY}, asked)
    assert answers == [expected for _, expected in VALIDATIONS]


FILTERS: list[tuple[str, list[bool] | tuple[str, str]]] = [
    ("big", [False, True]),
    ("truthy", [True, True]),
    ("throws", ("forbidden", "not you")),
    ("broken", ("TypeError", "cannot read property 'b' of undefined")),
    ("none", ("not_found", "missing filters function none on design doc _design/mine")),
    ("constructor", ("not_found", "missing filters function constructor on design doc _design/mine")),
    ("empty", ("not_found", "missing filters function empty on design doc _design/mine")),
]


@pytest.mark.parametrize(("name", "expected"), FILTERS)
async def test_a_filter(javascript: JavaScript, name: str, expected: Any) -> None:
    options = {"filter": name, "request": orjson.dumps({"query": {"least": "1"}}).decode()}
    run = javascript.run(MINE, "filter", options, lines({"_id": "a", "x": 1}, {"_id": "b", "x": 2}))
    if isinstance(expected, list):
        assert await run == expected
    else:
        with pytest.raises(JavaScriptError) as failed:
            await run
        assert (failed.value.error, failed.value.message) == expected


async def test_a_view_as_a_filter(javascript: JavaScript) -> None:
    run = javascript.run(
        MINE, "filter_view", {"view": "v"}, lines({"_id": "a", "x": 1}, {"_id": "b", "x": 2})
    )
    assert await run == [False, True]


# ── what they cannot do ────────────────────────────────────────────────────────────────────────────────────

NEVER_ENDING = [
    "doc => { while (true) {} }",
    "doc => { while (true) { try { null.x } catch (e) {} } }",
    "doc => { /(a+)+$/.exec('a'.repeat(64) + 'b') }",
    "doc => { let a = []; while (true) { try { a.push(new ArrayBuffer(1 << 20)) } catch (e) {} } }",
    "(() => { while (true) {} })()",
    "doc => { while (true) { try { emit(1, 'x'.repeat(99)) } catch (e) {} } }",
]


@pytest.mark.parametrize("source", NEVER_ENDING)
async def test_a_function_without_end_is_killed(hasty: JavaScript, source: str) -> None:
    began = time.monotonic()
    with pytest.raises(Killed) as failed:
        await rows(hasty, source, {"_id": "a"})
    assert (failed.value.error, failed.value.message) == ("os_process_error", TIMED_OUT)
    assert failed.value.took_too_long
    assert time.monotonic() - began < 15
    assert await rows(hasty, "doc => emit(1)", {"_id": "a"}) == [[[0, 1, None]]]


async def test_nobody_else_waits_for_a_function_without_end(javascript: JavaScript) -> None:
    loop = asyncio.ensure_future(rows(javascript, "doc => { while (true) {} }", {"_id": "a"}))
    other = Program("other", "app/other", b"{}")
    for _ in range(3):
        made = await javascript.run(other, "map", {"maps": ["doc => emit(1)"]}, lines({"_id": "a"}))
        assert made == [[[0, 1, None]]]
    assert not loop.done()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    assert await rows(javascript, "doc => emit(1)", {"_id": "a"}) == [[[0, 1, None]]]


async def test_slow_is_not_without_end(hasty: JavaScript) -> None:
    """Many documents may take long together, as long as each is done in time."""
    slow = "doc => { const end = Date.now() + 30; while (Date.now() < end); emit(1) }"
    found = await rows(hasty, slow, *({"_id": str(i)} for i in range(100)))
    assert found == [[[0, 1, None]]] * 100


async def test_results_come_in_parts(javascript: JavaScript) -> None:
    options = {"maps": ["doc => emit(doc._id)"], "every_ms": 0}
    documents = lines(*({"_id": str(i)} for i in range(5)))
    parts = [part async for part, _ in javascript.stream(MINE, "map", options, documents)]
    assert parts == [*([[[0, str(i), None]]] for i in range(5)), []]


async def test_rows_come_in_parts_of_a_bounded_length(javascript: JavaScript) -> None:
    """Those of one document, too; the documents behind are left when `most` is reached."""
    options = {"maps": ["doc => { for (let i = 0; i < doc.n; i++) emit(i) }"], "most": 1_000_000}
    documents = lines({"n": 3}, {"n": 60_000}, {"n": 2}, {"n": 60_000}, {"n": 5})
    found: list[list[Any]] = [[]]
    async for part, size in javascript.stream(MINE, "map", options, documents, in_pieces=True):
        assert size < 600_000
        for result in part:
            found[-1] += result["more"] if isinstance(result, dict) else result
            if isinstance(result, list):
                found.append([])
    assert [[row[1] for row in rows] for rows in found] == [[*range(n)] for n in (3, 60_000, 2, 60_000, 0)]


async def test_a_document_that_throws_late_has_emitted_nothing(javascript: JavaScript) -> None:
    throws = "doc => { for (let i = 0; i < 60000; i++) emit(i); if (doc.x) throw new Error('late') }"
    options = {"maps": ["doc => emit('one')", throws, "doc => emit('two')"]}
    parts = [
        part async for part, _ in javascript.stream(MINE, "map", options, lines({"x": 1}), in_pieces=True)
    ]
    assert [result for part in parts for result in part] == [[[0, "one", None], [2, "two", None]]]


async def test_answers_are_bounded(javascript: JavaScript, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST_BYTES", 1000)
    options = {"maps": ["doc => emit(1, 'x'.repeat(600))"], "every_ms": 0}
    documents = lines(*({"_id": str(i)} for i in range(5)))
    with pytest.raises(Killed, match="too much"):
        await javascript.run(MINE, "map", options, documents)
    assert len(await javascript.run(MINE, "map", options, documents[:2])) == 2


async def test_more_programs_than_children(javascript: JavaScript) -> None:
    async def one(number: int) -> Any:
        program = Program(str(number), "p", orjson.dumps({"views": {"lib": {"n": f"exports.n = {number}"}}}))
        maps = {"maps": ["doc => emit(require('views/lib/n').n)"]}
        return await javascript.run(program, "map", maps, lines({"_id": "a"}))

    for _ in range(2):
        answers = await asyncio.gather(*(one(n) for n in range(MAX_CHILDREN * 3)))
        assert answers == [[[[0, n, None]]] for n in range(MAX_CHILDREN * 3)]


async def test_no_program_sees_what_another_left(javascript: JavaScript) -> None:
    """They take turns in the same children."""
    leave = "doc => { globalThis.left = 1; Array.prototype.left = 1; emit(1) }"
    look = "doc => emit([typeof left, typeof [].left])"
    for number in range(MAX_CHILDREN):
        program = Program(f"leaves {number}", "p", b"{}")
        await javascript.run(program, "map", {"maps": [leave]}, lines({"_id": "a"}))
    found = await javascript.run(Program("looks", "p", b"{}"), "map", {"maps": [look]}, lines({"_id": "a"}))
    assert found == [[[0, ["undefined", "undefined"], None]]]


async def test_an_idle_child_is_ended() -> None:
    javascript = JavaScript(command(), patience_s=20.0, idle_s=0.0)
    await rows(javascript, "doc => emit(1)", {"_id": "a"})
    process = javascript._children[0].worker._process  # type: ignore[union-attr]
    await asyncio.wait_for(process.wait(), 20)
    assert javascript._children == []
    await javascript.close()
    await _collected()


async def test_a_child_that_dies_between_two_requests(javascript: JavaScript) -> None:
    await rows(javascript, "doc => emit(1)", {"_id": "a"})
    process = javascript._children[0].worker._process  # type: ignore[union-attr]
    process.kill()
    await process.wait()
    assert await rows(javascript, "doc => emit(2)", {"_id": "a"}) == [[[0, 2, None]]]


@pytest.mark.skipif(sys.platform == "win32", reason="not on Windows: it has no alarm for a process")
async def test_a_child_whose_server_was_killed_ends() -> None:
    """Its standard input ends, which a function without end never sees."""
    code = "from localsrv.javascript import child; child.ALONE_S = 0.5; child.main()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    for operation, options, body in (
        (START_OVER, b"{}", b""),
        ("design", b"{}", b"{}"),
        ("map", orjson.dumps({"maps": ["doc => { while (true) {} }"]}), b"{}"),
    ):
        process.stdin.write(frame(REQUEST, b"\n".join((operation.encode(), options, body))))
    process.stdin.close()
    assert await asyncio.to_thread(process.wait, 20) != 0
    process.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: /proc tells what a process was given")
async def test_the_child_is_given_nothing(javascript: JavaScript, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALSRV_TOKEN", "secret")
    await rows(javascript, "doc => emit(1)", {"_id": "a"})
    pid = javascript._children[0].worker._process.pid  # type: ignore[union-attr]
    with open(f"/proc/{pid}/environ", "rb") as file:
        assert file.read().strip(b"\0") == b""
    opened = sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    assert opened == [0, 1, 2]
    with open(f"/proc/{pid}/limits") as file:
        limit = next(line for line in file if line.startswith("Max address space"))
    assert limit.split()[3] == str(1 << 30)
