"""Calls to outside services on behalf of apps, with secrets that the apps never see.

`registry` holds what the owner set. `calls` decides what one call may do, `exchange` sends its requests,
`credentials` signs them in, `answer` is what the app gets. `kept` is the cache of answers, by the rules of
`kept_rules`.
"""
