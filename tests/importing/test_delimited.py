"""CSV and TSV: what is found by looking, what is refused, and with which line."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import pytest

from localsrv.base.errors import BadRequest, Conflict
from localsrv.importing.export import export_text
from localsrv.importing.plans import Choices
from localsrv.importing.sources import Options
from tests.importing.support import Held, plan

BIG = "12345678901234567890"

CELLS: dict[str, tuple[list[str], str, list[Any]]] = {
    "integers": (["1", "-5", "0", ""], "integer", [1, -5, 0, None]),
    "leading zeros stay text": (["01", "2"], "text", ["01", "2"]),
    "a plus sign stays text": (["+1", "2"], "text", ["+1", "2"]),
    "minus zero stays text": (["-0", "1"], "text", ["-0", "1"]),
    "whole numbers beyond 2^53 stay text": ([BIG, "1"], "text", [BIG, "1"]),
    "decimals": (["12.50", "3", ""], "decimal", [12.5, 3, None]),
    "decimals beyond doubles": (["0.12345678901234567890"], "decimal", ["0.12345678901234567890"]),
    "scientific notation": (["1e3", "2.5"], "number", [1000.0, 2.5]),
    "numbers with thousands stay text": (["1,000", "2"], "text", ["1,000", "2"]),
    "not a number": (["nan", "1"], "text", ["nan", "1"]),
    "spaces stay": ([" 5", "6"], "text", [" 5", "6"]),
    "booleans": (["true", "false"], "boolean", [True, False]),
    "booleans of spreadsheets": (["TRUE", "FALSE"], "boolean", [True, False]),
    "booleans of two spellings": (["TRUE", "false"], "text", ["TRUE", "false"]),
    "dates": (["2024-02-29", "0001-01-01"], "date", ["2024-02-29", "0001-01-01"]),
    "a date that is none": (["2023-02-29", "2024-01-01"], "text", ["2023-02-29", "2024-01-01"]),
    "timestamps": (["2024-01-01 10:00", "2024-01-01T10:00:00.5"], "timestamp", None),
    "timestamps with zone": (["2024-01-01T10:00:00Z", "2024-01-01 10:00+02:00"], "timestamptz", None),
    "times": (["10:00:00", "23:59:59.5"], "time", None),
    "UUIDs": (["0193a4f0-0000-7000-8000-000000000001"], "uuid", None),
    "nothing at all": (["", ""], "text", [None, None]),
    "emoji and quotes": (['"a ""b"" 😀"', '"two\nlines"'], "text", ['a "b" 😀', "two\nlines"]),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "kind", "values"), CELLS.values(), ids=CELLS.keys())
def test_types_of_columns(cells: list[str], kind: str, values: list[Any] | None, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    quoted = [f'"{c}"' if "," in c and not c.startswith('"') else c for c in cells]
    file.write_text("n,v\n" + "".join(f"{i},{c}\n" for i, c in enumerate(quoted)), newline="")
    held = Held(file, choices=Choices(key=("n",)))
    assert held.collections["t"].field_named("v").type.value == kind  # type: ignore[union-attr]
    found = [held.bodies["t"][str(i)]["v"] for i in range(len(cells))]
    assert found == (values if values is not None else cells)
    assert [type(v) for v in found] == [type(v) for v in (values or cells)]


LAYOUTS = {
    "semicolons": ("a;b\n1;2,5\n", {"a": 1, "b": "2,5"}),
    "tabs": ("a\tb\n1\tx y\n", {"a": 1, "b": "x y"}),
    "bars": ("a|b\n1|2\n", {"a": 1, "b": 2}),
    "Excel's separator line": ("sep=;\r\na;b\r\n1;x\r\n", {"a": 1, "b": "x"}),
    "one column": ("a\nx\n", {"a": "x"}),
    "Windows line ends": ("a,b\r\n1,2\r\n", {"a": 1, "b": 2}),
    "old Mac line ends": ("a,b\r1,2\r", {"a": 1, "b": 2}),
    "no line end at the end": ("a,b\n1,2", {"a": 1, "b": 2}),
    "blank lines": ("a,b\n\n1,2\n\n\n", {"a": 1, "b": 2}),
    "commas in quotes do not confuse": ('a;b\n"x,y,z";"p,q,r"\n', {"a": "x,y,z", "b": "p,q,r"}),
    "names that repeat": ("a,a,A,\n1,2,3,4\n", {"a": 1, "a_2": 2, "A_3": 3, "column_4": 4}),
    "names of the store": ("_id,_x,x,id\n1,2,3,\n", {"id_3": 1, "x_2": 2, "x": 3, "id_2": None}),
    "short rows": ("a,b,c\n1\n", {"a": 1, "b": None, "c": None}),
}


@pytest.mark.parametrize(("text", "document"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_layouts(text: str, document: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(text, newline="")
    [body] = Held(file).bodies["t"].values()
    assert {k: v for k, v in body.items() if k != "_id"} == document


@pytest.mark.parametrize(
    ("encoding", "option"),
    [("utf-8", None), ("utf-8-sig", None), ("utf-16", None), ("cp1252", "cp1252"), ("latin-1", "latin-1")],
)
def test_encodings(encoding: str, option: str | None, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes("näme,v\nGrüße,1\n".encode(encoding))
    [body] = Held(file, Options(encoding=option)).bodies["t"].values()
    assert body["näme"] == "Grüße"


REFUSED = {
    "invalid UTF-8": (b"a,b\n1,2\n3,\xff\n", "invalid-encoding", "line 3, byte 10"),
    "invalid UTF-8 far inside": (
        b"a,b\n" + b"1,\xc3\xa9\n" * 50_000 + b"x,\xc3\n",
        "invalid-encoding",
        "line 50002",
    ),
    "too many cells": (b"a,b\n1,2\n1,2,3\n", "uneven-row", "line 3"),
    "a quote that never closes": (b'a,b\n1,2\n"x,2\n3,4\n', "csv-syntax", "line 3"),
    "text after a quote": (b'a,b\n"x"y,2\n', "csv-syntax", "line 2"),
    "NUL": (b"a,b\nx\x00,2\n", "unknown-format", ""),
    "NUL far inside": (b"a,b\n" + b"1,2\n" * 20_000 + b"x\x00,2\n", "invalid-value", "line 20002"),
    "no header": (b"\n\n", "empty-file", ""),
    "nothing": (b"", "empty-file", ""),
}


@pytest.mark.parametrize(("content", "code", "place"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(content: bytes, code: str, place: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(content)
    with pytest.raises(BadRequest) as caught:
        plan(file)
    assert caught.value.code == code
    assert (caught.value.details or "").startswith(place)


def test_a_cell_without_end_does_not_fill_memory(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    with file.open("wb") as stream:
        stream.write(b'a,b\n"x')
        for _ in range(40):
            stream.write(b"1,2\n" * 250_000)
    with pytest.raises(BadRequest) as caught:
        plan(file)
    assert caught.value.code == "csv-syntax"
    assert caught.value.details == "line 2"


def test_keys(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,b,v\n1,x,1\n1,y,2\n,z,3\n")
    assert plan(file).tables[0].identity == "content"
    with pytest.raises(BadRequest, match="1 lines have no value"):
        plan(file, choices=Choices(key=("a",)))
    with pytest.raises(BadRequest, match="no column `q`"):
        plan(file, choices=Choices(key=("q",)))
    assert list(Held(file, choices=Choices(key=("b",))).bodies["t"]) == ["x", "y", "z"]
    file.write_text("a,v\n1,1\n2,2\n1,3\n")
    with pytest.raises(Conflict, match="lines 2 and 4"):
        plan(file, choices=Choices(key=("a",)))


def test_a_column_called_id_is_the_key_if_it_can_be(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("id,v\n7,1\n8,2\n")
    assert plan(file).collections["t"].key == ("id",)
    file.write_text("id,v\n7,1\n7,2\n")
    found = plan(file)
    assert found.collections["t"].key == ()
    assert found.collections["t"].field_names == ("id_2", "v")


def test_a_collection_that_is_there_gives_its_key(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("sku,v\nA,1\nB,2\n")
    assert plan(file, choices=Choices(known={"t": ("sku",)})).collections["t"].key == ("sku",)
    assert plan(file, choices=Choices(known={"t": ("gone",)})).collections["t"].key == ()


def test_ids_of_rows_without_a_key_are_the_same_every_time(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,b\n1,2\n1,2\n3,4\n")
    first = set(Held(file).bodies["t"])
    assert len(first) == 3
    file.write_text("b,a\n4,3\n2,1\n2,1\n9,9\n")
    assert first < set(Held(file).bodies["t"])


def test_empty_texts_if_asked(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,b,n\nx,,1\n,y,\n")
    bodies = Held(file, choices=Choices(empty_text=True)).bodies["t"].values()
    assert sorted((b["a"], b["b"], b["n"]) for b in bodies if b["n"]) == [("x", "", 1)]
    assert sorted((b["a"], b["b"], b["n"]) for b in bodies if not b["n"]) == [("", "y", None)]


@pytest.mark.parametrize(
    "text",
    [
        'id;price;ok;note\n1;12.50;TRUE;\n2;3.00;FALSE;"a;b"\n',
        "id,when\r\n1,2024-01-01\r\n2,\r\n",
        "id\tv\n1\t007\n2\t1e5\n",
        'id,a,a,\n1,x,"two\nlines","say ""hi"""\n',
        "id,big\n1,0.12345678901234567890\n2,1.5\n",
    ],
)
def test_what_was_imported_is_exported_the_same(text: str, tmp_path: Path) -> None:
    file, out = tmp_path / "t.csv", tmp_path / "out"
    file.write_text(text, newline="")
    held = Held(file)
    with out.open("wb") as stream:
        export_text(stream, held.supplies(), "tsv" if "\t" in text else "csv")
    assert out.read_bytes().decode() == text


def test_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(codecs.BOM_UTF8 + b'"id",v\n1,2\n')
    assert plan(file).collections["t"].key == ("id",)
