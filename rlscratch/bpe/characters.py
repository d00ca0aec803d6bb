"""One token a character: the simplest tokenizer, with the interface of rlscratch.bpe.

The ids of a text are the places of its characters in the vocabulary, so a text of n characters has
n ids and a model sees every letter.  That is what spelling tasks and small models want: the
vocabulary is tens of rows, and no merge hides a letter.  The price is context: a token of GPT-2
stands for three or four characters of English.

Where byte-level BPE can write any text, this vocabulary is closed: a character that training did
not meet is an error, never a stand-in that decodes to something else.

>>> letters = CharacterTokenizer.train("hello", special_tokens=["<|end|>"])
>>> letters.encode("hole<|end|>"), letters.decode([1, 0, 2, 3])
([1, 3, 2, 0, 4], 'helo')

A character is a code point of Unicode: an accent that follows its letter has a token of its own.
"""
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from rlscratch import check
from rlscratch.bpe import splitter, vocabulary
from rlscratch.bpe.splitter import Splitter
from rlscratch.bpe.tokenizer import Tokenizer
from rlscratch.bpe.vocabulary import Described

ANY_CHARACTER = r"[\s\S]"
GPT2_FILES = ("vocab.json", "merges.txt")


class UnknownCharacter(ValueError):
    """A text holds a character that no token stands for."""

    def __init__(self, character: str, size: int) -> None:
        super().__init__(f"a character of the text is {character!r}; expected one of the vocabulary's {size} tokens")
        self.character, self.size = character, size


class CharacterTokenizer(Tokenizer):
    """A tokenizer whose tokens are characters.

    characters      a string (or strings of one character), each once; the first has id 0
    special_tokens  strings that are one token wherever they occur; their ids follow the characters'
    """

    def __init__(self, characters: Iterable[str], special_tokens: Iterable[str] = ()) -> None:
        special_tokens, known = splitter.special(special_tokens), {}
        for i, character in enumerate(characters):
            name = f"characters[{i}]"
            splitter.text(character=character, called=name)
            if len(character) != 1 or character in known or character in special_tokens:
                check.fail(name, character, "one character, not among those before it nor a special token")
            known[character] = i
        if not known:
            check.fail("characters", characters, "at least one character")
        vocab = {i: character.encode() for character, i in known.items()}
        self._set_vocab(vocab, special_tokens, Splitter(special_tokens, ANY_CHARACTER))
        self.merges = []

    @classmethod
    def train(cls, text: str, vocab_size: int | None = None, special_tokens: Iterable[str] = ()) -> Self:
        """The characters of a text, in the order of their code points, then the special tokens.

        vocab_size  how many tokens there may be; None: as many as it takes
        """
        special_tokens = splitter.special(special_tokens)
        pieces = Splitter(special_tokens, ANY_CHARACTER).split(splitter.text(text=text))
        characters = sorted(set(pieces) - set(special_tokens))
        if not characters:
            check.fail("text", text, "a character besides special tokens")
        if vocab_size is not None:
            check.integer(len(characters) + len(special_tokens), vocab_size=vocab_size)
        return cls(characters, special_tokens)

    def save(self, folder: str | Path) -> None:
        """Write FOLDER/tokenizer.json (rlscratch.bpe.vocabulary), atomically."""
        words = {token.decode(): i for i, token in self.vocab.items()}
        model = {"type": "WordLevel", "vocab": words, "unk_token": ""}
        vocabulary.write(folder, Described(model, self.special_tokens, self.words))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """What save wrote."""
        model, special_tokens, words, *_ = vocabulary.of_type("WordLevel", folder)
        in_order = sorted(model["vocab"], key=lambda word: model["vocab"].get_as(int, word))
        tokenizer = cls([word for word in in_order if word not in special_tokens], special_tokens)
        tokenizer.words = words
        for word, i in (model["vocab"] | special_tokens).items():
            if tokenizer._ids[word.encode()] != i:
                check.fail(f"the id of {word!r} in {folder}", i, f"{tokenizer._ids[word.encode()]}, its place")
        return tokenizer

    def _with(self, special_tokens: Sequence[str]) -> Self:
        known = (token.decode() for _, token in sorted(self.vocab.items()))
        return type(self)([token for token in known if token not in self.special_tokens], special_tokens)

    def _piece(self, piece: str) -> tuple[int, ...]:
        return self._ordinary(piece)

    def _ordinary(self, piece: str) -> tuple[int, ...]:
        if piece.encode() not in self._ids:
            raise UnknownCharacter(piece, self.vocab_size)
        return (self._ids[piece.encode()],)


def load(folder: str | Path) -> Tokenizer:
    """The tokenizer of FOLDER/tokenizer.json, of either kind, or else of GPT-2's two files."""
    folder = Path(folder)
    if (folder / "tokenizer.json").exists():
        kind = CharacterTokenizer if vocabulary.read(folder).model["type"] == "WordLevel" else Tokenizer
        return kind.load(folder)
    if all((folder / name).exists() for name in GPT2_FILES):
        return Tokenizer.from_gpt2(*(folder / name for name in GPT2_FILES))
    check.fail("the folder of the tokenizer", str(folder),
               "one that holds tokenizer.json, or " + " and ".join(GPT2_FILES))
