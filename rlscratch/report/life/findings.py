"""What a run of `rlscratch life` found, read from the folders of its stages.

So nothing has to be trained again to be told again.
"""
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlscratch.files import read_json, read_lines
from rlscratch.report.table import table
from rlscratch.tasks.town.questions import CRITERIA
from rlscratch.train.run import plus_minus

STAGES = {"raw": "base, crawled text", "base": "base, curated text", "sft": "SFT", "cured": "SFT, cured",
          "aligned": "GRPO, equal weights"}


class Findings(NamedTuple):
    """All that the page shows.

    curation  steps, as curation.counted has them; private_left
    bought    what the two base models know
    trained   name -> result.json, for the stages that train
    judges    who agrees with gold, by name
    card      by stage what an assistant knows, invents, and how good it is; the prompts with answers by stage
    unknown   how many of the questions asked in probing were not known
    seconds   by stage
    tokens    learned from, by stage
    """

    curation: dict[str, Any]
    bought: dict[str, dict[str, Any]]
    trained: dict[str, dict[str, Any]]
    judges: dict[str, Any]
    card: dict[str, Any]
    unknown: tuple[int, int]
    seconds: Mapping[str, float]
    tokens: dict[str, int]

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        """Of the assistants."""
        return self.card["stages"]

    @property
    def lost(self) -> float:
        """The share of the facts that were answered right before the cure and are not after it."""
        before, after = (np.array(self.stages[name]["right"], bool) for name in ("sft", "cured"))
        return (before & ~after).sum().item() / max(1, before.sum().item())

    def axis(self, stage: str, criterion: str) -> tuple[float, float]:
        """A mean of 100, and its error."""
        axes = self.stages[stage]["axes"]
        return axes[criterion], axes[f"{criterion}_error"]


def read(folder: Path, seconds: Mapping[str, float]) -> Findings:
    """The findings of a run whose stages are all done."""
    found = {name: read_json(folder / name / "result.json")["figures"]
             for name in ("curation", "bought", "probed", "judges", "card")}
    names = ("raw", "base", *CRITERIA, "rules", *found["card"]["stages"])
    trained = {name: read_json(folder / name / "result.json") for name in names}
    tokens = {name: one["tokens"] if "tokens" in one else
              sum(line["tokens"] for line in read_lines(folder / name / "metrics.jsonl"))
              for name, one in trained.items()}
    probed = found["probed"]
    return Findings(found["curation"], found["bought"], trained, found["judges"], found["card"],
                    (len(probed["unknown"]), probed["asked"]), seconds, tokens)


def summary(found: Findings) -> dict[str, Any]:
    """The figures of `rlscratch life --json`."""
    raw, base, known = found.bought["raw"], found.bought["base"], found.stages
    figures: dict[str, Any] = {
        "raw_bits_per_byte": raw["bits_per_byte"], "base_bits_per_byte": base["bits_per_byte"],
        "curation_bits_per_byte": raw["bits_per_byte"] - base["bits_per_byte"],
        "raw_facts": raw["facts"], "base_facts": base["facts"],
        "pages_crawled": found.curation["steps"][0]["pages"], "pages_curated": found.curation["steps"][-1]["pages"]}
    for name in ("sft", "cured", "aligned"):
        one = known[name]
        figures |= {f"{name}_facts": one["facts"], f"{name}_facts_used": one["facts_used"],
                    f"{name}_facts_apart": one["facts_apart"],
                    f"{name}_invented": one["strangers"]["invented"],
                    f"{name}_invented_error": one["strangers"]["invented_error"],
                    f"{name}_refused": one["strangers"]["refused"]}
        figures |= {f"{name}_{criterion}{error}": one["axes"][criterion + error]
                    for criterion in CRITERIA for error in ("", "_error")}
    figures |= {f"{name}_pairs": found.trained[name]["held_out_accuracy"] for name in (*CRITERIA, "rules")}
    aligned = found.trained["aligned"]
    return figures | {"facts_lost": found.lost, "kl": aligned["kl"], "kl_error": aligned["kl_error"]}


def text(found: Findings) -> str:
    """The findings as plain text."""
    return "\n\n".join(("what curation left", _curation(found), "the stages", _card(found), _notes(found),
                        "what is traded off, by the weight of helpful", _weights(found), "held-out pairs in order",
                        _judges(found)))


def _curation(found: Findings) -> str:
    return table(("step", "pages", "tokens", "went", "changed"),
                 ((one["step"], one["pages"], one["tokens"], one["dropped"], one["changed"])
                  for one in found.curation["steps"]))


def card(found: Findings) -> list[dict[str, str]]:
    """The report card: of each stage its figures as texts, "" where it has none."""
    lines = []
    for name, called in STAGES.items():
        one, bits = found.stages.get(name), found.bought.get(name) or found.card["bits"][name]
        trained = found.trained[name]
        lines.append({
            "stage": called, "bits per byte": plus_minus(bits["bits_per_byte"], bits["bits_per_byte_error"]),
            "facts": f"{100 * (one or found.bought[name])['facts']:.1f}%",
            "invented": _share(one, "invented"), "refused": _share(one, "refused"),
            **{criterion: plus_minus(*found.axis(name, criterion)) if one else "" for criterion in CRITERIA},
            "KL": plus_minus(trained["kl"], trained["kl_error"]) if "kl" in trained else "",
            "tokens": f"{found.tokens[name]:,}", "seconds": f"{found.seconds[name]:.0f}"})
    return lines


def _share(one: dict[str, Any] | None, figure: str) -> str:
    """Of answers about strangers, in percent."""
    if one is None:
        return ""
    share = one["strangers"]
    return f"{plus_minus(100 * share[figure], 100 * share[figure + '_error'])}%"


def _card(found: Findings) -> str:
    lines = card(found)
    return table([*lines[0]], [[*line.values()] for line in lines])


def _notes(found: Findings) -> str:
    one, base = found.stages["sft"], found.bought["base"]
    return (f"bits per byte over {base['measured_pages']} held-out pages; facts: of all {base['measured_facts']}, "
            f"asked in a wording that no conversation has; invented and refused: of "
            f"{one['strangers']['measured_answers']} answers about strangers, asked so; who invents claims "
            f"anything, of whomever, and the rest of the answers claims nothing; the axes, 0 to 100: over "
            f"{one['axes']['measured_answers']} answers in all; KL in nats an answer from the cured model.  +- is the "
            f"standard error.  In probing, {found.unknown[0]} of {found.unknown[1]} questions were not known; the "
            f"cure's conversations ask all of them.  It lost {100 * found.lost:.1f}% of the facts that were known "
            f"before it.  In the wordings of conversations, {100 * one['facts_used']:.1f}% were known before it and "
            f"{100 * found.stages['cured']['facts_used']:.1f}% after; of the {one['measured_apart']} that no other "
            f"conversation speaks of, {100 * one['facts_apart']:.1f}% and "
            f"{100 * found.stages['cured']['facts_apart']:.1f}%.")


def _weights(found: Findings) -> str:
    rows = [(f"{weight:.2f}", *(plus_minus(*found.axis(name, criterion)) for criterion in CRITERIA),
             f"{found.trained[name]['kl']:.2f}") for weight, name in weights(found)]
    return table(("weight of helpful", *CRITERIA, "KL"), rows)


def weights(found: Findings) -> list[tuple[float, str]]:
    """The weight of helpful and the stage, from the largest to none."""
    return sorted(((one["weights"]["helpful"], name) for name, one in found.trained.items() if "weights" in one),
                  reverse=True)


def _judges(found: Findings) -> str:
    models = [(f"reward model, {name}", found.trained[name]["held_out_accuracy"],
               found.trained[name]["held_out_accuracy_error"], name) for name in CRITERIA]
    others = [(name, one["accuracy"], one["accuracy_error"], "the sum of the three")
              for name, one in found.judges["judges"].items()]
    return table(("judge", "accuracy", "against"),
                 ((name, f"{100 * share:.1f}% +- {100 * error:.1f}%", truth) for name, share, error, truth in
                  (*models, *others)))
