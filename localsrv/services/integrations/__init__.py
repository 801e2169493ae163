"""Calls to outside services on behalf of apps, with secrets that the apps never see.

`registry` holds what the owner set, `credentials` signs requests in, `calls` sends them, `kept` is the cache
of answers.
"""
