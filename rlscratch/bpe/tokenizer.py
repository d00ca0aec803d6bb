"""Byte-level byte-pair encoding (BPE): learning a vocabulary, text to token ids, ids to text.

A language model reads integers.  The bytes of the text would do, but then its context holds few
words; BPE gives frequent strings of bytes an id of their own and still can write anything.

Learning, from a text:
    1. The first 256 tokens are the bytes.
    2. Cut the text into pieces (rlscratch.bpe.splitter: words, mostly); no token crosses a cut.  Keep
       each different piece once, with the number of its occurrences, as a row of bytes.
    3. Count each pair of neighbouring tokens (a, b) over all pieces.
    4. The most frequent pair becomes the next token, ab; among equals the lexicographically
       greatest pair of byte strings.  Write (a, b) down as a merge.
    5. In every piece, from left to right, put ab where a b stands.
    6. Go on with 3 until the vocabulary is full, or until no piece has two tokens.

Encoding: cut as in 2; in each piece merge the neighbours whose merge was written down first, of
several places the leftmost; repeat until no merge applies.  Decoding: join the bytes of the tokens
and read them as UTF-8.  Ids that a model chose may end within a character: what is no UTF-8 becomes
U+FFFD, the replacement character.

By hand, "she sells sea shells" ("_" is a space), pieces she, _sells, _sea, _shells:

    merge   count   ties with                      she      _sells     _sea    _shells
    _ s       3                                    s h e    _s e l l s _s e a  _s h e l l s
    l s       2     l l, h e, e l, _s e            s h e    _s e l ls  _s e a  _s h e l ls
    l ls      2     h e, e l, _s e                 s h e    _s e lls   _s e a  _s h e lls
    h e       2     e lls, _s e                    s he     _s e lls   _s e a  _s he lls
    _s e      2                                    s he     _se lls    _se a   _s he lls

>>> tokenizer = Tokenizer.train("she sells sea shells", vocab_size=256 + 5)
>>> tokenizer.merges
[(b' ', b's'), (b'l', b's'), (b'l', b'ls'), (b'h', b'e'), (b' s', b'e')]
>>> [tokenizer.vocab[i].decode() for i in tokenizer.encode("she sees shells")]
['s', 'he', ' se', 'e', 's', ' s', 'he', 'lls']

Cost.  A merge changes only the pieces that hold its pair, so an index from pairs to pieces saves
the search in 5, and the counts of 3 are kept up to date, not made again.  Once the merge
that made its younger half is done, a pair's count can only fall; so a heap may hold counts that are
too high, and puts them right when they come up.  The text is cut and counted once; from there on the
work is about linear in the length of the different pieces, whatever the size of the vocabulary.
Encoding a piece of n bytes takes O(n log n), and the ids of frequent pieces are remembered.

Source: document 004, section 2.1; Gage 1994; Sennrich et al. 2016, arXiv:1508.07909, algorithm 1;
        Radford et al. 2019 (bytes, the pattern).  Ties: Hugging Face's trainer takes the pair with
        the smallest ids instead, so from one text the two may learn different merges.
Leaves out: a least count for merges, BPE-dropout, unigram models, normalisation.
"""
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Self

from rlscratch import check
from rlscratch.bpe import splitter, vocabulary
from rlscratch.bpe.splitter import Splitter
from rlscratch.bpe.vocabulary import Described

Merge = tuple[bytes, bytes]

BYTES = [bytes([byte]) for byte in range(256)]
BLOCK = 1 << 16                     # characters that train cuts at a time
KEPT, LONGEST_KEPT = 1 << 13, 64    # pieces whose ids are remembered, and the characters of the longest
MOST_TOKENS = 0x110000              # learn_merges writes a token as one character


# ---------------------------------------------------------------- learning

def learn_merges(counts: Mapping[str, int], number: int) -> list[Merge]:
    """Steps 3 to 6: at most `number` merges, in order.

    counts  the different pieces, each with the number of its occurrences

    >>> learn_merges({"she": 1, " sells": 1, " sea": 1, " shells": 1}, 2)
    [(b' ', b's'), (b'l', b's')]
    """
    # A piece is a string with one character a token, chr(id); so step 5 is str.replace.
    words, times = [piece.encode().decode("latin-1") for piece in counts], list(counts.values())
    count, where = _pairs(words, times)
    tokens, descending = list(BYTES), [_descending(byte) for byte in BYTES]

    def entry(pair: str) -> tuple[int, str, str, str]:
        return -count[pair], descending[ord(pair[0])], descending[ord(pair[1])], pair

    heap = [entry(pair) for pair in count]
    heapq.heapify(heap)
    merges = []
    while heap and len(merges) < number:
        negative, _, _, pair = heap[0]
        if -negative != count[pair]:                        # too high: put right, or dropped if nothing is left
            heapq.heapreplace(heap, entry(pair)) if count[pair] else heapq.heappop(heap)
            continue
        heapq.heappop(heap)
        a, b = (tokens[ord(half)] for half in pair)
        merges.append((a, b))
        # a + b is no token yet: equal bytes between the same cuts have met the same merges, so a token has one pair.
        tokens.append(a + b)
        descending.append(_descending(a + b))
        new, changes = chr(len(tokens) - 1), defaultdict(int)
        for w in set(where.pop(pair)):
            words[w] = words[w].replace(pair, new)
            for changed, sign in _changes(words[w], pair, new):
                changes[changed] += sign * times[w]
                if sign > 0:
                    where[changed].append(w)
        for changed, change in changes.items():
            count[changed] += change
            if change > 0:
                heapq.heappush(heap, entry(changed))
        del count[pair]
    return merges


def _pairs(words: Sequence[str], times: Sequence[int]) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Step 3: the count of each pair, and the indices of the words that hold it, some more than once."""
    count, where = defaultdict(int), defaultdict(list)
    for w, word in enumerate(words):
        for a, b in pairwise(word):
            count[a + b] += times[w]
            where[a + b].append(w)
    return count, where


def _changes(word: str, pair: str, new: str) -> Iterator[tuple[str, int]]:
    """The pairs that a word lost (-1) and won (+1) when `new` replaced `pair` in it."""
    a, b = pair
    at = word.find(new)
    while at >= 0:
        if at:
            before = word[at - 1]
            yield (b if before == new else before) + a, -1
            yield before + new, 1
        after = word[at + 1:at + 2]
        if after and after != new:
            yield b + after, -1
            yield new + after, 1
        at = word.find(new, at + 1)


def _descending(token: bytes) -> str:
    """A string that sorts in the opposite order of the tokens' bytes: a longer token comes before its beginning."""
    return "".join(chr(255 - byte) for byte in token) + "\u0100"


# ---------------------------------------------------------------- the tokenizer

class Tokenizer:
    """A byte-level BPE tokenizer: ids to bytes, merges in the order learned, special tokens.

    vocab           id to bytes: each of the 256 bytes, and what each merge makes; ids may have gaps
    merges          pairs of tokens, the first one first
    special_tokens  strings that are one token wherever they occur, the longest where several begin;
                    one that is not in the vocabulary gets the next free id
    pattern         what a piece is, one of splitter.PATTERNS
    normal_form     of Unicode, into which text is brought first; None: it is taken as it is
    whole_first     whether a piece that is a token is that token, though its merges lead elsewhere

    Attributes: vocab, merges, special_tokens (string to id), vocab_size (the largest id plus 1: the
    rows that a model's embedding needs), words (the special tokens of a file that are text like any
    other, and end no answer).  Raises ValueError or TypeError if the parts do not fit.

    >>> tokenizer = Tokenizer.train("to be or not to be", 256 + 2, ["<|end|>"])
    >>> tokenizer, tokenizer.encode("to<|end|>")
    (Tokenizer(258 tokens, 1 merges, 1 special), [256, 257])
    """

    words: frozenset[str] = frozenset()

    def __init__(self, vocab: Mapping[int, bytes], merges: Iterable[Merge], special_tokens: Iterable[str] = (), *,
                 pattern: str = splitter.GPT2_PATTERN, normal_form: str | None = None,
                 whole_first: bool = False) -> None:
        special_tokens = splitter.special(special_tokens)
        check.one_of(splitter.PATTERNS, pattern=pattern)
        check.one_of((None, "NFC"), normal_form=normal_form)
        self._whole_first = check.one_of((False, True), whole_first=whole_first)
        self._set_vocab(vocabulary.checked_vocab(vocab), special_tokens, Splitter(special_tokens, pattern, normal_form))
        if missing := [byte for byte in BYTES if byte not in self._ids]:
            check.fail("a byte that vocab lacks", missing[0], "all 256 bytes: any text can be met")
        self.merges = vocabulary.checked_merges(merges, self._ids)
        self._bytes = [self._ids[byte] for byte in BYTES]
        self._made = [self._ids[a + b] for a, b in self.merges]
        self._rank = {(self._ids[a], self._ids[b]): rank for rank, (a, b) in enumerate(self.merges)}

    def __repr__(self) -> str:
        return (f"{type(self).__name__}({len(self.vocab)} tokens, {len(self.merges)} merges, "
                f"{len(self.special_tokens)} special)")

    def _set_vocab(self, vocab: dict[int, bytes], special_tokens: Sequence[str], splitter: Splitter) -> None:
        """What every kind of tokenizer has."""
        self._ids = {token: i for i, token in vocab.items()}
        for token in special_tokens:
            if token.encode() not in self._ids:
                self._ids[token.encode()] = max(self._ids.values(), default=-1) + 1
        self.vocab = {i: token for token, i in self._ids.items()}
        self.vocab_size = max(self.vocab) + 1
        self.special_tokens = {token: self._ids[token.encode()] for token in special_tokens}
        self._splitter = splitter
        self._remembered = lru_cache(KEPT)(self._piece)

    @classmethod
    def train(cls, text: str, vocab_size: int, special_tokens: Iterable[str] = ()) -> Self:
        """Learn from a text: ids 0 to 255 are the bytes, then come the merges, then the special tokens.

        vocab_size      at least 256 and the special tokens; a text that runs out of pairs gives fewer
        special_tokens  cut out of the text: nothing is learned from them or across them
        """
        text, special_tokens = splitter.text(text=text), splitter.special(special_tokens)
        least = 256 + len(special_tokens)
        check.integer(least, MOST_TOKENS, vocab_size=vocab_size)
        blocks = (text[start:start + BLOCK] for start in range(0, len(text), BLOCK))
        pieces = Splitter(special_tokens).stream(blocks)
        counts = Counter(chain.from_iterable(pieces))
        for token in special_tokens:
            del counts[token]
        merges = learn_merges(counts, vocab_size - least)
        return cls(dict(enumerate(BYTES + [a + b for a, b in merges])), merges, special_tokens)

    @classmethod
    def from_gpt2(cls, vocab_json: str | Path, merges_txt: str | Path) -> Self:
        """GPT-2's own two files.  What is neither a byte nor made by a merge is special: <|endoftext|>."""
        vocab, merges = vocabulary.read_gpt2(vocab_json, merges_txt)
        ordinary = {*BYTES, *(a + b for a, b in merges)}
        return cls(vocab, merges, [token.decode() for token in vocab.values() if token not in ordinary])

    def with_special(self, special_tokens: Iterable[str]) -> Self:
        """The same tokenizer with more special tokens, which get the next ids; all other ids stay.

        >>> Tokenizer.train("to be or not to be", 256 + 1).with_special(["<|end|>"]).encode("to<|end|>")
        [256, 257]
        """
        more = self._with((*self.special_tokens, *special_tokens))
        more.words = self.words
        return more

    def _with(self, special_tokens: Sequence[str]) -> Self:
        return type(self)(self.vocab, self.merges, special_tokens, pattern=self._splitter.pattern,
                          normal_form=self._splitter.normal_form, whole_first=self._whole_first)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return self._encoded(self._splitter.split(splitter.text(text=text)))

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of a text in which special tokens are text like any other: what a user typed, say.

        >>> Tokenizer.train("", 256 + 1, ["<e>"]).encode_ordinary("<e>")
        [60, 101, 62]
        """
        return [i for piece in self._splitter.ordinary(splitter.text(text=text)) for i in self._ordinary(piece)]

    def encode_iterable(self, texts: Iterable[str]) -> Iterator[int]:
        """encode("".join(texts)), lazily: lines of a file, say, with memory for the longest of them.

        The ids do not depend on where the text is divided, not even within a word or a special token.

        >>> list(Tokenizer.train("", 256 + 1, ["<|end|>"]).encode_iterable(["<|e", "nd|>"]))
        [256]
        """
        return chain.from_iterable(map(self._encoded, self._splitter.stream(iter(texts))))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; bytes that are no UTF-8 become U+FFFD."""
        ids = list(ids)
        if ids:
            ids = check.ids(self.vocab_size, ndim=1, ids=ids).tolist()
        for at, i in enumerate(ids):
            if i not in self.vocab:
                check.fail(f"ids[{at}]", i, "an id of the vocabulary, which has none here")
        return b"".join(map(self.vocab.__getitem__, ids)).decode(errors="replace")

    def save(self, folder: str | Path) -> None:
        """Write FOLDER/tokenizer.json (rlscratch.bpe.vocabulary), atomically."""
        # Special tokens stand there as themselves, or the library would give them ids of its own.  One that reads as an
        # ordinary token does in GPT-2's alphabet stands in the list of special tokens alone.
        apart = {i: token for token, i in self.special_tokens.items() if i not in {*self._bytes, *self._made}}
        words = {vocabulary.visible(token): i for i, token in self.vocab.items() if i not in apart}
        words |= {token: i for i, token in apart.items() if token not in words}
        merges = [f"{vocabulary.visible(a)} {vocabulary.visible(b)}" for a, b in self.merges]
        model = {"type": "BPE", "vocab": words, "merges": merges}
        if self._whole_first:
            model["ignore_merges"] = True
        vocabulary.write(folder, Described(model, self.special_tokens, self.words, self._splitter.pattern,
                                           self._splitter.normal_form))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """What save wrote, or a tokenizer.json from elsewhere that cuts and merges as GPT-2 does."""
        model, special_tokens, words, pattern, normal_form = vocabulary.of_type("BPE", folder)
        vocab = vocabulary.by_id(model["vocab"]) | {i: token.encode() for token, i in special_tokens.items()}
        merges = vocabulary.merges(model.get_as(list, "merges") if "merges" in model else [], str(folder))
        tokenizer = cls(vocab, merges, special_tokens, pattern=pattern, normal_form=normal_form,
                        whole_first=bool(model.get("ignore_merges")))
        tokenizer.words = words
        return tokenizer

    def __getstate__(self) -> dict:
        """What a copy or another process needs: all but what is remembered."""
        return {name: value for name, value in vars(self).items() if name != "_remembered"}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state, _remembered=lru_cache(KEPT)(self._piece))

    def _encoded(self, pieces: Iterable[str]) -> list[int]:
        ids = []
        for piece in pieces:
            ids += self._remembered(piece) if len(piece) <= LONGEST_KEPT else self._piece(piece)
        return ids

    def _piece(self, piece: str) -> tuple[int, ...]:
        return (self.special_tokens[piece],) if piece in self.special_tokens else self._ordinary(piece)

    def _ordinary(self, piece: str) -> tuple[int, ...]:
        whole = self._ids.get(piece.encode()) if self._whole_first else None
        return self._merge(piece.encode()) if whole is None else (whole,)

    def _merge(self, piece: bytes) -> tuple[int, ...]:
        """The ids of one piece: a heap of the merges that may apply, and the tokens as a linked list.

        A token that was merged into the one before it is -1.  An entry whose place has changed
        since it was pushed finds another pair there, or none, and does nothing.
        """
        ids, end, rank_of = [self._bytes[byte] for byte in piece], len(piece), self._rank.get
        before, after = list(range(-1, end - 1)), list(range(1, end + 1))
        heap = [(rank, at) for at, pair in enumerate(pairwise(ids)) if (rank := rank_of(pair)) is not None]
        heapq.heapify(heap)
        while heap:
            rank, at = heapq.heappop(heap)
            right = after[at]
            if right == end or rank_of((ids[at], ids[right])) != rank:
                continue
            ids[at], ids[right], after[at] = self._made[rank], -1, after[right]
            left, right = before[at], after[at]
            if right < end:
                before[right] = at
                if (rank := rank_of((ids[at], ids[right]))) is not None:
                    heapq.heappush(heap, (rank, at))
            if left >= 0 and (rank := rank_of((ids[left], ids[at]))) is not None:
                heapq.heappush(heap, (rank, left))
        return tuple(i for i in ids if i >= 0)
