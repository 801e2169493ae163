"""JSON and NDJSON: the three forms, exact numbers, what is refused and where."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from localsrv.base.errors import BadRequest, Conflict
from localsrv.importing.export import export_text
from localsrv.importing.sources import Options
from tests.importing.support import Held, plan

FORMS = {
    "array": ('[{"a": 1}, {"a": 2}]', {"t": 2}),
    "pretty array": ('[\n  {\n    "a": 1\n  },\n  {"a": 2}\n]\n', {"t": 2}),
    "empty array": ("[]", {"t": 0}),
    "lines": ('{"a": 1}\n\n{"a": 2}\n', {"t": 2}),
    "one object a line, arrays inside": ('{"a": [{"x": 1}]}\n{"a": []}\n', {"t": 2}),
    "one object": ('{"a": 1, "b": [1, 2]}', {"t": 1}),
    "object of arrays": ('{"People": [{"a": 1}], "pets": [{"b": 1}, {"b": 2}], "none": []}',
                         {"people": 1, "pets": 2, "none": 0}),
    "byte order mark": ('\ufeff[{"a": 1}]', {"t": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "counts"), FORMS.values(), ids=FORMS.keys())
def test_forms(text: str, counts: dict[str, int], tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text(text)
    assert {p.collection.name: p.rows for p in plan(file).tables} == counts


NUMBERS = ["1", "1.0", "-0.0", "9007199254740993", "9223372036854775807", "1e300", "0.1", "1.10"]
BIG = ["9223372036854775808", "123456789012345678901234567890", "0.12345678901234567890123", "1e400"]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_stay_numbers(number: str, tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text(f'[{{"_id": "x", "n": {number}}}]')
    value = Held(file).bodies["t"]["x"]["n"]
    assert repr(value) == repr(json.loads(number))


@pytest.mark.parametrize("number", BIG)
def test_numbers_no_machine_holds_keep_every_digit(number: str, tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text(f'[{{"_id": "x", "n": {number}}}, {{"_id": "y", "n": 1.5}}]')
    held = Held(file)
    assert held.bodies["t"]["x"]["n"] == number
    assert held.collections["t"].field_named("n").type.value == "decimal"  # type: ignore[union-attr]
    out = io.BytesIO()
    export_text(out, held.supplies(), "ndjson")
    assert f'"n":{number}}}' in out.getvalue().decode()


def test_types_of_fields(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    rows = [
        {
            "i": 1,
            "f": 1.5,
            "b": True,
            "s": "x",
            "d": "2024-01-01",
            "o": {"a": 1},
            "m": 1,
            "n": None,
            "z": "01",
        },
        {"i": 2, "f": 2, "b": False, "s": "", "d": "2024-01-02", "o": [1], "m": "x", "late": 1, "z": "1"},
    ]
    file.write_text(json.dumps(rows))
    found = {f.name: f.type.value for f in plan(file).collections["t"].fields}
    assert found == {
        "i": "integer", "f": "number", "b": "boolean", "s": "text", "d": "date", "o": "json", "m": "json",
        "n": "text", "z": "text", "late": "integer",
    }  # fmt: skip


REFUSED = {
    "cut off": ('[{"a": 1},\n {"a": 2', "json-syntax", "line 2"),
    "a stray comma": ('[{"a": 1},\n]', "json-syntax", "line 2"),
    "text behind the end": ('[{"a": 1}]\nx', "json-syntax", "line 2"),
    "NaN": ('[\n{"a": NaN}]', "json-syntax", "line 2"),
    "Infinity": ('{"a": 1}\n{"a": -Infinity}', "json-syntax", "line 2"),
    "a name twice": ('[{"a": 1, "a": 2}]', "json-syntax", "line 1"),
    "nested past 100": ("[" + '{"a":' * 101 + "1" + "}" * 101 + "]", "json-syntax", "line 1"),
    "nested past all reason": ("[" * 100_000, "json-syntax", "line 1"),
    "numbers for documents": ("[\n1, 2]", "not-an-object", "line 2"),
    "texts for documents": ('{"a":1}\n"x"\n', "not-an-object", "line 2"),
    "a lone surrogate": ('[{"a": "\\ud800"}]', "invalid-value", "line 1"),
    "NUL": ('[{"a": {"b": ["x\\u0000"]}}]', "invalid-value", "line 1"),
    "NUL in a name": ('[{"a\\u0000": 1}]', "invalid-value", "line 1"),
    "a member that is no array": ('{"items": [{"a": 1}],\n "total": 1}', "not-an-array", "line 2"),
    "an id that is none": ('[{"_id": "_x"}]', "invalid-id", "line 1"),
    "an id that is a number": ('[{"_id": 5}]', "invalid-id", "line 1"),
    "attachments without data": ('[{"_attachments":{"a":{"stub":true}}}]', "attachment-without-data", "line 1"),  # noqa: E501
}  # fmt: skip


@pytest.mark.parametrize(("text", "code", "place"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(text: str, code: str, place: str, tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text(text)
    with pytest.raises(BadRequest) as caught:
        Held(file)
    assert (caught.value.code, caught.value.details) == (code, place)


def test_ids_that_repeat(tmp_path: Path) -> None:
    file = tmp_path / "t.ndjson"
    file.write_text('{"_id":"a"}\n{"_id":"b"}\n{"_id":"a"}\n')
    with pytest.raises(Conflict, match="Lines 1 and 3"):
        plan(file)


def test_one_document_with_arrays_if_said_so(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text('{"items": [{"a": 1}], "total": 1}')
    [body] = Held(file, Options(format="ndjson")).bodies["t"].values()
    assert body["total"] == 1


DOCUMENTS: list[dict[str, Any]] = [
    {"_id": "a", "x": 1, "nested": {"deep": [1, None, "é"]}, "empty": {}},
    {"_id": "b", "x": 1.0, "null": None, "text": ""},
    {"_id": "c", "_attachments": {"f": {"content_type": "text/plain", "data": "aGk="}}},
]


@pytest.mark.parametrize("kind", ["json", "ndjson"])
def test_documents_survive(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"t.{kind}"
    lines = [json.dumps(d) for d in DOCUMENTS]
    file.write_text("\n".join(lines) if kind == "ndjson" else f"[{','.join(lines)}]")
    out = io.BytesIO()
    export_text(out, Held(file).supplies(), kind)
    text = out.getvalue().decode()
    found = json.loads(text) if kind == "json" else [json.loads(line) for line in text.splitlines()]
    assert json.dumps(found) == json.dumps(DOCUMENTS)
