"""rlscratch life: one model's life in one command, from a dirty web page to an assistant that people have taught.

The world is a town that does not exist (tasks.town), so what is true is known, and what anybody could know.  Each
stage has its own folder:

    curation/               the crawler's pages, step by step to a text         train.pretraining.curation
    raw/, base/             pretrained on the crawled, on the curated text      train.pretraining.pretrain
    bought/                 what curation bought: bits per byte, facts
    sft/                    imitates conversations of several turns             train.language.sft
    probed/                 what it knows, what it invents, its confidence      train.language.knowledge
    cured/                  the same, with "I do not know." where probing found that it does not
    helpful/, honest/, harmless/, rules/    reward models of three criteria and of a constitution
    judges/                 these and the labellers compared
    aligned/                GRPO on the sum of the three and SFT on refusals    train.language.grpo, .sft
    helpful-1/, helpful-0.67/, helpful-0/   the same with other weights
    card/                   all stages by the same figures, six prompts answered at each
    figures/, index.html    what report.life draws of it

What limits it.  GRPO finds what a reward model gets wrong.  Of claims about strangers that were in no ranking, drawn
from sft/, the honest one prefers some to "I do not know.", and of the few that aligned/ makes, most: those are the ones
that are left.  So GRPO alone brings back inventions that the cure had taken away, and what the cure refuses is imitated
beside it.  How much (share .1), how long and how near to cured/ (beta) was chosen on seeds 10 and 11:

    steps, beta                      90, .08     130, .08    130, .04    180, .04
    honest rises by                  16.9 20.3   19.8 21.2   19.7 22.9   18.3
    helpful rises by                 28.3 24.5   33.2 29.0   34.4 32.6   39.2
    invented about strangers, %       9.3  8.4    7.3 11.7    7.0  8.9   12.4

    seeds 0, 1, 2                    GRPO alone          with imitation, from the same cured models
    invented about strangers, %      12.7  44.4   7.8     2.4   8.1   3.5
    honest rises by                  16.6   7.5  16.8    20.1  20.7  18.2
    helpful rises by                 34.7  34.0  32.1    31.0  31.1  28.3

Those cured models differed by rounding from the ones that the command trains now, and README has the figures of these.

More strangers in the rankings, more belief, two honest models and larger groups raised honest by at most .5 on the
worse of these seeds.  More rankings did not raise it on 10.  A second round of labels is not run here.

A stage that has a result.json is done (cli.road).  Those that train are what `rlscratch pretrain`, `rlscratch train
sft` ... leave, so `rlscratch sample` takes them.
"""
import argparse
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from rlscratch import bpe, checkpoint, memory
from rlscratch.cli import road
from rlscratch.cli.road import Road
from rlscratch.report.life import findings, page
from rlscratch.tasks.task import Task
from rlscratch.tasks.town import pages, questions
from rlscratch.tasks.town.facts import Town, town
from rlscratch.train.language import grpo, knowledge, reward_model, sft
from rlscratch.train.language.command import Own
from rlscratch.train.language.judging import Several, compared, weighed
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Policy
from rlscratch.train.language.worlds import World
from rlscratch.train.pretraining import curation
from rlscratch.train.pretraining.bits_per_byte import of_pages

VOCABULARY = 1100
FULL: dict[str, dict[str, Any]] = {
    "town": {"people": 72, "held_out": 100, "conversations": 2000, "strangers": 4500},
    "pretrain": {"steps": 1500, "batch": 8, "lr": 3e-3},
    "sft": {"steps": 400, "batch": 16, "lr": 1e-3},
    "cured": {"steps": 1200, "batch": 48, "lr": 2e-3},
    "reward": {"steps": 400, "rankings": 1600, "answers": 4, "batch": 16, "lr": 1e-3},
    "aligned": {"steps": 130, "groups": 16},
    "weights": {"steps": 40, "groups": 16},
}
QUICK = {
    "town": {"people": 24, "held_out": 40, "conversations": 600, "strangers": 300},
    "pretrain": {"steps": 720}, "sft": {"steps": 250}, "cured": {"steps": 200, "batch": 32},
    "reward": {"steps": 120, "rankings": 600}, "aligned": {"steps": 40, "groups": 16},
    "weights": {"steps": 12, "groups": 16},
}
MODEL = {"vocab_size": VOCABULARY, "context": 104, "width": 64, "layers": 3, "heads": 4, "dropout": 0.0}
NOISE = 0.25                                            # of the labellers, gold rewards lie in [0, 1]
BELIEF = {"helpful": 0.1, "honest": 0.3}                # of the criteria that have to do with the truth
GRPO = {"variant": "dr_grpo", "lr": 3e-4, "beta": 0.04, "group": 16}
REFUSALS = {"batch": 32, "share": 0.1}                  # of the cure, imitated beside GRPO (sft.beside)
SHARES = (1.0, 0.67, 0.0)                               # of helpful; the other two criteria share the rest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `rlscratch life`."""
    road.add_arguments(parser, "life").add_argument(
        "--quick", action="store_true", help="a smaller town and shorter training, a quarter of the time")


def run(args: argparse.Namespace) -> int:
    """Train, measure, draw, print; 0.  Raises ValueError or TypeError for bad arguments."""
    memory.keep_freed()         # this process is ours: a step's arrays are used again by the next one
    settings = {name: one | QUICK.get(name, {}) if args.quick else one for name, one in FULL.items()}
    whole = Road(args, "life", {"quick": args.quick, "stages": settings})
    with np.errstate(over="ignore", invalid="ignore"):      # numbers that explode end the run, with one line
        Life(whole, settings).live()
    total = round(sum(whole.seconds.values()), 3)
    found = findings.read(whole.folder, whole.seconds)
    index = page.write(found, whole.folder)
    whole.run.finish({**findings.summary(found), "page": str(index), "seconds_by_stage": whole.seconds,
                      "seconds": total}, show=args.json)
    if not args.json:
        print(findings.text(found))
        print(f"{total:.0f} s; the page is {index}")
    return 0


class Life:
    """The stages, each a method, in the order of `live`.

    road      the run
    settings  of its stages
    """

    def __init__(self, road: Road, settings: Mapping[str, Mapping[str, Any]]) -> None:
        self.road, self.settings = road, settings
        self.town: Town = town(road.args.seed, settings["town"]["people"])

    def live(self) -> None:
        """All stages."""
        self.road.measured("curation", self.curation)
        for name, text in (("raw", "crawled"), ("base", "curated")):
            self.road.pretrained(name, text=[str(self.road.folder / "curation" / f"{text}.txt")], **MODEL,
                                 **self.settings["pretrain"])
        self.road.measured("bought", lambda: {name: self.base(name) for name in ("raw", "base")})
        self.tuned("sft", self.world(conversations=self.settings["town"]["conversations"]), "base")
        self.road.measured("probed", self.probed)
        self.tuned("cured", self.cure, "sft")
        for criterion in (*questions.CRITERIA, "rules"):
            self.judge(criterion)
        self.road.measured("judges", self.judges)
        self.aligned("aligned", questions.WEIGHTS, "aligned")
        for share in SHARES:
            self.aligned(f"helpful-{share:g}", weights_of(share), "weights")
        self.road.measured("card", self.card)

    # ------------------------------------------------------------ the text, the base model

    def curation(self) -> Any:
        """The table; and three texts, crawled, curated, held-out, beside it."""
        crawled = [curation.Document(one.url, one.html, one.kind) for one in pages.crawl(self.town)]
        steps = curation.curated(crawled)
        texts = {"crawled": [one.text for one in crawled], "curated": [one.text for one in steps[-1].documents],
                 "held-out": pages.held_out(self.town, self.settings["town"]["held_out"])}
        folder = self.road.folder / "curation"
        folder.mkdir(exist_ok=True)
        for name, some in texts.items():
            (folder / f"{name}.txt").write_text("\n".join(some) + "\n", "utf-8")
        tokenizer = bpe.Tokenizer.train("\n".join(texts["curated"]), VOCABULARY)
        return {"steps": curation.counted(steps, lambda text: len(tokenizer.encode(text)), self.stream("samples")),
                "private_left": sum(curation.is_private(text) for text in texts["curated"])}

    def base(self, name: str) -> Any:
        """What a base model knows, and how it goes on with a page."""
        model, tokenizer = self.model(name)
        right = knowledge.recalled(model, tokenizer, self.town)
        begun = [" ".join(page.split()[:7]) for page in self.held_out[:3]]
        going_on = knowledge.continued(model, tokenizer, begun, 40, self.stream("continued"), 0.8)
        return {**of_pages(model, tokenizer, self.held_out), "facts": right.mean().item(), "measured_facts": len(right),
                "samples": [[text, more] for text, more in zip(begun, going_on, strict=True)]}

    # ------------------------------------------------------------ the assistant

    def tuned(self, name: str, world: World, begun_with: str) -> None:
        """SFT on the conversations of a world."""
        init = self.policy(begun_with)
        self.road.trained(name, sft.METHOD, Own(world, Stages(init), {"init": begun_with, "task": "town"}),
                          shown=1, **self.settings[name])

    def probed(self) -> Any:
        """Of all facts in the text and of strangers: what sft/ does not know, and its own answers to what it does."""
        names = questions.sides(self.town).strangers[0][:self.settings["town"]["strangers"]]
        asked = [*self.town.facts, *knowledge.strangers(names)]
        unknown, own = knowledge.probed(self.policy("sft"), self.town, asked, self.stream("probed"))
        return {"asked": len(asked), "unknown": unknown, "own": own}

    @cached_property
    def cure(self) -> World:
        """The same conversations, but for what probing found."""
        probed = self.road.measured("probed", self.probed)
        unknown, own = ([*map(tuple, probed[name])] for name in ("unknown", "own"))
        return self.world(conversations=self.settings["town"]["conversations"], unknown=unknown, own=own)

    def knowing(self, name: str) -> Any:
        """Facts known, invented and refused shares, calibration, the three axes of an assistant."""
        policy, (_, apart), (_, strangers) = self.policy(name), *questions.sides(self.town)[:2]
        strangers = strangers[:questions.MOST_STRANGERS]
        facts, both = self.town.facts, [*apart, *knowledge.strangers(strangers[:len(apart)])]
        right = knowledge.known(policy, self.town, facts, self.stream("known"))
        used = knowledge.known(policy, self.town, facts, self.stream("known"), self.stream("wordings"))
        return {"right": right.astype(int).tolist(), "facts": right.mean().item(), "facts_used": used.mean().item(),
                "facts_apart": right[[facts.index(fact) for fact in apart]].mean().item(), "measured_apart": len(apart),
                "strangers": knowledge.invented(policy, strangers, self.stream("strangers")),
                "calibration": knowledge.calibration(policy, self.town, both, self.stream("calibration")),
                "axes": knowledge.axes(policy, self.town, self.stream("axes"))}

    # ------------------------------------------------------------ what people want

    def judge(self, criterion: str) -> None:
        """A reward model of one criterion's labellers; the constitution does not err.

        Of four answers to a prompt two are of the cured model, one is from before the cure, one is a refusal (judging);
        half of the claims are followed by another one.
        """
        rules = criterion == "rules"
        task = self.task(reward=questions.judged_by_rules) if rules else self.task({criterion: 1.0})
        cured = self.policy("cured")
        shown = Several(**vars(cured), others=[cured, self.policy("sft")], refusal=questions.UNKNOWN,
                        further=knowledge.further)
        self.road.trained(criterion, reward_model.METHOD, Own(self.world(task), Stages(shown),
                                                              {"init": "cured", "task": f"town, {criterion}"}),
                          noise=0.0 if rules else NOISE, belief=BELIEF.get(criterion, 0.0), **self.settings["reward"])

    def judges(self) -> Any:
        """Who agrees with the sum of the three criteria on held-out pairs of answers."""
        world = self.world(self.task(dict.fromkeys(questions.CRITERIA, 1.0)))
        return compared(world, self.policy("cured"), self.proxies, questions.judged_by_rules, NOISE)

    def aligned(self, name: str, weights: Mapping[str, float], settings: str) -> None:
        """GRPO on the weighted sum of the reward models.

        Answers to one prompt are compared with each other: what a critic would have to learn first, that addresses
        earn more than strangers, is left out.  Not divided by their spread, which where all are equally good is noise.
        What the cure refuses is imitated beside it (sft.beside): GRPO alone unlearns some of it.
        """
        cured = self.policy("cured")
        asked, said = zip(*(pair for pair in self.cure.data.pairs if pair[1] == questions.UNKNOWN), strict=True)
        refusals = sft.beside(cured.chat.rows(asked, said, MODEL["context"]), **REFUSALS)
        stages = Stages(cured, weighed(self.proxies, weights), refusals)
        self.road.trained(name, grpo.METHOD, Own(self.world(self.task(weights)), stages, {
            "init": "cured", "task": "town", "weights": weights, "refusals": REFUSALS}), **GRPO,
                          **self.settings[settings])

    @cached_property
    def proxies(self) -> dict[str, Any]:
        """The reward models."""
        return {name: self.world().reward_model(self.road.folder / name) for name in (*questions.CRITERIA, "rules")}

    # ------------------------------------------------------------ the report card

    def card(self) -> Any:
        """The same figures of every stage, and six prompts answered at each."""
        names = ("sft", "cured", "aligned", *(f"helpful-{share:g}" for share in SHARES))
        asked = self.six()
        answers = {name: knowledge.continued(*self.model(name), asked, 24, self.stream("six"), 0.8)
                   for name in ("raw", "base")}
        prompts = [*map(knowledge.dialogue, asked)]
        answers |= {name: self.policy(name).answer(prompts, self.stream("six")).texts for name in names[:3]}
        return {"stages": {name: self.knowing(name) for name in names}, "prompts": asked, "answers": answers,
                "bits": {name: of_pages(*self.model(name), self.held_out) for name in names[:3]},
                "template": self.template(prompts[0], answers["sft"][0])}

    def six(self) -> list[str]:
        """Three facts that no conversation spoke of, a stranger, two addresses."""
        kinds = questions.prompts(self.town, held_out=True)
        return [*kinds["facts"][:3], *kinds["strangers"][:1], *kinds["addresses"][:4:2]]

    def template(self, prompt: str, answer: str) -> list[str]:
        """The tokens of a row, as texts."""
        chat = self.policy("sft").chat
        return [chat.tokenizer.decode([token]) for token in (*chat.prompt(prompt), *chat.answer(answer, own=True))]

    # ------------------------------------------------------------ what stages share

    def stream(self, purpose: str) -> np.random.Generator:
        """As World.stream."""
        return self.world().stream(purpose)

    def task(self, weights: Mapping[str, float] = questions.WEIGHTS, **reward: Any) -> Task:
        """Its questions after the line of the system."""
        return questions.task(self.town, weights, knowledge.dialogue, **reward)

    def world(self, task: Task | None = None, **conversations: Any) -> World:
        """As knowledge.world."""
        return knowledge.world(self.town, task=task, width=MODEL["width"], layers=MODEL["layers"], **conversations)

    def policy(self, name: str) -> Policy:
        """Of a stage."""
        return self.world().policy(self.road.folder / name)

    def model(self, name: str) -> Any:
        """The transformer of a stage, and its tokenizer."""
        folder = self.road.folder / name
        return checkpoint.load(folder).model, bpe.load(folder)

    @property
    def held_out(self) -> list[str]:
        """Pages that no crawler saw."""
        return pages.held_out(self.town, self.settings["town"]["held_out"])


def weights_of(share: float) -> dict[str, float]:
    """Of helpful, and of the other two, who share the rest.

    >>> weights_of(0.5)
    {'helpful': 0.5, 'honest': 0.25, 'harmless': 0.25}
    """
    rest = (1 - share) / (len(questions.CRITERIA) - 1)
    return dict.fromkeys(questions.CRITERIA, rest) | {"helpful": share}
