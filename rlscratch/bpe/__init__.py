"""Text as tokens, and back: byte-level BPE, compatible with GPT-2's.

In reading order:

    tokenizer     learning merges, encoding and decoding: Tokenizer
    splitter      where text is cut before any merge: words, mostly, and special tokens
    vocabulary    what a vocabulary may be, and its files
    characters    one token a character, with the same interface: CharacterTokenizer

load(folder) returns the tokenizer that was saved there, of either kind, or GPT-2's own.
"""
from rlscratch.bpe.characters import CharacterTokenizer, load
from rlscratch.bpe.splitter import Splitter
from rlscratch.bpe.tokenizer import Tokenizer, learn_merges

__all__ = ["CharacterTokenizer", "Splitter", "Tokenizer", "learn_merges", "load"]
