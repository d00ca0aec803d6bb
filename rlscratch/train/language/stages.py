"""The stages that a method begins with: found in folders, loaded, or trained now.

A method that aligns a policy begins with a fine-tuned one, and where preferences are learned with a reward model, too
(LanguageMethod.needs).  Each is the run of another method.  Where a run's user names no folder for a stage, the run
trains it, in a folder of its own: sft/, reward-model/.

The folder of a stage is read and never written.  In config.json it stands by its content, not by its path: a run that
was begun with one model is not resumed with another.
"""
import argparse
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlscratch import check
from rlscratch.train import distributed
from rlscratch.train.language import reward_model, sft
from rlscratch.train.language.chat import Chat
from rlscratch.train.language.method import Figures, LanguageMethod, Learner, Stages
from rlscratch.train.language.worlds import World
from rlscratch.train.model_run import ModelRun, command_of
from rlscratch.train.run import refuse_run_in
from rlscratch.transformer import Transformer

Train = Callable[[LanguageMethod, Path, dict[str, Any]], None]      # (method, folder, options): train that stage there


def given(method: LanguageMethod, args: argparse.Namespace, world: World) -> tuple[Stages, dict[str, str | None]]:
    """The stages whose folders were given, and for config.json by what they are known."""
    is_one, proxy = command_of(args.init) != "train reward-model", None
    policy = _loaded("init", args.init, "the run of a policy", is_one, world.policy)
    known = {"init": policy and _identity(args.init, policy.model, policy.chat)}
    if "reward-model" in method.needs:
        is_one = command_of(args.reward_model) in ("train reward-model", None)
        proxy = _loaded("reward_model", args.reward_model, "the run of a reward model", is_one, world.reward_model)
        known["reward_model"] = proxy and (_identity(args.reward_model, proxy.model, proxy.chat)
                                           + f", belief {proxy.belief}" * (proxy.belief > 0))
    if proxy is not None and not _same(proxy.chat, policy.chat if policy else world.chat()):
        check.fail("reward_model", str(args.reward_model),
                   "one with the policy's tokens; init is to be the run that it was trained on")
    return Stages(policy, proxy), known


def _loaded(option: str, folder: Path | None, expected: str, holds: bool, load: Any) -> Any:
    """What `load` makes of a folder; its errors name the option."""
    if folder is None:
        return None
    if not holds:
        check.fail(option, str(folder), f"{expected}; this is one of {command_of(folder)}")
    try:
        return load(folder)
    except ValueError as wrong:
        raise ValueError(f"{option} {folder}: {wrong}") from wrong


def _missing(method: LanguageMethod, world: World, given: Stages) -> list[LanguageMethod]:
    """The stages that are to be trained before the method can begin."""
    missing = [sft.METHOD] if "sft" in method.needs and given.policy is None else []
    if "reward-model" in method.needs and given.reward_model is None and world.ranked:
        missing.append(reward_model.METHOD)
    return missing


def tried(method: LanguageMethod, args: argparse.Namespace, world: World, given: Stages,
          settings: Figures) -> Learner | None:
    """The learner of a method whose stages are there; for the others None.

    Then each stage's settings are checked, and the first stage is tried with few data.  So folders in the way, and
    data or a policy that do not fit, are found before anything is written.
    """
    missing = _missing(method, world, given)
    for stage in missing:
        stage.settings(world)
    if args.run_dir is not None:
        distributed.agreed(lambda: _free(args, missing))        # before the first process begins the run there
    if not missing:
        return method.begin(world, world.stream(method.name), given, **settings)
    if sft.METHOD in missing:
        sft.METHOD.begin(world, world.stream("sft"), Stages(), **sft.METHOD.settings(world, shown=1))
    return None


def _free(args: argparse.Namespace, missing: list[LanguageMethod]) -> None:
    """Raise ValueError where the run's folder is in use."""
    here = Path(args.run_dir)
    refuse_run_in(here)
    for stage in missing:
        if (here / stage.name).exists():
            check.fail("run_dir", args.run_dir, f"a folder without {stage.name}/, where this run keeps its own")
    for option in ("init", "reward_model"):
        if (folder := getattr(args, option, None)) and folder.resolve() == here.resolve():
            check.fail("run_dir", args.run_dir, f"another folder than that of {option}")


def prepared(method: LanguageMethod, args: argparse.Namespace, world: World, run: ModelRun, given: Stages,
             train: Train) -> Stages:
    """The stages that a method needs: as given, or trained now, each in a folder of the run.

    A resumed run goes on with a stage that it had begun, and keeps one that has ended.
    """
    policy, proxy, missing = given.policy, given.reward_model, _missing(method, world, given)
    for stage in missing:
        folder = run.folder / stage.name
        if not distributed.agreed((folder / "result.json").exists):
            begun_with = {"init": args.init or run.folder / sft.METHOD.name} if "sft" in stage.needs else {}
            train(stage, folder, begun_with)
        if stage is sft.METHOD:
            policy = world.policy(folder)
        else:
            proxy = world.reward_model(folder)
    return replace(given, policy=policy, reward_model=proxy)


def _identity(folder: Path, model: Transformer, chat: Chat) -> str:
    """By what a model in a folder is known: its parameters and its tokens."""
    digest = hashlib.sha256(repr(_tokens(chat)).encode())
    for name, parameter in model.parameters().items():
        digest.update(name.encode() + parameter.data.tobytes())
    return f"{command_of(folder) or 'a model'}, SHA-256 {digest.hexdigest()[:16]}..."


def _same(chat: Chat, other: Chat) -> bool:
    return _tokens(chat) == _tokens(other)


def _tokens(chat: Chat) -> tuple:
    return sorted(chat.tokenizer.vocab.items()), chat.tokenizer.merges, sorted(chat.tokenizer.special_tokens.items())
