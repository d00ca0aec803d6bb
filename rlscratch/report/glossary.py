"""Letters and words: what each stands for, said once, for README's table, the pages' tips and the search.

Letters of many modules stand here, letters of one in letters.toml, the words in words.toml.
"""
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from xml.etree.ElementTree import Element


@dataclass(frozen=True)
class Symbol:
    """A letter of the equations.

    key      base and index as an equation has them, such as "π_old"; what marks it
    code     its names in the code
    meaning  in one line
    only     the modules in which it means this; () for all that have no meaning of their own
    """

    key: str
    code: str
    meaning: str
    only: tuple[str, ...] = ()


def _tables(name: str) -> dict[str, dict]:
    return tomllib.loads((files("rlscratch.report") / f"{name}.toml").read_text("utf-8"))


SYMBOLS = (
    Symbol("π", "`probs`, `logp`", "the policy: π(a|s) is the probability of a after s; logarithms are natural"),
    Symbol("π_old", "`logp_old`", "the policy that sampled"),
    Symbol("π_ref", "`logp_ref`, `ref`", "the frozen reference of a KL penalty"),
    Symbol("z", "`logits`", "scores before the softmax: π = softmax(z / T)"),
    Symbol("T", "`temperature`", "the temperature of the softmax", ("distribution",)),
    Symbol("p", "`probs`", "probabilities of one row"),
    Symbol("r", "`rewards`", "the reward; r_t follows action t, and time starts at 0"),
    Symbol("R", "`rewards`, `returns`", "what the whole answer earned"),
    Symbol("J", "`expected_reward`", "the expected reward: what training raises"),
    Symbol("L", "`x_loss`", "the loss: what a step lowers; its derivative is `x_grad`"),
    Symbol("γ", "`gamma`, `discount`",
           "the worth of the next reward now; `discount[t]` is 0 where an episode terminated"),
    Symbol("G", "`returns`", "the reward-to-go: what is earned from here on"),
    Symbol("A", "`advantage`", "better than expected by how much, in units of reward"),
    Symbol("ρ", "`ratio`", "π / π_old: how much likelier the token has become"),
    Symbol("w", "`weight`", "how much a token counts in a loss: `formulas.weights` makes it"),
    Symbol("β", "`beta`", "the strength of the KL penalty"),
    Symbol("ε", "`eps_low`, `eps_high`", "clip range of the ratio"),
    Symbol("H", "`entropy`", "the entropy: how undecided a row is, in nats"),
    Symbol("b", "`baseline`", "the baseline: what is subtracted from the reward"),
    Symbol("V", "`values`", "the value of a state: the return to be expected from it"),
    Symbol("Q", "`q`", "the value of an action in a state"),
    Symbol("α", "`alpha`", "the step size of a Q-learning update", ("td",)),
    Symbol("λ", "`lam`", "how far the advantage trusts rewards rather than values", ("returns",)),
    Symbol("σ", "", "the sigmoid, 1 / (1 + exp(-m))", ("preference", "pairs", "surrogates")),
    Symbol("s", "`s`", "the state: what the policy sees"),
    Symbol("a", "`a`, `action`", "the action: here, the next token"),
    Symbol("E", "", "the mean over what the policy would draw"),
)
# The same letters with a meaning of their own in one module: told on the pages, and left out of README's table.
LOCAL = (
    Symbol("ε", "`epsilon`", "how often any action is tried", ("td",)),
    Symbol("H", "`huber_loss`", "Huber's loss", ("td",)),
    Symbol("A", "`A`", "the number of actions", ("td",)),
    Symbol("δ", "`delta`", "where Huber's loss turns into a line", ("td",)),
    Symbol("d", "`discount`", "γ, or 0 where nothing follows", ("td", "returns")),
    Symbol("y", "`q_target`", "the target of an update", ("td",)),
    Symbol("δ", "`td_errors`", "the TD error: by how much the value was wrong", ("returns",)),
    Symbol("D", "", "the discounts of k steps, multiplied", ("returns",)),
    Symbol("b", "", "an action in the next state", ("td",)),
    Symbol("b", "`boundary`", "1 where an episode ended", ("returns",)),
    Symbol("d", "", "log π(a) - log q(a)", ("kl", "off_policy")),
    Symbol("q", "`ref`, `logp_ref`", "the reference policy", ("kl",)),
    Symbol("q", "`teacher`", "the teacher's distribution", ("distillation",)),
    Symbol("s", "`score`", "the score, grad log π(a)", ("kl", "policy_gradient", "off_policy", "trust_region")),
    Symbol("c", "", "the reward less its share of the KL penalty", ("kl",)),
    Symbol("Z", "", "what makes the probabilities add to 1", ("kl", "preference")),
    Symbol("k_1", "`kl_k1`", "the first estimator of the KL", ("kl",)),
    Symbol("k_2", "`kl_k2`", "the second estimator of the KL", ("kl",)),
    Symbol("k_3", "`kl_k3`", "the third estimator of the KL", ("kl", "grpo")),
    Symbol("c", "`clip_ratio`", "the ratio, cut to its range", ("ppo",)),
    Symbol("v", "`values`", "the value that the critic gives", ("ppo",)),
    Symbol("R", "`returns`", "the return that the critic should have given", ("ppo",)),
    Symbol("m", "`rewards.mean()`", "the mean reward of the group", ("grpo",)),
    Symbol("s", "`rewards.std(ddof=1)`", "the standard deviation of the group", ("grpo",)),
    Symbol("G", "`G`", "how many answers the group has", ("grpo", "group")),
    Symbol("s_i", "`gspo_loss`", "the sequence's ratio: the geometric mean of its tokens'", ("grpo", "surrogates")),
    Symbol("W", "", "the weights of a sequence, added up", ("grpo", "surrogates")),
    Symbol("e^", "`exp`", "e = 2.718..., to the power that follows", (
        "distribution", "kl", "ppo", "off_policy", "preference", "pairs", "surrogates", "trust_region")),
    Symbol("s", "`scores`", "what the reward model gives an answer", ("preference", "pairs")),
    Symbol("m", "`margin`", "by how much the chosen answer leads", ("preference", "pairs")),
    Symbol("h", "", "how much more than the reference the policy prefers the chosen answer", ("preference", "pairs")),
    Symbol("c", "", "the answer that was chosen", ("preference", "pairs")),
    Symbol("r", "", "the answer that was rejected; below an s, its score", ("preference",)),
    Symbol("l", "", "the loss of a pair, -log σ", ("pairs",)),
    Symbol("μ", "`mean`", "where the Gaussian has its middle", ("continuous",)),
    Symbol("σ", "`exp(log_std)`", "how wide the Gaussian is", ("continuous",)),
    Symbol("l", "`log_std`", "the logarithm of the width σ", ("continuous",)),
    Symbol("e", "", "the distance from the mean, in widths", ("continuous",)),
    Symbol("W", "", "how often a labeller put the one answer before the other", ("annotators",)),
    Symbol("J", "", "how many labellers there are", ("annotators",)),
    Symbol("a", "", "how reliable a labeller is", ("annotators",)),
    Symbol("π", "", "what a labeller says of each class", ("annotators",)),
    Symbol("s", "", "what an answer is worth", ("annotators",)),
    Symbol("q", "", "the probability of a class, given all labels", ("annotators",)),
    Symbol("T", "", "what ties take off", ("annotators",)),
    Symbol("μ", "`logp_sampler`", "the policy that drew the tokens", ("off_policy",)),
    Symbol("N", "", "how many answers the batch has", ("policy_gradient",)),
    Symbol("N", "", "how many rows are averaged", ("cross_entropy",)),
    Symbol("N", "", "how many pairs or answers are averaged", ("preference", "pairs")),
    Symbol("N", "", "how many steps are left", ("returns",)),
    Symbol("P", "", "the probability that a person prefers", ("preference",)),
    Symbol("y", "", "an answer", ("preference",)),
    Symbol("R", "", "how many answers each prompt has", ("standard_error",)),
    Symbol("P", "", "how many prompts there are", ("standard_error",)),
    Symbol("p", "", "counts the prompts", ("standard_error",)),
    Symbol("s", "", "the standard deviation of a prompt's answers", ("standard_error",)),
    Symbol("t", "", "counts the steps, or the tokens of an answer",
           ("cross_entropy", "policy_gradient", "ppo", "grpo", "surrogates", "off_policy", "exploration", "returns")),
    Symbol("i", "", "counts the answers of a group", ("grpo", "group", "surrogates")),
    Symbol("j", "", "counts the answers of a group", ("grpo", "group")),
    Symbol("j", "", "counts the tokens of the vocabulary", ("distribution", "cross_entropy", "policy_gradient")),
    Symbol("k", "", "counts the tokens of the vocabulary", ("distribution", "kl")),
    *(Symbol(letter, "", meaning, (module,)) for module, table in _tables("letters").items()
      for letter, meaning in table.items()),
)


@dataclass(frozen=True)
class Term:
    """A word of the field: the chapter that has it, its meaning in a sentence or two, its other names."""

    word: str
    chapter: int
    meaning: str
    also: str


TERMS = tuple(Term(word, int(chapter), *said)
              for chapter, table in _tables("words").items() for word, said in table.items())


def notation() -> str:
    """README's table of notation."""
    lines = ["| written | in code | meaning |", "| --- | --- | --- |"]
    for symbol in SYMBOLS:
        lines.append(f"| {symbol.key} | {symbol.code} | {symbol.meaning.replace('|', '&#124;')} |")
    return "\n".join(lines)


def meaning(key: str, module: str) -> Symbol | None:
    """What a letter stands for in a module's equations."""
    fitting = [symbol for symbol in (*LOCAL, *SYMBOLS) if symbol.key == key]
    return next((s for s in fitting if module in s.only), None) or next((s for s in fitting if not s.only), None)


def tips() -> list[str]:
    """What a page shows of each letter; an element's data-tip is a place in this list."""
    return [f"{symbol.key}: {symbol.meaning}" for symbol in (*SYMBOLS, *LOCAL)]


def mark(root: Element, module: str) -> None:
    """Give each letter of a <math> that has a meaning a tip with it; the first of each can have the focus."""
    seen: set[str] = set()
    for element, key in list(_letters(root)):
        shorter = [key, key.split(",")[0], key.split("_")[0].rstrip("^")]    # k_3,it; k_3; k
        found = next(filter(None, (meaning(part, module) for part in shorter)), None)
        if found is None:
            continue
        element.set("data-tip", str((*SYMBOLS, *LOCAL).index(found)))
        if found.key not in seen:
            element.set("tabindex", "0")
            seen.add(found.key)


def _letters(root: Element) -> Iterable[tuple[Element, str]]:
    """Every letter with its index, outermost first: its element and its key."""
    for child in root:
        if child.tag in ("msub", "msubsup") and child[0].tag == "mi":
            index = "".join(child[1].itertext())
            yield child, f"{_plain(child[0])}_{index}"
        elif child.tag == "msup" and child[0].text == "e":
            yield child[0], "e^"
            yield from _letters(child[1:])
        elif child.tag == "mi":
            yield child, _plain(child)
        else:
            yield from _letters(child)


def _plain(element: Element) -> str:
    return {"ϵ": "ε", "ϱ": "ρ"}.get(element.text or "", element.text or "")
