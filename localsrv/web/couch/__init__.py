"""The sync face: CouchDB's HTTP API, so that PouchDB, RxDB, LiveSync and CouchDB itself keep in step with us.

Handlers read a request as CouchDB documents it, call the store, and answer by splicing the JSON texts that
the store keeps: no body is parsed to be sent. `routes` lists every route, `errors` is the one renderer,
`answers` makes bodies. What differs from CouchDB is listed in docs/couchdb-compatibility.md.
"""
