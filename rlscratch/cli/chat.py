"""A conversation with a trained model in the terminal: rlscratch sample --chat.

What was said before stands in front of a question as rows of the chat template, and a line of the system in front of
all, behind its mark if the model has learned to read it:

    <|system|> s s <|user|> u u <|assistant|> a a <|end|> <|user|> u u u <|assistant|>

A model without marks has learned to go on from a text, and goes on from all that was said.

When the context is full the oldest is left out, whole turns of the template, so that an answer has room.
"""
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.bpe import Tokenizer
from rlscratch.generate import stream
from rlscratch.train.language.chat import Chat, Dialogue

LONGEST = 200       # tokens of an answer where nobody asked for another number
FULL = "rlscratch: the context is full; from here on the oldest of what was said is left out"
UNFINISHED = "\ufffd"   # what a tokenizer of bytes says for the first half of a letter


class Conversation:
    """What was said, and the ids that a model goes on from.

    system  stands in front of the first text that is asked, and of the first that is left when others were cut
    shorter  whether something was cut
    """

    def __init__(self, model: Any, tokenizer: Tokenizer, template: Chat | None = None,
                 system: str | None = None) -> None:
        self.model, self.tokenizer, self.template, self.system = model, tokenizer, template, system
        self.said: list[tuple[str, list[int]]] = []             # texts, and the answers to them
        self.shorter = False

    def asked(self, text: str, length: int | None = None) -> tuple[list[int], int]:
        """The ids with a new text at their end, and how many may follow: `length`, or what there is room for.

        Raises ValueError for a text that the tokenizer does not know or that does not fit.
        """
        context, turns = self.model.config.context, len(self.said)
        longest = max(1, min(LONGEST, context // 4)) if length is None else check.integer(1, max_new_tokens=length)
        most = context - longest
        if self.template is None:                               # a text may begin anywhere
            whole = self._ids(0, text)
            ids = whole[-max(1, most):]
            self.shorter |= len(ids) < len(whole)
        else:
            first = next((n for n in range(turns) if len(self._ids(n, text)) <= most), turns)
            ids = self._ids(first, text)
            self.shorter |= first > 0
        if len(ids) >= context:
            check.fail("the number of tokens of the text", len(ids), f"at most {context - 1}, for the model's context "
                       f"is {context}")
        if not ids:
            check.fail("the text", text, "at least one token; a model continues something")
        return ids, min(LONGEST, context - len(ids)) if length is None else length

    def answered(self, text: str, answer: list[int]) -> None:
        """Remember a turn."""
        if self.template and answer[-1:] != [self.template.end]:
            answer = [*answer, self.template.end]
        self.said.append((text, answer))

    def text(self, answer: list[int], stop: list[int]) -> str:
        """An answer as text, without its end."""
        return self.tokenizer.decode(answer[:-1] if answer and answer[-1] in stop else answer)

    def _ids(self, first: int, text: str) -> list[int]:
        """Everything from turn `first` on."""
        turns, ids = [*self.said[first:], (text, [])], []
        for i, (asked, answer) in enumerate(turns):
            if i == 0 and self.system is not None:
                marked = self.template is not None and self.template.system is not None
                asked = (Dialogue([("system", self.system), ("user", asked)]) if marked
                         else f"{self.system}\n{asked}")
            ids += (self.tokenizer.encode(asked) if self.template is None else self.template.prompt(asked)) + answer
        return ids


def talk(conversation: Conversation, draw: Callable[..., Iterator[int]] = stream, *, stop: list[int],
         length: int | None, rng: np.random.Generator, **knobs: Any) -> int:
    """Read, answer, until nothing comes any more; the exit status.  Arguments as `draw` has them: generate.stream."""
    told = False
    for line in _lines():
        try:
            ids, room = conversation.asked(line, length)
            drawn = draw(conversation.model, ids, max_new_tokens=room, stop=stop, rng=rng, **knobs)
        except (ValueError, TypeError) as wrong:
            if not sys.stdin.isatty():
                raise
            print(f"rlscratch: {wrong}", file=sys.stderr)
            continue
        if conversation.shorter and not told:
            told = True
            print(FULL, file=sys.stderr)
        conversation.answered(line, _say(drawn, lambda answer: conversation.text(answer, stop)))
    return 0


def _say(drawn: Iterator[int], text: Callable[[list[int]], str]) -> list[int]:
    """Print an answer while it is drawn; its ids.  Ctrl-C ends it where it is."""
    answer: list[int] = []
    said = ""
    try:
        for token in drawn:
            answer.append(token)
            whole = text(answer).rstrip(UNFINISHED)
            print(whole[len(said):], end="", flush=True)
            said = whole
    except KeyboardInterrupt:
        pass
    print(text(answer)[len(said):], flush=True)
    return answer


def _lines() -> Iterator[str]:
    """What is typed, line by line, to its end or to two empty lines; a single one is passed over."""
    empty = False
    while True:
        try:
            line = input("> ") if sys.stdin.isatty() else next(sys.stdin)
        except (EOFError, StopIteration, KeyboardInterrupt):
            if sys.stdin.isatty():
                print()
            return
        line = line.rstrip("\r\n")
        if line:
            yield line
        elif empty:
            return
        empty = not line
