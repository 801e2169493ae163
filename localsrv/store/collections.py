"""The collections of an open file: made, changed and dropped, each in a transaction of its own.

What a definition means for the tables is `definitions`; here it becomes what the running store knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from localsrv.base.errors import ConfigError, Conflict, InvalidValue
from localsrv.model.schema import Collection
from localsrv.model.schema_parse import parse_collection
from localsrv.store import definitions
from localsrv.store.catalog import BEGIN, CollectionState, is_design
from localsrv.store.definitions import known
from localsrv.store.engine import Transaction
from localsrv.store.open_file import OpenFile


class Collections:
    """Changes the `states` of a file."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file

    async def define(self, wanted: Mapping[str, Collection]) -> list[str]:
        """See `Database.define`."""
        file = self._file

        def operation(tx: Transaction) -> list[str]:
            states, texts = definitions.define(tx, file.states, wanted)
            for state in states.values():  # a schema that does not compile is refused before it is kept
                _ = state.shape
            tx.after_commit(lambda: file.use(states))
            return texts

        return await file.writer.submit(operation, alone=True)

    async def drop(self, name: str) -> None:
        """See `Database.drop`."""
        file = self._file

        def operation(tx: Transaction) -> None:
            definitions.drop(tx, known(file.states, name), file.states, file.journal.last)
            left = {n: s for n, s in file.states.items() if n != name}
            tx.after_commit(lambda: file.use(left))

        await file.writer.submit(operation, alone=True)

    async def create(self, name: str) -> None:
        """See `Database.create_database`."""
        file = self._file
        try:
            definition = parse_collection(name, {}, couch_name=True)
        except ConfigError as error:
            raise InvalidValue(
                f"`{name[:80]}` cannot be the name of a database.",
                code="invalid-database-name",
                details=name[:80],
                hint="Begin with a letter; only a-z, 0-9 and _ $ ( ) + - / are allowed.",
            ) from error

        def operation(tx: Transaction) -> None:
            if any(state.casefold() == name.casefold() for state in file.states):
                raise Conflict(f"`{name}` exists already.", code="collection-exists", details=name)
            states, _ = definitions.define(tx, file.states, {name: definition})
            begin = file.journal.last
            tx.execute("INSERT INTO localsrv_settings VALUES (?, ?, ?)", (states[name].number, BEGIN, begin))
            states[name].settings = {BEGIN: begin}
            tx.after_commit(lambda: file.use(states))

        await file.writer.submit(operation, alone=True)

    async def make_design(self, name: str, ids: Iterable[str]) -> None:
        """Makes the hidden collection of design documents, if one of `ids` will be the first of them."""
        file = self._file
        if file.collection(name).design is not None or not any(is_design(i) for i in ids):
            return

        def operation(tx: Transaction) -> None:
            state = known(file.states, name)
            if state.design is None:
                design = definitions.create_design(tx, state)
                design.revs_limit = state.revs_limit

                def use() -> None:
                    state.design, file.has_design = design, True

                tx.after_commit(use)

        await file.writer.submit(operation, alone=True)

    async def set_setting(self, name: str, key: str, value: Any) -> None:
        """See `Database.set_setting`."""
        file = self._file

        def operation(tx: Transaction, state: CollectionState) -> None:
            tx.execute(
                "INSERT OR REPLACE INTO localsrv_settings VALUES (?, ?, ?)",
                (state.number, key, json.dumps(value)),
            )

            def use() -> None:
                state.settings = {**state.settings, key: value}
                file.limit_revisions([state])

            tx.after_commit(use)

        await file.write(name, operation)
