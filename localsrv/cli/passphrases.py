"""Where passphrases and secrets come from: a hidden prompt, standard input, or an open file descriptor.
Never an argument, which the shell's history and every process list would show."""

from __future__ import annotations

import os
import sys

import click

from localsrv.base.errors import InvalidValue

MOST_BYTES = 4 << 20

descriptor_option = click.option(
    "--passphrase-fd",
    "descriptor",
    type=click.IntRange(0),
    metavar="N",
    help="Read the passphrase from the open file descriptor N, a line each; 0 is standard input.",
)


def can_ask() -> bool:
    """Whether somebody sits at a terminal."""
    return sys.stdin.isatty()


def passphrases(descriptor: int | None, *questions: str, is_new: bool = False) -> list[str]:
    """An answer to each question; the last one is asked for twice when it `is_new`.

    Raises:
        InvalidValue: the descriptor gives fewer lines, or cannot be read.
        UsageError: nobody can be asked.
    """
    if descriptor is None and not can_ask():
        raise click.UsageError("Nobody can be asked here: give the passphrase with --passphrase-fd.")
    if descriptor is None:
        return [
            ask(question, is_new=is_new and at == len(questions)) for at, question in enumerate(questions, 1)
        ]
    lines = [line.removesuffix("\r") for line in read_descriptor(descriptor).split("\n")]
    if not lines[-1]:
        lines.pop()
    if len(lines) < len(questions):
        raise InvalidValue(
            "Too few lines were given.",
            code="bad-passphrase",
            details=f"{len(lines)} of {len(questions)}",
            hint="A line each: " + ", then ".join(question.lower() for question in questions) + ".",
        )
    return lines[: len(questions)]


def ask(question: str, *, is_new: bool = False, may_be_empty: bool = False) -> str:
    """What a person types without its being shown; twice the same when it `is_new`."""
    answer: str = click.prompt(
        question,
        hide_input=True,
        err=True,
        default="" if may_be_empty else None,
        show_default=False,
        confirmation_prompt="Again" if is_new else False,
    )
    return answer


def read_descriptor(descriptor: int) -> str:
    """All text that an open file descriptor gives. Closes it. Raises InvalidValue."""
    try:
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidValue(
            f"The file descriptor {descriptor} cannot be read: {error.strerror}.",
            code="bad-descriptor",
            hint="Open it in the shell, as in: 3< file.",
        ) from None
    if len(content) > MOST_BYTES:
        raise InvalidValue("This is too long.", code="bad-secret", details=f"over {MOST_BYTES} bytes")
    return as_text(content)


def as_text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidValue(
            "This is not UTF-8 text.",
            code="bad-secret",
            details=f"byte {error.start}",
            hint="Encode what is binary, as base64 does.",
        ) from None
