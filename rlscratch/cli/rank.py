"""People rank answers in their browsers, and a file keeps what they say, as --preferences reads it.

    rlscratch rank --prompts asked.jsonl                             answers are in the file, as `completions`
    rlscratch rank --prompts asked.jsonl --run-dir runs/sft          a model answers, the same with the same --seed
    rlscratch rank --prompts asked.jsonl --host 0.0.0.0              for others in the room: with a token in the address

Each person gives a name.  Every judgement is on the disk before the next prompt is shown.  The same command goes on
where people stopped; Ctrl-C ends it.
"""
import argparse
import json
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from rlscratch import check
from rlscratch.cli.chat import LONGEST
from rlscratch.cli.sample import model_of
from rlscratch.cli.tokenize import tokenizer_of
from rlscratch.report.rank import judgements
from rlscratch.report.rank.judgements import Judgements, Question
from rlscratch.report.rank.server import Server
from rlscratch.train.language import chat
from rlscratch.train.language.policy import Policy
from rlscratch.train.run import UNSAID

ROUNDS = 8                      # of drawing answers until enough of them differ


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `rlscratch rank`."""
    parser.add_argument("--prompts", type=Path, required=True, metavar="FILE", help="lines "
                        '{"prompt": "..."}, with "completions": [...] where no model is to answer' + UNSAID)
    parser.add_argument("--out", type=Path, default=Path("rankings.jsonl"), metavar="FILE",
                        help="where judgements go, a line each; what is there stays")
    parser.add_argument("--host", default="127.0.0.1", help="the address to serve at; one that others can reach gets a "
                        "random token")
    parser.add_argument("--port", type=int, default=8000, help="0: one that is free")
    parser.add_argument("--seed", type=int, default=0, help="of answers and of the order in which they are shown")
    parser.add_argument("--quiet", action="store_true", help="no notes on standard error")
    parser.add_argument("--json", action="store_true", help="print the address as one JSON object")
    group = parser.add_argument_group("where a model answers")
    group.add_argument("--run-dir", type=Path, metavar="FOLDER", help=f"of a run that answers prompts{UNSAID}")
    group.add_argument("--answers", type=int, default=4, metavar="K", help="to one prompt; fewer where a model repeats")
    group.add_argument("--temperature", type=float, default=1.0, metavar="T", help="of sampling, above 0")
    group.add_argument("--max-new-tokens", type=int, metavar="N",
                       help=f"longest answer (default: what the context has room for, at most {LONGEST}){UNSAID}")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C; 130.  Raises ValueError or TypeError for bad arguments, RuntimeError for a port in use."""
    check.integer(0, seed=args.seed, called="--seed")
    check.integer(2, answers=args.answers, called="--answers")
    asked = list(_answered(args, judgements.questions(args.prompts)))
    kept = [question for question in asked if len(question.completions) > 1]
    if not kept:
        check.fail("--temperature", args.temperature, f"a higher one, such as 4: to each of the {len(asked)} prompts "
                   f"the model has one answer alone, as to {asked[0].prompt!r:.40}, and two are needed to rank")
    if len(kept) < len(asked) and not args.quiet:
        print(f"rlscratch: left out: {len(asked) - len(kept)} prompts to which all answers are equal", file=sys.stderr)
    found = Judgements(args.out, kept, args.seed)
    try:
        with Server(found, args.host, args.port) as server:
            told = {"address": server.address, "prompts": len(kept), "judgements": found.count, "out": str(args.out)}
            print(json.dumps(told) if args.json else
                  f"{server.address}   {len(kept)} prompts to rank; {args.out} has {found.count} judgements, and gets "
                  "more; Ctrl-C ends it", flush=True)
            server.serve_forever()
    except KeyboardInterrupt:
        found.close()
        print(f"rlscratch: interrupted; {args.out} has {found.count} judgements of {len(found.said)} people, and the "
              "same command goes on from there", file=sys.stderr)
        return 130
    finally:
        found.close()
    return 0


def _answered(args: argparse.Namespace, asked: list[Question]) -> Iterator[Question]:
    """The questions, each with answers: its own, or the model's, which do not depend on what else is asked."""
    check.temperature(temperature=args.temperature)
    if args.max_new_tokens is not None:
        check.integer(1, max_new_tokens=args.max_new_tokens)
    if all(question.completions for question in asked):
        if args.run_dir is not None:
            check.fail("--run-dir", str(args.run_dir), "no model: the file has all answers")
        yield from asked
        return
    if args.run_dir is None:
        check.fail("--run-dir", None, f"a run that answers the prompts of {args.prompts}, or completions in every line")
    policy = _policy(args, [question.prompt for question in asked if not question.completions])
    for question in asked:
        answers = dict.fromkeys(question.completions)
        for n in range(0 if answers else ROUNDS):
            rng = np.random.default_rng([args.seed, zlib.crc32(question.prompt.encode()), n])
            if len(answers) < args.answers:             # a mark of the template in an answer belongs in no file
                answers |= {text: None for text in policy.answer([question.prompt] * args.answers, rng).texts
                            if not any(mark in text for mark in chat.SPECIAL)}
        yield replace(question, completions=tuple(answers)[:None if question.completions else args.answers])


def _policy(args: argparse.Namespace, prompts: list[str]) -> Policy:
    """The model of a run, as it is asked.  Raises ValueError for one that has learned no chat template."""
    model, tokenizer = model_of(args.run_dir), tokenizer_of(args.run_dir)
    if not set(chat.SPECIAL) <= set(tokenizer.special_tokens):
        check.fail("--run-dir", str(args.run_dir), "a run that answers prompts, such as one of rlscratch train sft")
    template = chat.Chat(tokenizer)
    room = model.config.context - max(len(template.prompt(prompt)) for prompt in prompts)
    length = min(LONGEST, room) if args.max_new_tokens is None else args.max_new_tokens
    check.integer(1, max(1, room), max_new_tokens=length, called="--max-new-tokens")
    return Policy(model, template, length, args.temperature)
