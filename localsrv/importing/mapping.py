"""Tables → collections: reads every row once to learn what columns hold, and says what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from localsrv.base.errors import BadRequest, Conflict
from localsrv.importing.constraints import index_groups, linked, sending_order
from localsrv.importing.identity import Seen, digest_of
from localsrv.importing.naming import collection_ids, field_names
from localsrv.importing.plans import STORE_NAMES, Choices, FieldPlan, ImportPlan, TablePlan
from localsrv.importing.profiles import Profile, TableProfile
from localsrv.importing.sql_defaults import default_of
from localsrv.importing.tables import Column, Source, Table
from localsrv.importing.types_of import boolean_spelling, converter, stored_type, text_type
from localsrv.model.schema import Collection, Field, FieldType

Progress = Callable[[str, int], None]
"""Called with a table's name and the rows looked at so far."""

LONGEST_KEY = 450
STEP = 1000


def plan_import(source: Source, choices: Choices, progress: Progress | None = None) -> ImportPlan:
    """What an import of `source` will do. Nothing is written.

    Raises:
        BadRequest, StorageError: the file cannot be read as what it is.
        Conflict: two tables would be one collection, or a chosen key is not unique.
    """
    names = collection_ids([t.name for t in source.tables], choices.renamed)
    tables = [t for t in source.tables if not choices.only or names[t.name] in choices.only]
    if missing := sorted(set(choices.only) - set(names.values())):
        raise BadRequest(
            f"No table becomes the collection `{missing[0]}`.",
            code="unknown-table",
            hint=f"There are {', '.join(f'`{n}`' for n in names.values())}.",
        )
    if choices.key and len(tables) != 1:
        raise BadRequest(
            "--key is for one table, and there are several.",
            code="key-of-several",
            hint="Choose one with --collection.",
        )
    notices: list[str] = []
    plans = [_plan_table(source, t, names[t.name], choices, notices, progress) for t in tables]
    plans = linked(plans, names, notices)
    return ImportPlan(source.format, tuple(sending_order(plans)), (*source.notices, *notices))


def _plan_table(
    source: Source, table: Table, name: str, choices: Choices, notices: list[str], progress: Progress | None
) -> TablePlan:
    known = choices.known.get(name, ())
    if known and not choices.key and not table.primary_key:
        choices = replace(choices, key=_known_key(table, known))
    profile, keys = _read(source, table, choices, progress)
    if known and not profile.columns:
        choices = replace(choices, key=())  # an empty array says nothing of its fields
    said = len(notices)
    columns = table.columns or tuple(Column(c, c) for c in profile.columns if c not in STORE_NAMES)
    key, identity = _key(source, table, profile, keys, choices, notices)
    # Without a key `id` is the row's identity itself, so a column of that name must step aside.
    fields = field_names((c.name for c in columns), avoid=() if key else ("id",))
    plans = tuple(
        _plan_field(
            source, table, column, fields[column.name], profile, column.name in key, choices.empty_text
        )
        for column in columns
    )
    for column in columns:
        if fields[column.name] != column.name:
            notices.append(f"Column `{column.name}` of `{table.name}` becomes `{fields[column.name]}`.")
    _note_losses(table, profile, plans, notices)
    typed = {p.column: p for p in plans if p.kind is not None}
    unique, indexes = index_groups(table, typed, key)
    collection = Collection(
        name=name,
        title=table.name if table.name != name else None,
        fields=tuple(_field(c, typed[c.name]) for c in columns if c.name in typed),
        key=tuple(fields[c] for c in key),
        unique=unique,
        indexes=indexes,
        source=_source(source, table, columns, plans, profile, choices),
    )
    notices[said:] = list(dict.fromkeys(notices[said:]))
    return TablePlan(table, collection, plans, identity, profile.rows)


def _known_key(table: Table, key: tuple[str, ...]) -> tuple[str, ...]:
    """The key of the collection that is there, if the file can have it; JSON shows its columns only later."""
    columns = [c.name for c in table.columns]
    return key if not columns or all(k in columns for k in key) else ()


def _read(
    source: Source, table: Table, choices: Choices, progress: Progress | None
) -> tuple[TableProfile, dict[tuple[str, ...], tuple[int, int] | None]]:
    """The profile, and for each key that might be: the two places of a first duplicate, or None."""
    profile = TableProfile(tuple(c.name for c in table.columns))
    candidates = [choices.key] if choices.key else []
    if not choices.key and not table.primary_key:
        candidates = [("id",)] if not table.columns or any(c.name == "id" for c in table.columns) else []
    if not table.columns:
        candidates.append(("_id",))
    keys: dict[tuple[str, ...], tuple[int, int] | None] = dict.fromkeys(candidates)
    seen = {key: Seen() for key in candidates}
    try:
        for place, row in source.rows(table, with_blobs=False):
            profile.add(row)
            for key in candidates:
                if keys[key] is None and all(row.get(c) is not None for c in key):
                    first, times = seen[key].add(digest_of([str(row[c]) for c in key]), place)
                    if times > 1:
                        keys[key] = (first, place)
            if progress and profile.rows % STEP == 0:
                progress(table.name, profile.rows)
    finally:
        for counter in seen.values():
            counter.close()
    return profile, keys


def _key(
    source: Source,
    table: Table,
    profile: TableProfile,
    keys: dict[tuple[str, ...], tuple[int, int] | None],
    choices: Choices,
    notices: list[str],
) -> tuple[tuple[str, ...], str]:
    """(key columns, identity); see `TablePlan`."""
    word = "rows" if source.format == "sqlite" else "lines"
    if choices.key:
        _check_chosen_key(table, profile, choices.key, keys[choices.key], word)
        return choices.key, "key"
    if table.primary_key:
        problem = key_problem([profile.columns[c] for c in table.primary_key])
        if problem is None:
            return table.primary_key, "key"
        notices.append(
            f"The primary key of `{table.name}` cannot give ids: {problem}. Rows get their own ids."
        )
        return (), "content"
    if not table.columns and "_id" in profile.columns:
        if twice := keys[("_id",)]:
            raise Conflict(
                f"Lines {twice[0]} and {twice[1]} have the same `_id`.",
                code="key-not-unique",
                details=f"line {twice[1]}",
            )
        return (), "id"
    if ("id",) in keys and "id" in profile.columns and profile.rows and keys[("id",)] is None:
        fits = profile.absent("id") == 0 and key_problem([profile.columns["id"]]) is None
        if fits:
            return ("id",), "key"
    return (), "content"


def _check_chosen_key(
    table: Table, profile: TableProfile, key: Sequence[str], twice: tuple[int, int] | None, word: str
) -> None:
    for column in key:
        if column not in profile.columns:
            known = ", ".join(f"`{c}`" for c in profile.columns)
            raise BadRequest(
                f"`{table.name}` has no column `{column}`.", code="unknown-column", hint=f"It has {known}."
            )
        if profile.absent(column):
            raise BadRequest(
                f"`{column}` cannot be a key: {profile.absent(column)} {word} have no value there.",
                code="key-missing",
            )
    if twice:
        raise Conflict(
            f"The key {', '.join(key)} is not unique: {word} {twice[0]} and {twice[1]} have the same.",
            code="key-not-unique",
            details=f"{word} {twice[0]} and {twice[1]}",
            hint="Name further columns: --key a,b",
        )
    if problem := key_problem([profile.columns[c] for c in key]):
        raise BadRequest(f"{', '.join(key)} cannot be a key: {problem}.", code="key-unfit")


def key_problem(columns: Sequence[Profile]) -> str | None:
    """Why values of these columns cannot be ids, or None."""
    for profile in columns:
        if profile.blobs or profile.opaque:
            return "it holds values that are no text"
        if profile.nulls:
            return "it holds NULL"
        if profile.scalars not in (profile.integers, profile.texts):
            return "its values are of several kinds or not whole numbers"
        if len(columns) == 1 and profile.starts_badly:
            return "a value is empty or starts with `_`"
    if sum(profile.longest for profile in columns) > LONGEST_KEY:
        return "a value is too long"
    return None


def _plan_field(
    source: Source, table: Table, column: Column, field: str, profile: TableProfile, is_key: bool, empty: bool
) -> FieldPlan:
    found = profile.columns[column.name]
    attachments = found.blobs + found.opaque
    kind: FieldType | None
    if source.is_textual:
        kind = text_type(found, is_key=is_key)
    else:
        kind = stored_type(found, column.declared, is_json=not table.columns)
        if is_key and found.integers:
            kind = FieldType.INTEGER
        if kind is None and not attachments:
            # Nothing but NULL: BLOB columns are attachments to come, columns without a type are fields.
            kind = None if "BLOB" in column.declared.upper() else FieldType.JSON
        if kind is None and found.opaque:
            kind = FieldType.JSON
        if kind is None and is_key:
            kind = FieldType.TEXT
    convert = converter(kind or FieldType.JSON, is_textual=source.is_textual)
    blank = "" if empty and source.is_textual and kind is FieldType.TEXT and not is_key else None
    return FieldPlan(column.name, field, kind, convert, attachments, profile.absent(column.name), blank)


def _field(column: Column, plan: FieldPlan) -> Field:
    kind = plan.kind or FieldType.JSON
    default, call = default_of(column.default, kind)
    required = column.not_null and not plan.absent and not plan.attachments
    return Field(plan.field, kind, required, default, call)


def _note_losses(table: Table, profile: TableProfile, plans: Sequence[FieldPlan], notices: list[str]) -> None:
    for plan in plans:
        if opaque := profile.columns[plan.column].opaque:
            notices.append(
                f"{opaque} values of `{plan.column}` in `{table.name}` are no JSON (broken text, NUL,"
                " infinity): each is kept as an attachment, and an export gives it back."
            )
    if not table.columns and "_rev" in profile.columns:
        notices.append(f"`_rev` in `{table.name}` is not imported: revisions belong to the store.")


def _source(
    source: Source,
    table: Table,
    columns: Sequence[Column],
    plans: Sequence[FieldPlan],
    profile: TableProfile,
    choices: Choices,
) -> dict[str, Any]:
    """What an export needs to write the file as it was."""
    described = []
    for column, plan in zip(columns, plans, strict=True):
        entry: dict[str, Any] = {"name": column.title, "field": plan.field}
        if source.format == "sqlite":
            entry["type"] = column.declared
        if column.is_generated:
            entry["generated"] = True
        if source.is_textual:
            found = profile.columns[column.name]
            if plan.kind is FieldType.DECIMAL and found.fraction is not None:
                entry["fraction"] = found.fraction
            if plan.kind is FieldType.BOOLEAN and (spelling := boolean_spelling(found)):
                entry["true"] = spelling
        described.append(entry)
    out = {**table.source, "columns": described}
    if choices.empty_text and source.is_textual:
        out["empty"] = "text"
    return out
