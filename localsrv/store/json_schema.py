"""JSON Schema for documents: compiled for speed, explained by the reference implementation on failure.

`fastjsonschema` checks hundreds of thousands of documents a second; its messages do not name what a person
needs, so a failed check is repeated with `jsonschema`. Both are imported only by collections that use them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from localsrv.base.errors import ConfigError, SchemaViolation


def checker(schema: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], None]:
    """A function that raises SchemaViolation for a document the schema refuses.

    Raises:
        ConfigError: the schema itself is wrong, or refers to anything outside itself.
    """
    import fastjsonschema

    def refuse_remote(uri: str) -> Any:
        raise ConfigError(f"The JSON Schema refers to {uri}: only references inside it are followed.")

    try:
        check = fastjsonschema.compile(dict(schema), handlers={"http": refuse_remote, "https": refuse_remote})
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"The JSON Schema is not valid: {error}") from error

    def run(document: Mapping[str, Any]) -> None:
        try:
            check(document)
        except fastjsonschema.JsonSchemaException as error:
            raise _explained(schema, document, str(error)) from None

    return run


def _explained(schema: Mapping[str, Any], document: Mapping[str, Any], fallback: str) -> SchemaViolation:
    import jsonschema

    best = jsonschema.exceptions.best_match(
        jsonschema.validators.validator_for(schema)(schema).iter_errors(document)
    )
    if best is None:
        return SchemaViolation(f"The document does not satisfy the collection's schema: {fallback}")
    place = "/".join(map(str, best.absolute_path))
    return SchemaViolation(
        f"The document does not satisfy the collection's schema: {best.message[:300]}",
        details=f"At /{place}." if place else None,
    )
