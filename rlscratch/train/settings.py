"""The settings of a method, named once: their defaults, their checks, their options on the command line.

A default depends on what is trained on: the rewards, lengths and models of a lake, a bandit and a text have
nothing in common.  So a setting keeps one for each kind.  What is not given on the command line is None until the
task is known.
"""
import argparse
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rlscratch import check
from rlscratch.train.variants import VARIANTS

# argparse adds "(default: None)" to a help text unless it speaks of its default; this says nothing.
UNSAID = "%(default).0s"

# The default run of a command takes so much processor time, user and system together: its first task with its default
# number of steps, one thread, a core with AVX-512.  Transformers: from the time of a few steps.
TAKES = {
    "q-learning": "2 s", "dqn": "2 s", "reinforce": "2 s", "clone": "1 s",
    "ppo": "2 s on a lake, 2 minutes on text with its SFT",
    "grpo": "3 s on a lake, 2 minutes on text with its SFT", "sft": "80 s", "reward-model": "4 minutes with its SFT",
    "dpo": "70 s with its SFT", "expert-iteration": "2 minutes with its SFT", "pretrain": "10 minutes",
    "rlhf": "6 minutes", "life": "8 minutes, 2 with --quick",
}

# What is in memory at once is the product of these settings, each of at least so many bytes.
AT_ONCE = (("batch",), ("episodes",), ("demonstrations",), ("shown",), ("rankings", "answers"), ("groups", "group"))
LEAST = 100

at_least_1, at_least_2 = (partial(check.integer, low) for low in (1, 2))
unit_interval = partial(check.between, 0, 1)


@dataclass(frozen=True)
class Choice:
    """One setting, an option of the command.

    name      as an argument of the method's functions; the option has dashes
    defaults  by kind of task, "" for every other kind; None where something else decides, which `help` then says
    help      one line
    holds     a check: holds(value=value, called=name) raises unless the value will do; None if options does
    options   the values there are, for a setting that is a word
    """

    name: str
    defaults: Mapping[str, Any]
    help: str
    holds: Callable[..., Any] | None = None
    options: tuple[str, ...] | None = None

    def default(self, *kinds: str) -> Any:
        """The default for the first of these kinds that has one of its own."""
        return next(self.defaults[kind] for kind in (*kinds, "") if kind in self.defaults)

    def of_text(self) -> "Choice":
        """The same for a method that trains no tables."""
        return replace(self, defaults={kind: value for kind, value in self.defaults.items()
                                       if kind not in ("a lake", "a bandit", "an environment")})

    def checked(self, value: Any) -> Any:
        """The value, if it will do.  Raises ValueError or TypeError naming the setting."""
        if value is None and None in self.defaults.values():
            return None
        check_one = self.holds or partial(check.one_of, self.options or (False, True))
        return check_one(value=value, called=self.name)

    def add(self, parser: Any) -> None:
        """The option."""
        first = next((value for value in self.defaults.values() if value is not None), 0.0)
        told = {"help": f"{self.help} (default: {shown(self.defaults)}){UNSAID}"}
        if self.options:
            told["choices"] = self.options
        elif isinstance(first, bool):
            told["action"] = argparse.BooleanOptionalAction
        else:
            told |= {"type": type(first), "metavar": "N" if isinstance(first, int) else "X"}
        parser.add_argument(f"--{self.name.replace('_', '-')}", dest=self.name, **told)


def of(choices: Iterable[Choice], kinds: Iterable[str], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting, checked: as chosen, or the default for these kinds.  An unknown name is a ValueError."""
    known = {choice.name: choice for choice in choices}
    for name in chosen:
        check.one_of(tuple(known), setting=name)
    found = {name: choice.checked(chosen.get(name, choice.default(*kinds))) for name, choice in known.items()}
    for names in AT_ONCE:
        if all(found.get(name) for name in names):
            most = max(names, key=found.__getitem__)
            check.memory(LEAST * math.prod(found[name] for name in names), **{most: found[most]})
    return found


def given(choices: Iterable[Choice], args: argparse.Namespace) -> dict[str, Any]:
    """What the command line said of them."""
    return {c.name: value for c in choices if (value := getattr(args, c.name)) is not None}


def shown(defaults: Mapping[str, Any]) -> str:
    """Defaults by kind, "" for every other, in words.

    >>> shown({"a lake": 50.0, "a bandit": 0.2, "text": 0.2}), shown({"": 600, "addition": 200})
    ('50 on a lake, 0.2 on a bandit or text', '600, 200 on addition')
    """
    kinds: dict[str, list[str]] = {}
    for kind, value in defaults.items():
        nothing = "none" if kind else "the variant's own"
        said = nothing if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        kinds.setdefault(said, []).append(kind)
    if len(kinds) == 1:
        return next(iter(kinds))
    return ", ".join(value if "" in names else f"{value} on {_either(names)}" for value, names in kinds.items())


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


# ---------------------------------------------------------------- PPO and GRPO, on tables and on text alike

def tabular(lake: Any, bandit: Any, environment: Any = None, **text: Any) -> dict[str, Any]:
    """Defaults of a method that trains tables, and transformers if `text` has defaults for them.

    environment  on the table of another environment, where it is not the lake's
    """
    other = {} if environment is None else {"an environment": environment}
    return {"a lake": lake, "a bandit": bandit} | other | text


TEMPERATURE = Choice("temperature", {"": 1.0}, "of sampling and training, > 0", check.temperature)

PPO = (
    Choice("lr", tabular(50.0, 0.2, text=1e-3, preferences=4e-4), "largest step size", check.positive),
    Choice("epochs", tabular(4, 4, text=2), "passes over each batch", at_least_1),
    Choice("minibatches", tabular(4, 4, text=2), "parts of a pass", at_least_1),
    Choice("clip", {"": 0.2}, "the ratio counts within [1 - clip, 1 + clip]", unit_interval),
    Choice("lam", {"": 0.95}, "lambda of GAE, in [0, 1]", unit_interval),
    Choice("entropy", {"": 0.0}, "how much an entropy bonus counts, in units of advantage per nat",
           check.non_negative),
    Choice("target_kl", {"": 0.02}, "KL from the batch's policy, in nats per token, after which the batch is left; "
           "0: never", check.non_negative),
    Choice("whiten", tabular(False, True, environment=True, text=False, preferences=True),
           "give the advantages of a batch mean 0 and standard deviation 1"),
)

# The KL of these tasks is left out: their rewards are facts, and nothing is to be held on to.
_VERIFIABLE = dict.fromkeys(("every-third-character", "addition", "cups", "products"), 0.0)

GRPO = (
    Choice("variant", tabular("document", "document", text="grpo"), "which of the family", options=tuple(VARIANTS)),
    Choice("lr", tabular(50.0, 0.2, text=1e-3, cups=3e-3, products=3e-3), "largest step size", check.positive),
    Choice("groups", tabular(4, 8, text=64, **{"ice-cream-text": 4, "capital-of-france-text": 4}),
           "groups of each update, a prompt or first state each", at_least_1),
    Choice("group", tabular(64, 8, text=16), "answers or episodes of a group, at least 2", at_least_2),
    Choice("epochs", {"": 1}, "passes over each batch", at_least_1),
    Choice("beta", {"": None, **_VERIFIABLE}, "weight of the KL from the reference: in the loss of grpo, dr_grpo and "
           "dapo, in the reward of the others", check.non_negative),
    Choice("eps_low", {"": None}, "the ratio counts from 1 - this, in [0, 1]; for variants with a clip range",
           unit_interval),
    Choice("eps_high", {"": None}, "the ratio counts up to 1 + this; for variants with a clip range",
           check.non_negative),
)
