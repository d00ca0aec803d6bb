"""rlscratch conform: the verdict on a function of a file, and the cases as files."""
import argparse
import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlscratch import check
from rlscratch.conformance import cases
from rlscratch.conformance.candidates import FRAMEWORKS, loaded
from rlscratch.conformance.examination import examine
from rlscratch.conformance.names import FAMILIES, LIKE, SHORT, kind_of
from rlscratch.conformance.oracle import oracle, world


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `rlscratch conform`."""
    parser.add_argument("function", nargs="?", metavar="FILE.py:NAME", help="the function, or package.module:name")
    parser.add_argument("--as", dest="like", metavar="KIND",
                        help=f"what it says it is, such as grpo, ppo or dpo: one of {', '.join(FAMILIES.values())}; "
                             "--list has all names")
    parser.add_argument("--list", action="store_true", help="print the names that --as takes")
    parser.add_argument("--framework", choices=FRAMEWORKS, default="numpy", help="what it computes with")
    parser.add_argument("--grad", metavar="NAME", help="of a NumPy loss: the function beside it that is its gradient")
    parser.add_argument("--names", nargs="+", default=[], metavar="THEIRS=OURS", help="arguments with unknown names")
    parser.add_argument("--set", nargs="+", default=[], metavar="THEIRS=VALUE", help="arguments to call it with")
    parser.add_argument("--oracle", action="store_true", help="also say what it ascends on average, by enumeration")
    parser.add_argument("--write-cases", metavar="FOLDER", help="write the cases as files instead")


def run(args: argparse.Namespace) -> int:
    """Print the verdict; 0 if the function is what it says and breaks no law, else 1."""
    if args.list:
        print(listed())
        return 0
    if args.write_cases:
        print("\n".join(map(str, cases.write(Path(args.write_cases)))))
        return 0
    for name, value in {"function": args.function, "like": args.like}.items():
        if value is None:
            wanted = {"function": "FILE.py:name, the function to examine", "like": f"one of {', '.join(sorted(LIKE))}"}
            raise ValueError(f"{'--as' if name == 'like' else name} is missing; expected {wanted[name]}")
    if args.framework != "numpy" and find_spec(args.framework) is None:
        check.fail("--framework", args.framework, "numpy, or an installed framework; this one is not installed here")
    function = loaded(args.function)
    grad = loaded(f"{args.function.rpartition(':')[0]}:{args.grad}") if args.grad else None
    how: dict[str, Any] = {"framework": args.framework, "names": _pairs("--names", args.names), "grad": grad,
                           "fixed": {name: _value(text) for name, text in _pairs("--set", args.set).items()}}
    verdict = examine(function, args.like, **how)
    print(verdict)
    if args.oracle:
        if LIKE[kind_of(args.like, ())][0] != "policy":
            check.fail("--oracle", True, f"a policy loss; {args.like} is none")
        for name, off_policy in (("on policy", False), ("from another sampler", True)):
            print(f"{name}: {oracle(function, world(off_policy=off_policy), **how)}")
    return 0 if verdict.ok else 1


def listed() -> str:
    """The names that --as takes, a line for each family."""
    short = {like: name for name, like in SHORT.items()}
    rows = ((heading, ", ".join(like + (f" or {short[like]}" if like in short else "")
                                for like, (kind, _) in LIKE.items() if kind == family))
            for family, heading in FAMILIES.items())
    return "\n".join(f"{heading + ':':<23}{names}" for heading, names in rows)


def _pairs(option: str, words: list[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            check.fail(option, word, "NAME=VALUE")
    return dict(word.split("=", 1) for word in words)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
