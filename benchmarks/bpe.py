"""Byte-level BPE: learning a vocabulary and encoding, beside Hugging Face's tokenizers (Rust) if installed.

    python -m benchmarks.bpe [--quick] [--json]

The text is the English reference that ships with CPython, the vocabulary 1024; a second one is 5 MB
of Python's own source, 4,000 merges.  Both sides cut by GPT-2's pattern.  Encoding is timed cold, by a
tokenizer that has met no text, and again on the text just met.  Sides take turns; each figure is the
median of its rounds.  Ties between pairs are broken otherwise there, so the two vocabularies differ.
"""
import argparse
import json
import pydoc_data.topics
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rlscratch.bpe import Tokenizer
from rlscratch.report.table import table

try:
    import tokenizers
except ImportError:
    tokenizers = None

TITLE = "Byte-level BPE, MB of text per second"
VOCABULARY, MERGES, LARGE = 1024, 4000, 5_000_000
# MB/s wanted: the reference's 466 KB learned in 5 times Hugging Face's .15 s; 5 MB learned in 30 s.
LEARN, LEARN_LARGE, ENCODE = 0.466 / (5 * 0.15), 5 / 30, 2.0


def learn(text: str, size: int) -> Tokenizer:
    """Ours."""
    return Tokenizer.train(text, size)


def fresh(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer, before it has met any text."""
    return Tokenizer(tokenizer.vocab, tokenizer.merges)


def learn_there(text: str, size: int) -> "tokenizers.Tokenizer":
    """Hugging Face's."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([text], tokenizers.trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


def fresh_there(tokenizer: "tokenizers.Tokenizer") -> "tokenizers.Tokenizer":
    """The same tokenizer, before it has met any text."""
    return tokenizers.Tokenizer.from_str(tokenizer.to_str())


def rate(text: str, work: Callable[[], object]) -> float:
    """MB (10^6 bytes) of text per second."""
    begin = time.perf_counter()
    work()
    return len(text.encode()) / 1e6 / (time.perf_counter() - begin)


def source_text(length: int) -> str:
    """Python's own source, this many characters if there is as much."""
    text = ""
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        text += path.read_text("utf-8", errors="replace")
        if len(text) >= length:
            break
    return text[:length]


def one_round(text: str, learn: Callable, fresh: Callable) -> dict[str, float]:
    """Learning, encoding cold, encoding again."""
    learned = rate(text, lambda: learn(text, VOCABULARY))
    tokenizer = fresh(learn(text, VOCABULARY))
    cold, again = (rate(text, lambda: tokenizer.encode(text)) for _ in range(2))
    return {"learn 1024 tokens": learned, "encode, first time": cold, "encode again": again}


def measure(quick: bool = False) -> dict:
    """{"title", "rows": [{"what", "rlscratch", "tokenizers", "wanted"}], "bar": {"what", "value", "least", "met"}}."""
    text, large = "".join(pydoc_data.topics.topics.values()), source_text(LARGE)
    sides = {"rlscratch": (learn, fresh)} | ({"tokenizers": (learn_there, fresh_there)} if tokenizers else {})
    speeds = {side: [] for side in sides}
    for n in range(2 if quick else 9):
        for side, functions in sides.items():
            speeds[side].append(one_round(text, *functions))
            if n < (1 if quick else 3):
                speeds[side][n]["learn 4,000 merges, 5 MB"] = rate(large, partial(functions[0], large, 256 + MERGES))
    wanted = {"learn 1024 tokens": LEARN, "encode, first time": ENCODE, "learn 4,000 merges, 5 MB": LEARN_LARGE}
    rows, shares = [], {}
    for what in speeds["rlscratch"][0]:
        here, *there = (statistics.median(one[what] for one in rounds if what in one) for rounds in speeds.values())
        rows.append({"what": what, "rlscratch": round(here, 2), "tokenizers": round(there[0], 2) if there else "",
                     "wanted": round(wanted[what], 2) if what in wanted else ""})
        if what in wanted:
            shares[what] = here / wanted[what]
    slowest = min(shares, key=shares.get)
    bar = {"what": f"{slowest}, times what is wanted", "value": round(shares[slowest], 2), "least": 1,
           "met": shares[slowest] >= 1}
    return {"title": TITLE, "rows": rows, "bar": bar}


def main() -> int:
    """Measure and print; exit status 1 if the bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bpe", description=__doc__.split("\n")[0],
                                     epilog="example: python -m benchmarks.bpe --quick")
    parser.add_argument("--quick", action="store_true", help="fewer rounds; figures are rougher")
    parser.add_argument("--json", action="store_true", help="end with the figures as one line of JSON")
    arguments = parser.parse_args()
    result = measure(arguments.quick)
    rows, bar = result["rows"], result["bar"]
    print(f"{TITLE}\n\n{table(list(rows[0]), [list(row.values()) for row in rows])}\n\n"
          f"{bar['what']}: {bar['value']}, at least {bar['least']} wanted: {'met' if bar['met'] else 'MISSED'}")
    if not tokenizers:
        print("tokenizers is not installed (pip install tokenizers), so there is nothing to compare with.")
    if arguments.json:
        print(json.dumps(result))
    return 0 if bar["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
