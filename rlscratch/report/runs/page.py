"""A page about one run, or about two side by side: read from their folders, in the look of the tour's page.

A run under way has a page, too, as far as it has come.
"""
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2.utils import markupsafe

from rlscratch import check
from rlscratch.cli import tables
from rlscratch.files import parsed, read_json
from rlscratch.report import curves, equations
from rlscratch.report.runs.objective import objective
from rlscratch.report.tour import page
from rlscratch.report.tour.ladder import Figure
from rlscratch.train import run as runs

HIDDEN = ("command", "goal", "said", "version", "sha256", "run_dir")        # of a configuration, told elsewhere
REFRESH = 3             # seconds between two looks at a run under way


class RunRead(NamedTuple):
    """What a run's folder holds.

    name     that tells it from the other run on the page
    config   its choices
    points   a line a step
    results  figure -> as text, with its standard error; empty until the run has ended
    samples  prompts, answered before and after, or at a step
    learned  map and path of a lake, answers of a bandit; "" for others
    stage    what comes before its first step: a RunRead of the folder in it that was written to last; None for none
    """

    name: str
    config: dict[str, Any]
    points: list[dict[str, Any]]
    results: dict[str, str]
    samples: list[dict[str, Any]]
    learned: str
    stage: Any = None

    @property
    def drawn(self) -> tuple[str, list[dict[str, Any]]]:
        """What its curves show: its own steps, or those of the stage before them."""
        return (self.name, self.points) if self.stage is None else (f"{self.name}/{self.stage.name}", self.stage.points)

    @property
    def choices(self) -> dict[str, str]:
        """Its choices as text."""
        return {name.replace("_", " "): runs.shown(value) for name, value in self.config.items() if name not in HIDDEN}

    @property
    def steps(self) -> str:
        """How far it has come."""
        last = self.points[-1]["step"] if self.points else 0
        goal = self.config.get("steps") or (self.config.get("goal") or {}).get("steps")
        return f"{last:,} of {goal:,} steps" if goal and goal != last else f"{last:,} steps"


def read(folder: Path) -> RunRead:
    """The run in a folder.  Raises ValueError where there is none, or one of several stages, which has its own page."""
    if not (folder / "config.json").exists():
        check.fail("RUN", str(folder), "the folder of a run, such as runs/grpo")
    config = dict(read_json(folder / "config.json"))
    if "command" not in config:
        check.fail("RUN", str(folder), "the folder of a run of rlscratch, whose config.json names its command")
    if config["command"] in ("rlhf", "life"):
        check.fail("RUN", str(folder), "the run of one method; this one has its page, index.html, and its stages are "
                   f"runs, such as {folder / 'sft'}")
    metrics, result, samples = (folder / name for name in ("metrics.jsonl", "result.json", "samples.json"))
    whole = metrics.read_bytes().rpartition(b"\n")[0] if metrics.exists() else b""      # the last line may be under way
    points = [_numbers(parsed(line, where), where) for where, line in (
        (f"line {number} of {metrics}", line) for number, line in enumerate(whole.splitlines(), 1))]
    figures = dict(read_json(result)) if result.exists() else {}
    told = {name: value for name, value in figures.items() if name not in config and name not in HIDDEN}
    return RunRead(
        folder.resolve().name, config, points,
        dict(runs.lines({name: value for name, value in told.items() if name != "calibration"})),
        parsed(samples.read_bytes(), str(samples), list) if samples.exists() else _sampled(points),
        tables.learned(folder) if figures and (folder / "state.npz").exists() else "",
        None if points or figures else _stage(folder))


def _numbers(point: dict[str, Any], where: str) -> dict[str, Any]:
    """What a step wrote down, whose curves are numbers."""
    for key in curves.PANELS:
        if not isinstance(point.get(key), int | float | None):
            check.fail(f"{key} in {where}", point[key], "a number")
    return point


def _stage(folder: Path) -> RunRead | None:
    """The stage that a run is in which has no step of its own yet."""
    begun = [path for path in folder.glob("*/metrics.jsonl") if (path.parent / "config.json").exists()]
    return read(max(begun, key=lambda path: path.stat().st_mtime_ns).parent) if begun else None


def build(folders: Sequence[Path], refresh: bool = False) -> str:
    """The page as HTML.

    folders  of one run or two
    refresh  whether the browser is to ask again every REFRESH seconds
    """
    found = [read(Path(folder)) for folder in folders]
    if len(found) > 1 and found[0].name == found[1].name:           # a/ppo and b/ppo
        found = [run._replace(name=str(folder)) for run, folder in zip(found, folders, strict=True)]
    choices, results = ([getattr(run, part) for run in found] for part in ("choices", "results"))
    return page.template(__package__).render(
        runs=found, objectives=[typeset(objective(run.config)) for run in found], curves=_drawn(found, folders),
        choices=_rows(choices), results=_rows(results), samples=_samples(found), notes=_notes(found),
        about=page.about(), refresh=REFRESH if refresh else None)


def write(folders: Sequence[Path], path: Path | None = None) -> Path:
    """Write the page; its path.

    path  None: in the first folder, index.html, or for two runs beside-NAME.html, with the other one's name
    """
    html, (first, *other) = build(folders), map(Path, folders)
    path = path or first / (f"beside-{other[0].resolve().name}.html" if other else "index.html")
    page.write(path, html)
    return path


def typeset(lines: Sequence[str]) -> str:
    """An objective as HTML: MathML, a line each."""
    return markupsafe.Markup("".join(f'<p class="line">{equations.typeset(line)}</p>\n' for line in lines))


# ---------------------------------------------------------------- its parts

def _drawn(found: Sequence[RunRead], folders: Sequence[Path]) -> Figure | None:
    """The curves; None before anything was written down that has a panel."""
    if not any(map(_panels, found)):
        return None
    drawn = []
    with tempfile.TemporaryDirectory() as folder:
        for name, widest in (("wide", curves.COLUMNS), ("narrow", 1)):
            if len(found) == 1 and found[0].results:            # with the best possible, and a calibration
                path = curves.training(folders[0], name, Path(folder), widest, found[0].points)
            else:
                path = curves.beside(dict(run.drawn for run in found), name, Path(folder), widest)
            drawn.append(path.read_bytes())
            caption = read_json(path.with_suffix(".json"))["caption"]
    return Figure("curves", drawn[0], caption, drawn[1])


def _panels(run: RunRead) -> set[str]:
    """The figures of its steps that have a panel."""
    return {key for point in run.drawn[1] for key in curves.PANELS if point.get(key) is not None}


def _notes(found: Sequence[RunRead]) -> list[str]:
    """What to know before two runs are compared."""
    def each(name: str) -> list[str]:
        said = [run.config.get(name) for run in found]
        return [] if None in said else list(dict.fromkeys(map(str, said)))

    said = [f"Two {many}, {' and '.join(each(name))}: {warning}" for name, many, warning in (
        ("command", "methods", "their losses are different numbers, and curves that only one of them has stand alone."),
        ("task", "tasks", "a reward of the one is no reward of the other.")) if len(each(name)) > 1]
    if all(map(_panels, found)) and not set.intersection(*map(_panels, found)):
        said.append("No figure of a step was written down by both: there is nothing to lay one over the other.")
    return said


def _rows(each: Sequence[dict[str, str]]) -> list[tuple[str, list[str], bool]]:
    """Name, what each run has, and whether they differ."""
    names = dict.fromkeys(name for one in each for name in one)
    rows = [(name, [one.get(name, "") for one in each]) for name in names]
    return [(name, values, len(set(values)) > 1) for name, values in rows]


def _samples(found: Sequence[RunRead]) -> list[dict[str, Any]]:
    """Prompts, each with the answers of all runs: who says it, the text, its reward."""
    together: dict[str, list[tuple[str, str, str]]] = {}
    for run in found:
        for sample in run.samples:
            said = together.setdefault(sample["prompt"], [])
            said += [(f"{run.name}, {when}" if len(found) > 1 else when, text,
                      f"{sample[f'reward_{when}']:g}" if f"reward_{when}" in sample else "")
                     for when, text in sample.items() if when != "prompt" and not when.startswith("reward_")]
    return [{"prompt": prompt, "answers": answers} for prompt, answers in together.items()]


def _sampled(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a model that is pre-trained wrote at its first save and at its last."""
    texts = [(f"step {point['step']:,}", point["sample"]) for point in points if "sample" in point]
    return [{"prompt": "(the beginning of a text)", **dict([texts[0], texts[-1]])}] if texts else []
