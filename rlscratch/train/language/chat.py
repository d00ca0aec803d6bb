"""The chat template: a prompt and an answer as one row of tokens, and back.

    <|user|> p p p <|assistant|> a a <|end|> <|pad|> <|pad|>
        0    0 0 0       0       1 1    1       0       0         mask

The four marks are special tokens, one id each, which no text can write: a prompt or an answer that holds
one is an error, since a user who could write <|assistant|> would put words into the model's mouth.  The
model is trained where the mask is 1, its own end included; what comes in front it only reads.  Padding is
on the right, with an id that is not the end's: a model that has ended must be told from one that has not.

A chat with a tool has two marks more (tasks.tools).  The model writes a call; what stands between <|result|> and
<|assistant|> is the tool's, and its mask is 0, also where a teacher shows how to call:

    <|tool|> c c <|result|> r r <|assistant|> a <|end|>
        1    1 1     1      0 0       0       1    1

A row reads the same whether a teacher wrote the answer or the model itself, so supervised training,
rollouts, reward models and policy gradients all see one path.

A prompt may be a conversation, a Dialogue: a line of the system, and turns that came before.

    <|system|> s s <|user|> p p <|assistant|> a a <|end|> <|user|> p <|assistant|> a a <|end|>
        0      0 0     0    0 0       0       0 0    0       0     0       0       1 1    1       mask
        0      0 0     0    0 0       0       1 1    1       0     0       0       1 1    1       mask where all turns
                                                                                                  are to be imitated

Source: document 002, the phase of supervised fine-tuning; InstructGPT, arXiv:2203.02155, for the roles.
Leaves out: tools, images.
"""
import re
import string
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlscratch import bpe, check
from rlscratch.bpe import CharacterTokenizer, Tokenizer, splitter
from rlscratch.check import Array
from rlscratch.tasks import tools

USER, ASSISTANT, END, PAD = SPECIAL = ("<|user|>", "<|assistant|>", "<|end|>", "<|pad|>")
CALL = re.compile(re.escape(tools.TOOL) + "([^<]*)" + re.escape(tools.RESULT) + "([^<]*)" + re.escape(ASSISTANT))
PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "
SYSTEM = "<|system|>"               # the fifth mark, of tokenizers that are to read lines of the system
WITH_TOOL = (*SPECIAL, tools.TOOL, tools.RESULT)
KINDS = {"characters": CharacterTokenizer, "bpe": Tokenizer}


class Dialogue(str):
    """A prompt of several turns: as a text its transcript, a line a turn.

    It equals what has the same turns, and no text: who writes "assistant:" in a turn of his has not made one.

    turns  (role, what is said): "system" first or not at all, then "user" and "assistant" in turn; "user" is last

    >>> Dialogue([("system", "Be kind."), ("user", "Hello.")])
    'system: Be kind.\\nuser: Hello.'
    """

    turns: tuple[tuple[str, str], ...]

    def __new__(cls, turns: Iterable[tuple[str, str]]) -> "Dialogue":
        try:
            turns = tuple((role, said) for role, said in turns)
        except (TypeError, ValueError):
            check.fail("turns", turns, "pairs of a role and what is said", TypeError)
        if not all(isinstance(said, str) for _, said in turns):
            check.fail("turns", turns, "pairs of a role and what is said, texts both", TypeError)
        roles = [role for role, _ in turns]
        spoken = roles[1:] if roles[:1] == ["system"] else roles
        if spoken != ["user", "assistant"] * (len(spoken) // 2) + ["user"]:
            check.fail("the roles of turns", roles, "an optional system, then user and assistant in turn, user last")
        made = super().__new__(cls, "\n".join(f"{role}: {said}" for role, said in turns))
        made.turns = turns
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dialogue) and self.turns == other.turns

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.turns)

    def __reduce__(self) -> tuple:
        return Dialogue, (self.turns,)


class Rows(NamedTuple):
    """Prompts with answers, padded on the right; a rollout has the same three.

    tokens   (B, T)  ids
    mask     (B, T)  float64, 1 at the answer and its end
    lengths  (B,)    tokens of a row without its padding, so its last token is an answer's
    """

    tokens: Array
    mask: Array
    lengths: Array

    def at(self, index: Array) -> "Rows":
        """The rows at these places, (N,), no wider than they need to be."""
        width = self.lengths[index].max(initial=0)
        return Rows(self.tokens[index, :width], self.mask[index, :width], self.lengths[index])


class Chat:
    """A tokenizer that has the four marks, and the template that uses them.

    Raises ValueError for a tokenizer without them.

    >>> chat = Chat.learn(["cat"], "characters")
    >>> chat.prompt("cat"), chat.answer("act"), chat.text([0, 1, 2, chat.end])
    ([3, 1, 0, 2, 4], [0, 1, 2, 5], 'act')
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        missing = [mark for mark in SPECIAL if mark not in tokenizer.special_tokens]
        if missing:
            check.fail("the special tokens of tokenizer", sorted(tokenizer.special_tokens),
                       f"{', '.join(missing)}, too: the marks of the chat template")
        self.tokenizer = tokenizer
        self.user, self.assistant, self.end, self.pad = (tokenizer.special_tokens[mark] for mark in SPECIAL)
        self.tool, self.result = (tokenizer.special_tokens.get(mark) for mark in (tools.TOOL, tools.RESULT))
        self.system = tokenizer.special_tokens.get(SYSTEM)

    @classmethod
    def learn(cls, texts: Iterable[str], kind: str = "characters", vocab_size: int | None = None,
              marks: Sequence[str] = SPECIAL) -> "Chat":
        """A new tokenizer with the marks, learned from texts.

        kind        "characters", one token each, or "bpe", byte-level
        vocab_size  of "bpe": how many tokens; of "characters": how many there may be, None: as many as it takes
        marks       that it is to have, the four at least; with those of a call all of printable ASCII is learned, for
                    what a tool may say
        """
        check.one_of(tuple(KINDS), kind=kind)
        known = [PRINTABLE] if tools.TOOL in marks else []
        return cls(KINDS[kind].train("\n".join([*texts, *known]), vocab_size, special_tokens=marks))

    @classmethod
    def load(cls, folder: str | Path) -> "Chat":
        """The template of FOLDER/tokenizer.json."""
        return cls(bpe.load(folder))

    def prompt(self, text: str) -> list[int]:
        """The ids that a model goes on from.

        Raises ValueError for a text that holds a mark, or a character that the tokenizer does not know.
        """
        return [token for token, _ in self._asked(text)]

    def answer(self, text: str, own: bool = False) -> list[int]:
        """The ids of a whole answer, its end included.

        own  whether a model wrote it: then a mark in it is that mark, which a model may choose wherever it likes

        Raises as `prompt` does; but where the chat has a tool, whole calls may stand in an answer.
        """
        if not own:
            self._refuse("answer", splitter.text(answer=text) if self.tool is None else CALL.sub(r"\1\2", text))
        return [*self.tokenizer.encode(text), self.end]

    def text(self, ids: Sequence[int]) -> str:
        """The text of an answer, without its end; the inverse of `answer`."""
        ids = check.ids(self.tokenizer.vocab_size, ndim=1, empty=True, ids=ids).tolist()
        return self.tokenizer.decode(ids[:-1] if ids[-1:] == [self.end] else ids)

    def call(self, ids: Sequence[int]) -> str:
        """The text of the call that an answer's ids end with; "" if its beginning is not marked."""
        ids = list(ids)[:-1]
        begin = max((i for i, token in enumerate(ids) if token == self.tool), default=len(ids))
        return self.tokenizer.decode(ids[begin + 1:])

    def heard(self, result: str) -> list[int]:
        """The ids of a result: marks in it are text, and behind it the word is the model's again."""
        return [*self.tokenizer.encode_ordinary(result), self.assistant]

    def asking(self, tool: Callable[[str], str]) -> dict[str, Any]:
        """A tool, from the text of a call to the text of its result, as generate_with_tool takes it."""
        return {"call": self.result, "tool": lambda ids: self.heard(tools.asked(tool, self.call(ids)))}

    def chosen(self, answer: Sequence[int]) -> list[float]:
        """The mask of an answer's ids: 0 at what a tool said."""
        mask, heard = [], False
        for token in answer:
            mask.append(float(not heard))
            heard = token == self.result or (heard and token != self.assistant)
        return mask

    def rows(self, prompts: Sequence[str], answers: Sequence[str], context: int | None = None,
             own: bool = False, every: bool = False) -> Rows:
        """Pairs as rows.

        prompts  B texts
        answers  B texts, each to the prompt beside it
        context  how many tokens a row may have; None: any number
        own      as in `answer`
        every    whether the mask is 1 at the assistant's turns in a Dialogue, too

        Raises ValueError for no pairs, for prompts without an answer, and for a pair that is longer than the context.
        """
        prompts, answers = texts("prompts", prompts), texts("answers", answers)
        if context is not None:
            check.integer(1, context=context)
        if len(answers) != len(prompts):
            check.fail("the number of answers", len(answers), f"{len(prompts)}, one to each prompt")
        asked, said = of_each(self._asked, prompts), of_each(lambda a: self.answer(a, own), answers)
        chosen = {a: self.chosen(ids) for a, ids in said.items()}
        pairs = [(asked[p], said[a]) for p, a in zip(prompts, answers, strict=True)]
        lengths = np.array([len(p) + len(a) for p, a in pairs])
        if context is not None and lengths.max() > context:
            i = int(lengths.argmax())
            check.fail(f"the tokens of answers[{i}], {answers[i]!r}, and its prompt", lengths[i],
                       f"at most {context}, the context of the model")
        tokens, mask = np.full((len(pairs), lengths.max()), self.pad), np.zeros((len(pairs), lengths.max()))
        for row, (p, a) in enumerate(pairs):
            tokens[row, :lengths[row]] = [token for token, _ in p] + a
            mask[row, :lengths[row]] = [every and own_turn for _, own_turn in p] + chosen[answers[row]]
        return Rows(tokens, mask, lengths)

    def _asked(self, prompt: str) -> list[tuple[int, bool]]:
        """The tokens of a prompt, each with whether the assistant said it."""
        marks = {"system": self.system, "user": self.user, "assistant": self.assistant}
        found: list[tuple[int, bool]] = []
        for role, text in prompt.turns if isinstance(prompt, Dialogue) else (("user", prompt),):
            if marks[role] is None:
                check.fail("the special tokens of tokenizer", sorted(self.tokenizer.special_tokens),
                           f"{SYSTEM}, too: the prompt has a line of the system")
            own = role == "assistant"
            found += [(marks[role], False), *((token, own) for token in self._encoded("prompt", text))]
            found += [(self.end, True)] if own else []
        return [*found, (self.assistant, False)]

    def _encoded(self, name: str, text: str) -> list[int]:
        self._refuse(name, splitter.text(**{name: text}))
        return self.tokenizer.encode(text)

    def _refuse(self, name: str, text: str) -> None:
        for mark in (*SPECIAL, SYSTEM, *(() if self.tool is None else (tools.TOOL, tools.RESULT))):
            if mark in text:
                check.fail(name, text, f"a text without {mark}, a mark of the chat template")


def of_each(function: Callable[[str], Any], given: Iterable[str]) -> dict[str, Any]:
    """function(text) by text; of texts that are equal once."""
    found: dict[str, Any] = {}
    for text in given:
        if not isinstance(text, str) or text not in found:          # what is no text is the function's to refuse
            found[text] = function(text)
    return found


def texts(name: str, given: Any) -> list[str]:
    """A list of texts, one at least.  Raises TypeError for a single text, whose characters would pass for texts."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        check.fail(name, given, "a sequence of texts", TypeError)
    given = list(given)
    if not given:
        check.fail(name, given, "at least one text")
    return given
