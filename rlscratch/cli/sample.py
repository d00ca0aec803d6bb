"""A trained model's answers to a prompt.

    rlscratch sample --run-dir runs/pretrain --prompt "The while statement" --temperature 0.8 --top-p 0.95
    rlscratch sample --prompt "The" --beams 4                      the likeliest continuations
    rlscratch sample --run-dir gpt2 --prompt "The capital of Georgia is" --temperature 0
    rlscratch sample --run-dir runs/grpo --prompt Ubiquitous --n 4                 a model that answers
    rlscratch sample --run-dir runs/sft                                            a chat, in a terminal

The folder is that of a run, or one that transformers wrote for a GPT-2, a Llama or a Qwen2 (config.json,
model.safetensors or its shards, and the tokenizer's vocab.json and merges.txt, or tokenizer.json).  Special tokens of
the tokenizer end an answer.

A tokenizer with the marks of the chat template belongs to a model that was trained on prompts and answers
(rlscratch train sft and what follows).  It is prompted as it was in training, through the template; its end mark, and
no other, ends an answer, and the answer alone is printed.  Where it has learned to call a tool, the tool of its task is
asked, or another one (--tool), and the results stand in the answer.
"""
import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rlscratch import check, checkpoint
from rlscratch.bpe import Tokenizer
from rlscratch.cli.chat import LONGEST, Conversation, talk
from rlscratch.cli.tokenize import tokenizer_of
from rlscratch.files import read_json
from rlscratch.generate import Within, beam_search, generate, generate_with_tool, stream, stream_with_tool
from rlscratch.generate.filters import ORDERS
from rlscratch.train import from_file
from rlscratch.train.language import chat, worlds
from rlscratch.train.language.chat import Chat
from rlscratch.train.model_run import command_of
from rlscratch.train.run import UNSAID
from rlscratch.transformer import Transformer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `rlscratch sample`."""
    parser.add_argument("--run-dir", type=Path, default=Path("runs/pretrain"), metavar="FOLDER",
                        help="a run's folder, or a GPT-2, Llama or Qwen2 of Hugging Face")
    parser.add_argument("--tokenizer", type=Path, metavar="FOLDER",
                        help=f"where the tokenizer is, if not in that folder{UNSAID}")
    parser.add_argument("--prompt", help="what the model goes on from (default: a line break); to a model that was "
                        f"trained on prompts and answers, what is asked: it goes through the chat template{UNSAID}")
    parser.add_argument("--chat", action="store_true", help="several turns from standard input, until its end (Ctrl-D) "
                        "or two empty lines; in a terminal this is what happens without --prompt")
    parser.add_argument("--system", metavar="TEXT", help="said before all else: the template has no mark for it, so it "
                        f"is written in front of the first text that the model is asked, on a line of its own{UNSAID}")
    parser.add_argument("--n", type=int, default=1, metavar="N", help="number of answers")
    parser.add_argument("--max-new-tokens", type=int, metavar="N",
                        help=f"longest answer (default: what the context has room for, at most {LONGEST}){UNSAID}")
    parser.add_argument("--stop", nargs="+", default=[], metavar="TOKEN",
                        help=f"tokens that end an answer, too{UNSAID}")
    parser.add_argument("--tool", metavar="FILE.py:NAME", help="what the answers' calls are given to, a function of a "
                        f"call's text that returns the result's (default: the tool of the run's task){UNSAID}")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same answers")
    parser.add_argument("--quiet", action="store_true", help="no speed on standard error")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    group = parser.add_argument_group("the knobs")
    group.add_argument("--temperature", type=float, default=1.0, metavar="T",
                       help="below 1 careful, above 1 wild, 0 the likeliest token")
    group.add_argument("--top-k", type=int, metavar="K", help=f"only the K likeliest tokens{UNSAID}")
    group.add_argument("--top-p", type=float, metavar="P", help=f"only the likeliest that hold P of the mass{UNSAID}")
    group.add_argument("--min-p", type=float, metavar="P", help=f"only those with P times the largest{UNSAID}")
    group.add_argument("--repetition-penalty", type=float, default=1.0, metavar="C",
                       help="above 1, tokens of the text so far become less likely")
    group.add_argument("--order", choices=tuple(ORDERS), default="document", help="order of penalty and top-k")
    group.add_argument("--beams", type=int, metavar="B",
                       help=f"search for the B best answers instead of sampling{UNSAID}")
    group.add_argument("--length-penalty", type=float, default=1.0, metavar="A",
                       help="beams are ranked by log-probability / length^A")


def run(args: argparse.Namespace) -> int:
    """Load, sample, print; 0.  Raises ValueError or TypeError for bad arguments."""
    check.integer(1, n=args.n, called="--n")
    check.integer(0, seed=args.seed, called="--seed")
    model = model_of(args.run_dir)
    tokenizer = tokenizer_of(args.tokenizer or args.run_dir)
    if tokenizer.vocab_size > model.config.vocab_size:
        check.fail("the vocabulary of the tokenizer", tokenizer.vocab_size,
                   f"at most {model.config.vocab_size} tokens, as the model has")
    if len(tokenizer.vocab) < model.config.vocab_size:      # rows of the embedding that stand for no token
        model = Within(model, tokenizer.vocab)
    template = Chat(tokenizer) if set(chat.SPECIAL) <= set(tokenizer.special_tokens) else None
    stop, tool = _stop(tokenizer, template, args.stop), _tool(args, template)
    if _chats(args):
        draw = stream if tool is None else partial(stream_with_tool, **tool)
        return talk(Conversation(model, tokenizer, template, args.system), draw, stop=stop, length=args.max_new_tokens,
                    rng=np.random.default_rng(args.seed), **_knobs(args))
    shown, prompt = _prompt(tokenizer, template, args.prompt)
    if args.system is not None:
        shown, prompt = _prompt(tokenizer, template, f"{args.system}\n{shown}")
    length = args.max_new_tokens
    if length is None:
        length = max(1, min(LONGEST, model.config.context - len(prompt)))
    _, shared, wide, _ = model.config.sizes
    rows, each = args.beams or args.n, 8 * model.config.layers * shared * wide      # keys and values of a token
    longest = min(len(prompt) + length, model.config.context)                       # more is refused by its own name
    check.memory(rows * each * longest, rows=rows, called="--beams" if args.beams else "--n")
    begin = time.perf_counter()
    rollout, scores = _answers(args, model, prompt, tool, {"max_new_tokens": length, "stop": stop})
    seconds = time.perf_counter() - begin
    answers = [{"text": tokenizer.decode(answer[:-1] if finished else answer), "ids": answer, "reason": reason,
                "logp": row.sum().item(), **({} if scores is None else {"score": scores[i].item()})}
               for i, (answer, finished, reason, row) in enumerate(
                   zip(rollout.replies, rollout.finished, rollout.reasons, rollout.logp, strict=True))]
    if args.json:
        print(json.dumps({"prompt": shown, "answers": answers, "seconds": round(seconds, 3)}))
    elif template:
        print("\n".join(answer["text"] for answer in answers))
    else:
        print("\n\n".join(shown + answer["text"] for answer in answers))
    if not args.quiet:
        count = int(rollout.mask.sum())
        print(f"{count} tokens in {seconds:.2f} s, {count / seconds:,.0f} tokens/s; the answers ended by "
              + ", ".join(rollout.reasons), file=sys.stderr)
    return 0


def model_of(folder: Path) -> Transformer:
    """The model of a run, or of a folder that transformers wrote.  Raises ValueError for one that does not answer."""
    command, saved = command_of(folder), (folder / checkpoint.INDEX).exists()
    expected = None
    if command == "train reward-model":
        expected = "the run of a model that answers; this one gives scores to answers"
    elif command == "rlhf":
        expected = f"the folder of one of its stages, such as {folder / 'ppo'}"
    elif command and not saved and (folder / "state.npz").exists():
        expected = (f"the run of a model that writes text; this is one of rlscratch {command}, whose policy chooses "
                    "actions: its figures are in result.json")
    elif command and not saved:
        expected = "a run that has saved its model; this one has not yet: give its command again with --resume"
    if expected:
        check.fail("--run-dir", str(folder), expected)
    if saved or not (folder / "config.json").exists():
        return checkpoint.load(folder).model
    return checkpoint.from_huggingface(folder)


def _prompt(tokenizer: Tokenizer, template: Chat | None, text: str | None) -> tuple[str, list[int]]:
    """What is asked, and its ids."""
    if template is None:
        text = "\n" if text is None else text
        ids = tokenizer.encode(text)
    elif text is None:
        check.fail("--prompt", text, "a text: this model answers what it is asked")
    else:
        ids = template.prompt(text)
    if not ids:
        check.fail("--prompt", text, "at least one token; a model continues something")
    return text, ids


def _stop(tokenizer: Tokenizer, template: Chat | None, texts: list[str]) -> list[int]:
    """Ids of the special tokens, of the chat template's its end alone, and of texts that are one token each."""
    marks = [i for token, i in tokenizer.special_tokens.items() if token not in tokenizer.words]
    ids = [template.end] if template else marks
    for text in texts:
        one = tokenizer.encode(text)
        if len(one) != 1:
            check.fail("--stop", text, f"a text that is one token; this is {len(one)}")
        ids += one
    return ids


def _tool(args: argparse.Namespace, template: Chat | None) -> dict[str, Any] | None:
    """What the answers may ask, as generate_with_tool takes it; None: nothing."""
    calls = template is not None and template.tool is not None
    if args.tool is not None and not calls:
        check.fail("--tool", args.tool, "nothing: this model has not learned to call one")
    if not calls:
        return None
    config = args.run_dir / "config.json"
    if args.tool is not None:
        tool = from_file.load(args.tool)
        if not callable(tool):
            check.fail("--tool", tool, "a function of the text of a call", TypeError)
    else:
        recipe = worlds.RECIPES.get(str(read_json(config).get("task"))) if config.exists() else None
        tool = recipe and recipe.task().tool
    if tool is not None and args.beams is not None:
        check.fail("--beams", args.beams, "no such option for a model with a tool: a search cannot ask it")
    return tool and template.asking(tool)


def _answers(args: argparse.Namespace, model: Any, prompt: list[int], tool: dict[str, Any] | None,
             options: dict[str, Any]) -> tuple:
    """The rollout, and the beams' scores if it is a search."""
    if args.beams is not None:
        found = beam_search(model, prompt, beams=args.beams, length_penalty=args.length_penalty, **options)
        return found.rollout, found.scores
    draw = generate if tool is None else partial(generate_with_tool, **tool)
    return draw(model, [prompt] * args.n, rng=np.random.default_rng(args.seed), **_knobs(args), **options), None


def _knobs(args: argparse.Namespace) -> dict[str, Any]:
    """The knobs of sampling, as filters.checked takes them."""
    return {name: getattr(args, name)
            for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "order")}


def _chats(args: argparse.Namespace) -> bool:
    """Whether it is a chat: asked for, or in a terminal with nothing asked.  Raises ValueError for what no chat has."""
    others = {"--prompt": args.prompt, "--json": args.json or None, "--beams": args.beams,
              "--n": None if args.n == 1 else args.n}
    given = {name: value for name, value in others.items() if value is not None}
    if args.chat:
        for name, value in given.items():
            check.fail(name, value, "no such option beside --chat")
    return args.chat or (not given and sys.stdin.isatty())
