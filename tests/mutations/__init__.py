"""Proof that tests prove something: defences are taken away one by one, and a test must fail for each."""
