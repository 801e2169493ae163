"""What one document must look like by itself, for writes made here."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from localsrv.base.errors import InvalidValue, SchemaViolation
from localsrv.model.schema import Collection, Field
from localsrv.model.values import EXACT, fitted
from localsrv.store.json_schema import checker


def fields_getter(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """A function that fetches some fields of a document at once.

    It may raise KeyError when one is absent, and is then no faster than asking for each.
    """
    # itemgetter makes one call of many; with fewer than two names it would not give a tuple
    return itemgetter(*names) if len(names) > 1 else lambda document: [document.get(n) for n in names]


class Shape:
    """What one document must look like by itself: types, required fields, strictness, JSON Schema."""

    def __init__(self, definition: Collection, known_fields: Callable[[], frozenset[str]]) -> None:
        """`known_fields` answers the declared fields and all ever seen, as of now."""
        self._name = definition.name
        self._strict = definition.strict
        self._known_fields = known_fields
        self._fields = definition.fields
        self._names = definition.field_names
        self._required = frozenset(
            f.name for f in definition.fields if f.required or f.name in definition.key
        )
        self._all_fields = fields_getter(self._names)
        self._by_value = [f for f in definition.fields if f.type not in EXACT]
        self._good_types: set[tuple[type, ...]] = set()
        self._defaults = [f for f in definition.fields if f.default is not None or f.default_call is not None]
        self._check_schema = checker(definition.json_schema) if definition.json_schema is not None else None

    def with_defaults(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document with declared defaults where fields are absent."""
        for field in self._defaults:
            if field.name not in document:
                document = {**document, field.name: _default(field)}
        return document

    def checked(
        self, document: dict[str, Any], new_fields: set[str] | None = None, *, partial: bool = False
    ) -> dict[str, Any]:
        """The document with its declared fields fitted to their types.

        `new_fields` collects names never seen before in the collection; documents of one request share it.
        `partial` says that the document holds only the fields that change: others may be absent, and the
        JSON Schema is left to `check_schema` on the whole.

        Raises:
            InvalidValue: a value does not fit, or a field name the store cannot take.
            SchemaViolation: a required field is null or absent, an undeclared one in a strict
                collection, or the JSON Schema says no.
        """
        # Most documents of a collection have the same types, so a tuple of types that fitted once is
        # remembered and not looked at field by field again.
        try:
            types = tuple(map(type, self._all_fields(document)))
        except KeyError:
            types = tuple([type(document.get(name)) for name in self._names])
        if types not in self._good_types:
            document = self._fitted(document, types, partial)
        for field in self._by_value:
            if field.name in document:
                value = fitted(field.type, field.name, document[field.name])
                if value != document[field.name]:
                    document = {**document, field.name: value}
        if not document.keys() <= self._known_fields():
            self._check_new_fields(document, set() if new_fields is None else new_fields)
        if not partial:
            self.check_schema(document)
        return document

    def _fitted(self, document: dict[str, Any], types: tuple[type, ...], partial: bool) -> dict[str, Any]:
        clean = not partial
        for field, kind in zip(self._fields, types, strict=True):
            exact = EXACT.get(field.type)
            if exact is not None and kind not in exact:
                clean = False
                value = fitted(field.type, field.name, document[field.name])
                document = {**document, field.name: value}
            if field.name in self._required and document.get(field.name) is None:
                clean = False
                if field.name in document or not partial:
                    raise SchemaViolation(
                        f"null value in field `{field.name}` of `{self._name}`: it is required.",
                        code="required-field",
                        details=f"Field `{field.name}`.",
                    )
        if clean and len(self._good_types) < 1000:
            self._good_types.add(types)
        return document

    def check_schema(self, document: Mapping[str, Any]) -> None:
        """Raises SchemaViolation when the collection's JSON Schema refuses the document."""
        if self._check_schema is not None:
            self._check_schema(document)

    def _check_new_fields(self, document: Mapping[str, Any], new_fields: set[str]) -> None:
        """Looks at field names never seen before, and adds them to `new_fields`."""
        known = self._known_fields()
        names = [n for n in document if n not in known and n not in new_fields]
        if not names:
            return
        folded = {name.casefold(): name for name in (*known, *new_fields)}
        for name in names:
            if self._strict:
                raise SchemaViolation(
                    f"`{self._name}` declares no field `{name[:80]}` and is strict.",
                    code="undeclared-field",
                    hint=f"It has {', '.join(self._names[:20]) or 'none'}.",
                )
            if not name or name.startswith("_") or len(name) > 255 or "\0" in name:
                raise InvalidValue(
                    f"`{name[:80]}` cannot be a field name.",
                    code="invalid-field",
                    hint="A name is 1 to 255 characters, without NUL and not starting with `_`.",
                )
            other = folded.setdefault(name.casefold(), name)
            if other != name:
                raise differs_by_case(name, other)
        new_fields.update(names)


def differs_by_case(name: str, other: str) -> InvalidValue:
    """The error for a field name that SQL could not tell from another."""
    return InvalidValue(
        f"Field `{name[:80]}` differs from `{other[:80]}` only by case.",
        code="invalid-field",
        hint=f"Use `{other[:80]}`.",
    )


def _default(field: Field) -> Any:
    if field.default_call == "now":
        return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if field.default_call == "uuid":
        return str(uuid.uuid4())
    return field.default
