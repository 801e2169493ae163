"""Use cases: what the faces ask for, without HTTP and without SQL."""
