"""`make mutations`: takes each defence away in a copy of the tree, and tells which of them no test misses.

First every named test must pass as the tree is. A defence counts as proven when each of its tests then fails
by itself: a test that cannot be collected, or a fixture that breaks, proves nothing.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue

from tests.mutations.defence import Defence
from tests.mutations.table import DEFENCES

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", "node_modules", "dist", "bundle", ".*_cache", ".hypothesis"
)
TEST_SECONDS = 60


def copy_tree(folder: Path) -> Path:
    """A copy of the project whose tests import the copy; what is installed is shared."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
    for installed in (".venv", *(str(p.relative_to(ROOT)) for p in ROOT.glob("tests/**/node_modules"))):
        if (ROOT / installed).exists() and not (tree / installed).exists():
            (tree / installed).symlink_to(ROOT / installed)
    return tree


def run(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """pytest's exit code and output. The tree's own package goes before an installed one."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", "-rfE"]
    done = subprocess.run(
        [*command, f"--timeout={TEST_SECONDS}", *tests],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def unnoticed(tests: Sequence[str], output: str) -> list[str]:
    """Those of the named tests that did not fail; one case of a test with parameters is enough."""
    failed = re.findall(r"^FAILED (\S.*?)(?: - .*)?$", output, re.MULTILINE)
    return [t for t in tests if not any(f == t or f.startswith((f"{t}[", f"{t}::")) for f in failed)]


def outcome(tree: Path, defence: Defence) -> str:
    """What happened without the defence: `proven`, `survived: test`, or what is wrong with the entry."""
    path = tree / defence.file
    whole = path.read_text(encoding="utf-8")
    try:
        path.write_text(defence.taken_away(tree), encoding="utf-8")
        code, output = run(tree, defence.tests)
        missed = unnoticed(defence.tests, output)
        if len(defence.tests) > 1:  # what a failing test leaves behind may break the set-up of the next
            missed = [test for test in missed if unnoticed([test], run(tree, [test])[1])]
        if code > 1:
            return f"broken: pytest ended with {code}\n{output[-1500:]}"
        if missed:
            return f"survived: {', '.join(missed)}\n{output[-600:]}"
    except ValueError as error:
        return f"stale: {error}"
    finally:
        path.write_text(whole, encoding="utf-8")
    return "proven"


def chosen(words: Sequence[str]) -> list[Defence]:
    """Those whose attack, file or tests hold one of the words; all without any."""
    return [
        d for d in DEFENCES if not words or any(w in " ".join((d.attack, d.file, *d.tests)) for w in words)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("words", nargs="*", help="only defences whose attack, file or tests hold a word")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="only list them")
    options = parser.parse_args()
    wanted = chosen(options.words)
    if options.list:
        for defence in wanted:
            print(f"{defence.attack}  [{defence.file}]")
        return 0
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        return tried(wanted, [copy_tree(Path(folder) / str(n)) for n in range(max(1, options.jobs))])


def tried(wanted: Sequence[Defence], trees: Sequence[Path]) -> int:
    """Tries them all, as many at once as there are trees, and tells; 0 when every one is proven."""
    began = time.monotonic()
    code, output = run(trees[0], sorted({test for defence in wanted for test in defence.tests}))
    if code:
        print(f"Not all named tests pass as the tree is:\n{output[-4000:]}")
        return 1
    free: SimpleQueue[Path] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def attempt(defence: Defence) -> str:
        tree = free.get()
        try:
            return outcome(tree, defence)
        finally:
            free.put(tree)

    told: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(len(trees)) as pool:
        for defence, what in zip(wanted, pool.map(attempt, wanted), strict=True):
            told.append(what)
            print(f"{what.partition(':')[0]:9} {defence.attack}  [{defence.file}]", flush=True)
            if what != "proven":
                print(f"          {what}", flush=True)
    proven = told.count("proven")
    print(f"{proven} of {len(told)} defences are missed by their tests, in {time.monotonic() - began:.0f} s.")
    return 0 if proven == len(told) else 1


if __name__ == "__main__":
    sys.exit(main())
