"""The data face: PostgREST's dialect over the collections of one app."""
