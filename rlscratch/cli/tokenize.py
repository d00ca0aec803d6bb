"""Text to tokens and back, and learning a vocabulary.

    rlscratch tokenize "The capital of Georgia is"              the tokens of a text, one a line
    rlscratch tokenize --decode 464 3139                        the text of ids
    rlscratch tokenize --train book.txt --vocab-size 1024 --out tokenizers/book

A text comes from the command line or from standard input.  The tokenizer is the one in --tokenizer: a
folder with our tokenizer.json or with GPT-2's vocab.json and merges.txt.  Without it one is learned on
the spot from the language reference that ships with Python.
"""
import argparse
import json
import sys
from pathlib import Path

from rlscratch import bpe, check
from rlscratch.bpe import Tokenizer
from rlscratch.report.table import table
from rlscratch.train.pretraining import text as texts
from rlscratch.train.run import UNSAID

VOCABULARY = 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `rlscratch tokenize`."""
    parser.add_argument("text", nargs="?", help=f"what to encode; without it, standard input is read{UNSAID}")
    parser.add_argument("--tokenizer", type=Path, metavar="FOLDER",
                        help=f"a folder with tokenizer.json, or with vocab.json and merges.txt{UNSAID}")
    parser.add_argument("--decode", nargs="+", type=int, metavar="ID",
                        help=f"print the text of these ids instead{UNSAID}")
    parser.add_argument("--ids", action="store_true", help="print the ids alone, on one line")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    group = parser.add_argument_group("learning")
    group.add_argument("--train", type=Path, metavar="FILE", help=f"learn a vocabulary from this text{UNSAID}")
    group.add_argument("--vocab-size", type=int, default=VOCABULARY, metavar="V", help="tokens to learn")
    group.add_argument("--special", nargs="+", default=[], metavar="TOKEN",
                       help=f"special tokens, such as '<|end|>'{UNSAID}")
    group.add_argument("--out", type=Path, metavar="FOLDER", help=f"where --train writes tokenizer.json{UNSAID}")


def run(args: argparse.Namespace) -> int:
    """Learn, decode or encode; 0.  Raises ValueError or TypeError for bad arguments."""
    if (args.train is None) != (args.out is None):
        check.fail("--out", args.out and str(args.out), "a folder together with --train, and neither without the other")
    if args.train is not None:
        return _learn(args)
    tokenizer = tokenizer_of(args.tokenizer)
    if args.decode is not None:
        text = tokenizer.decode(args.decode)
        print(json.dumps({"text": text, "ids": args.decode}) if args.json else text)
        return 0
    text = sys.stdin.read() if args.text is None else args.text
    ids = tokenizer.encode(text)
    pieces = [tokenizer.decode([i]) for i in ids]
    if args.json:
        print(json.dumps({"text": text, "ids": ids, "tokens": pieces}))
    elif args.ids:
        print(*ids)
    else:
        print(table(("id", "token"), zip(ids, map(repr, pieces), strict=True)))
        print(f"{len(ids)} tokens, {len(text)} characters, {len(text.encode())} bytes; vocabulary "
              f"{tokenizer.vocab_size}")
    return 0


def tokenizer_of(folder: Path | None) -> Tokenizer:
    """The tokenizer in a folder, GPT-2's two files included; None: learned from Python's language reference."""
    return Tokenizer.train(texts.reference(), VOCABULARY) if folder is None else bpe.load(folder)


def _learn(args: argparse.Namespace) -> int:
    text = texts.read([args.train])
    tokenizer = Tokenizer.train(text, args.vocab_size, args.special)
    tokenizer.save(args.out)
    count, size = len(tokenizer.encode(text)), len(text.encode())
    figures = {"tokenizer": str(args.out), "vocab_size": tokenizer.vocab_size, "merges": len(tokenizer.merges),
               "tokens": count, "bytes": size, "bytes_per_token": round(size / count, 3)}
    print(json.dumps(figures) if args.json else
          f"{args.out}: {tokenizer.vocab_size} tokens; {size} bytes of text are {count} of them, "
          f"{size / count:.2f} bytes each")
    return 0
