"""JSON Schema for documents: compiled for speed, explained by the reference implementation on failure.

`fastjsonschema` checks hundreds of thousands of documents a second; its messages do not name what a person
needs, so a failed check is repeated with `jsonschema`. Both are imported only by collections that use them.

Both would run patterns in Python's `re`, where one hostile pair of pattern and text freezes every thread of
the server. So patterns run in RE2 here, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from localsrv.base.errors import ConfigError, InvalidValue, SchemaViolation
from localsrv.model.patterns import compiled


def checker(schema: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], None]:
    """A function that raises SchemaViolation for a document the schema refuses.

    Raises:
        ConfigError: the schema itself is wrong, or refers to anything outside itself.
    """
    import fastjsonschema

    try:
        check = fastjsonschema.compile(dict(schema), handlers=_Nowhere())
        _use_re2(check.__globals__["REGEX_PATTERNS"])
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"The JSON Schema is not valid: {error}",
            details="schema",
            hint="Drafts 4, 6 and 7 are understood; patterns are those of RE2.",
        ) from error

    def run(document: Mapping[str, Any]) -> None:
        try:
            check(document)
        except fastjsonschema.JsonSchemaException as error:
            raise _explained(schema, document, str(error)) from None
        except RecursionError:
            raise SchemaViolation("The collection's schema refers to itself without end.") from None

    return run


class _Nowhere(dict[str, Any]):
    """Handlers of references by URI scheme: every scheme, `file` too, is refused."""

    def __contains__(self, scheme: object) -> bool:
        return True

    def __missing__(self, scheme: str) -> Any:
        return _refuse_remote


def _refuse_remote(uri: str) -> Any:
    raise ConfigError(
        f"The JSON Schema refers to {uri[:200]}: only references inside it are followed.",
        details="schema",
        hint="Copy what it refers to under `definitions`.",
    )


def _use_re2(patterns: dict[str, Any]) -> None:
    """Replaces the compiled patterns of a check, by their own text or by `<format>_re_pattern`."""
    for name, pattern in patterns.items():
        is_format = name.endswith("_re_pattern")
        try:
            patterns[name] = compiled(pattern.pattern.replace(r"\Z", r"\z") if is_format else name, False)
        except InvalidValue as error:
            if not is_format:  # some formats look ahead, in ways that are known not to hang
                raise ConfigError(
                    f"The pattern `{name[:200]}` of the JSON Schema is not valid: {error.message}.",
                    hint=error.hint,
                ) from error


def _explained(schema: Mapping[str, Any], document: Mapping[str, Any], fallback: str) -> SchemaViolation:
    import jsonschema

    best = None
    if not _holds(schema, "patternProperties"):  # which only Python's `re` would look at
        known = jsonschema.validators.validator_for(schema)
        validator = jsonschema.validators.extend(known, {"pattern": _matches})
        best = jsonschema.exceptions.best_match(validator(schema).iter_errors(document))
    if best is None:
        return SchemaViolation(f"The document does not satisfy the collection's schema: {fallback}")
    place = "/".join(map(str, best.absolute_path))
    return SchemaViolation(
        f"The document does not satisfy the collection's schema: {best.message[:300]}",
        details=f"At /{place}." if place else None,
    )


def _matches(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    import jsonschema

    if isinstance(value, str) and compiled(pattern, False).search(value) is None:
        yield jsonschema.ValidationError(f"{value[:100]!r} does not match {pattern!r}")


def _holds(value: Any, name: str) -> bool:
    if isinstance(value, Mapping):
        return name in value or any(_holds(inner, name) for inner in value.values())
    return isinstance(value, list) and any(_holds(inner, name) for inner in value)
