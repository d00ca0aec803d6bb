"""The whole pipeline in one command, what it measures, and its page.

The turn, by hand: gold 0, 2, 4, 6, 6, 4, 2, 0, averaged over neighbours, is 1, 3, 5, 6, 5, 3, 1: it falls by 5 from
between steps 4 and 5.  Neighbours differ by 2 but for one pair, so a step's noise has at most the variance
6/7 * 4/2 = 12/7, and the fall the standard error sqrt(2 * 12/7 / 2) = 1.309.
"""
import json
import math
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rlscratch.__main__ import main
from rlscratch.cli import rlhf, road
from rlscratch.formulas.best_of_n import best_of_n_kl_bound
from rlscratch.report import figures
from rlscratch.report.rlhf import pipeline
from rlscratch.report.tour.ladder import Figure
from rlscratch.tasks import preferences
from rlscratch.tasks.task import Task
from rlscratch.train.language import dpo, evaluation, over_optimisation, reward_model, worlds
from rlscratch.train.language.chat import Chat
from rlscratch.train.language.over_optimisation import Trajectory, turn
from rlscratch.train.language.policy import Policy, by_task
from rlscratch.transformer import Config, Transformer
from strategies import arrays, eighths
from test_report import Tags, outside

TINY = {"sft": {"steps": 4, "shown": 1, "batch": 8}, "reward-model": {"steps": 3, "rankings": 12, "answers": 3},
        "ppo": {"steps": 6, "kl_target": 1.8, "batch": 8}, "dpo": {"steps": 20, "max_kl": 1.8, "batch": 4},
        "few-rankings": {"steps": 2, "rankings": 4, "answers": 3},
        "beta": {"steps": 6, "kl_target": 0.0, "batch": 8}, "best-of-n": {"prompts": 4}}
STAGES = ("sft", "reward-model", "ppo", "dpo", "few-rankings", "beta-0", "beta-0.03", "beta-0.1")
MEASURES = ("best-of-n", "comparison", "samples")
WHOLE = pytest.mark.compiled_only("a whole run; tests/test_train_*.py train by each of its methods on NumPy")


# ---------------------------------------------------------------- best of n from one pool

@pytest.fixture(scope="module")
def letters():
    """A policy that answers with letters, and a task that pays for each a."""
    chat = Chat.learn(["abc"])
    model = Transformer(Config(chat.tokenizer.vocab_size, 8, 16, 1, 1), np.random.default_rng(0), np.float64)
    task = Task("letters", ("a", "b", "c", "ab"), lambda prompt, answer: answer.count("a"), lambda prompt, answer: True)
    return Policy(model, chat, 4), task


def lengths(batch):
    return np.array([len(text) for text in batch.texts], float)


def test_a_pool_holds_what_everybody_says_of_the_same_answers(letters, monkeypatch):
    policy, task = letters
    found = over_optimisation.pool(policy, task, task.prompts, 5, {"length": lengths}, np.random.default_rng(1))
    batch = policy.answer([prompt for prompt in task.prompts for _ in range(5)], np.random.default_rng(1))
    assert_array_equal(found.gold.ravel(), task.rewards(batch.prompts, batch.texts))
    assert_array_equal(found.proxies["length"].ravel(), lengths(batch))
    assert_array_equal(found.lengths.ravel(), batch.rows.mask.sum(axis=1))
    assert found.gold.shape == (4, 5) and np.ptp(found.gold) > 0 and np.ptp(found.lengths) > 0
    monkeypatch.setattr(over_optimisation, "AT_ONCE", 3)           # in parts that cut through prompts: the same
    parts = over_optimisation.pool(policy, task, task.prompts, 5, {"length": lengths}, np.random.default_rng(1))
    assert_array_equal(parts.gold, found.gold)
    assert_array_equal(parts.proxies["length"], found.proxies["length"])


def test_the_curve_ends_where_best_of_all_the_pool_is_and_begins_at_its_mean(letters):
    policy, task = letters
    found = over_optimisation.pool(policy, task, task.prompts, 8, {"length": lengths}, np.random.default_rng(1))
    one, two, eight = over_optimisation.best_of_curve(found, "length", (1, 2, 8))
    batch = policy.answer([prompt for prompt in task.prompts for _ in range(8)], np.random.default_rng(1))
    scores = np.reshape(lengths(batch), (-1, 8))
    best = batch.at(scores.argmax(axis=1) + 8 * np.arange(len(scores)))
    assert_allclose([one["reward"], one["proxy"], one["kl"]], [found.gold.mean(), found.proxies["length"].mean(), 0])
    assert_allclose([eight["reward"], eight["proxy"], eight["kl"]],
                    [by_task(task)(best).mean(), scores.max(axis=1).mean(), math.log(8) - 7 / 8])
    assert_allclose(eight["answer_length"], best.tokens / len(best))
    assert one["proxy"] < two["proxy"] < eight["proxy"]
    by_prompt = found.gold[np.arange(len(found.gold)), scores.argmax(axis=1)]
    assert eight["prompts"] == 4
    assert_allclose([one["reward_error"], eight["reward_error"]],
                    [np.std(rewards, ddof=1) / 2 for rewards in (found.gold.mean(axis=1), by_prompt)])


# ---------------------------------------------------------------- the turn

def path(gold, proxy=None):
    steps = np.arange(1.0, len(gold) + 1)
    return Trajectory(steps, (steps - 1) / 2, steps if proxy is None else proxy, np.array(gold, float))


def test_the_turn_is_where_smoothed_gold_is_largest():
    found = turn(path([0, 2, 4, 6, 6, 4, 2, 0]), window=2)
    assert_allclose(found.pop("error"), math.sqrt(12 / 7))
    assert found == dict(step=4.5, kl=1.75, gold=6, proxy=4.5, end_kl=3.25, end_gold=1, end_proxy=7.5, fall=5, rise=3,
                         turned=True)
    assert 3 * math.sqrt(12 / 7) < 5


def test_gold_that_rises_to_the_end_has_not_turned():
    found = turn(path(np.arange(20)))
    assert (found["step"], found["fall"], found["rise"], found["turned"]) == (16, 0, 0, False)


def test_a_fall_with_the_proxy_is_no_turn():
    gold = [0, 2, 4, 6, 6, 4, 2, 0]
    assert turn(path(gold), 2)["turned"] and not turn(path(gold, np.array(gold, float)), 2)["turned"]


def test_noise_is_no_turn():
    assert not turn(path(np.tile([0.0, 3.0, 1.0], 20)), window=5)["turned"]
    rng = np.random.default_rng(0)
    assert sum(turn(path(rng.standard_normal(80)))["turned"] for _ in range(200)) <= 10
    falls = np.r_[np.linspace(0, 4, 40), np.linspace(4, 0, 40)]
    assert all(turn(path(falls + rng.standard_normal(80)))["turned"] for _ in range(50))


@given(st.integers(2, 12).flatmap(lambda n: arrays((n,))), eighths(-4, 4), st.sampled_from([1, 2, 4, 8]))
def test_the_origin_of_gold_does_not_matter_and_its_scale_does_not_to_the_verdict(gold, shift, scale):
    one, other = turn(path(gold), 2), turn(path(scale * gold + shift), 2)
    assert one["step"] == other["step"] and one["turned"] == other["turned"]
    assert_allclose([other["fall"], other["error"]], [scale * one["fall"], scale * one["error"]], atol=1e-12)


def test_a_trajectory_is_read_from_the_figures_of_steps():
    figures = [{"reward": 1.0, "gold": 2, "kl": 0.5, "beta": 0.1}, {"reward": 3.0, "gold": 1, "kl": 0.75, "beta": 0.1}]
    run = Trajectory.of(figures)
    assert_array_equal(np.stack(run), [[1, 2], [0.5, 0.75], [1, 3], [2, 1]])
    assert_array_equal(np.stack(run.smoothed(2)), [[1.5], [0.625], [2], [1.5]])


@pytest.mark.parametrize(("figures", "message"), [
    ([], "the number of steps is 0; expected a finite number > 0"),
    ([{"reward": 1.0, "kl": 0.5}], r"the figures of a step is \['kl', 'reward'\]; expected gold among them")])
def test_a_run_without_steps_or_gold_has_no_trajectory(figures, message):
    with pytest.raises(ValueError, match=message):
        Trajectory.of(figures)


def test_a_window_is_no_longer_than_the_run():
    with pytest.raises(ValueError, match=r"window is 9; expected an integer in \[1, 3\]"):
        turn(path([1, 2, 3]))


# ---------------------------------------------------------------- the command

def tiny(monkeypatch):
    recipe = replace(worlds.RECIPES["preferences"], width=16, layers=1)
    monkeypatch.setitem(worlds.RECIPES, "preferences", recipe)
    monkeypatch.setattr(rlhf, "SETTINGS", TINY)
    monkeypatch.setattr(reward_model, "HELD_OUT", 20)
    monkeypatch.setattr(evaluation, "MOST", 40)
    monkeypatch.setattr(dpo, "SEEN", 16)
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run in a tiny world."""
    folder = tmp_path_factory.mktemp("rlhf") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        tiny(monkeypatch)
        assert main(["rlhf", "--run-dir", str(folder), "--quiet", "--json"]) == 0
    return folder


@pytest.fixture
def copy(finished, tmp_path, monkeypatch):
    """The same, to be changed."""
    tiny(monkeypatch)
    return shutil.copytree(finished, tmp_path / "copy")


@pytest.fixture
def undrawn(monkeypatch):
    """The page is written as ever, but for its drawings: those of `finished` are looked at."""
    def saved(figure, name, caption, folder):
        figures.plt.close(figure)
        return Figure(name, b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>', caption)

    monkeypatch.setattr(rlhf.page, "saved", saved)


def resumed(folder, capsys, *argv):
    assert main(["rlhf", "--run-dir", str(folder), "--resume", "--quiet", "--json", *argv]) == 0
    out, err = capsys.readouterr()
    (line,) = out.splitlines()                      # nothing of the stages
    assert err == ""
    return json.loads(line)


def lasting(result):
    """All but what the clock and the place say."""
    passing = ("run_dir", "page", "seconds", "seconds_by_stage")
    return {key: value for key, value in result.items() if key not in passing}


@WHOLE
def test_each_stage_has_a_folder_of_its_own_that_other_commands_read(finished):
    for name in STAGES:
        assert {"config.json", "metrics.jsonl", "result.json", "tokenizer.json", "checkpoint.json"} <= {
            path.name for path in (finished / name).iterdir()}, name
    assert all((finished / name / "result.json").exists() for name in MEASURES)
    betas = [pipeline.result(finished / f"beta-{beta:g}")["beta"] for beta in rlhf.BETAS]
    assert betas == list(rlhf.BETAS) and betas[0] == 0
    same = ("rankings", "answers", "noise")
    many, direct = (pipeline.result(finished / name) for name in ("reward-model", "dpo"))
    assert [many[name] for name in same] == [direct[name] for name in same]
    learned_from = [pipeline.result(finished / name)["reward_model"] for name in ("ppo", *STAGES[5:])]
    assert len(set(learned_from)) == 2 and len(set(learned_from[1:])) == 1          # the proxy, and the poor one
    assert len({pipeline.result(finished / name)["init"] for name in STAGES[1:]}) == 1


@WHOLE
def test_the_figures_follow_from_those_of_the_stages(finished):
    said, found = pipeline.result(finished), pipeline.read(finished)
    compared = pipeline.result(finished / "comparison")["figures"]["policies"]
    gold = {name: compared[name]["reward"] for name in compared}
    assert (said["sft_gold"], said["ppo_gold"], said["dpo_gold"]) == (gold["sft"], gold["ppo"], gold["dpo"])
    assert abs(said["sft_kl"]) < 1e-5 and said["best_of_16_kl"] == best_of_n_kl_bound(16)
    best = next(point for point in found.best_of_n["reward-model"] if point["n"] == 16)
    assert said["best_of_16_gold"] == best["reward"]
    whole = best["reward"] - gold["sft"]
    share = said["ppo_gain_of_best_of_16"]
    assert share is None if whole <= 0 else share == pytest.approx((gold["ppo"] - gold["sft"]) / whole)
    assert said["sft_gold_error"] == compared["sft"]["reward_error"] > 0 and said["ppo_kl_error"] > 0
    assert said["reward_model_accuracy"] == found.stages["reward-model"]["held_out_accuracy"]
    assert [point["n"] for point in found.best_of_n["few-rankings"]] == list(rlhf.SIZES)
    assert said["seconds"] == pytest.approx(sum(said["seconds_by_stage"].values()), abs=0.01)
    assert list(said["seconds_by_stage"]) == [*STAGES, *MEASURES] and found.prompts == 40


@WHOLE
def test_samples_are_the_same_prompts_with_gold_and_its_parts(finished):
    samples = pipeline.read(finished).samples
    assert [sample["prompt"] for sample in samples] == list(preferences.task().held_out[:rlhf.SAMPLES])
    for sample in samples:
        assert list(sample["answers"]) == ["sft", "ppo", "beta-0"]
        for one in sample["answers"].values():
            assert one["gold"] == sum(one["parts"].values()) == preferences.gold(sample["prompt"], one["text"])


@WHOLE
def test_a_finished_run_is_read_and_not_trained_again(copy, undrawn, capsys, monkeypatch):
    (copy / "index.html").unlink()
    monkeypatch.setattr(road.command, "train", None)
    monkeypatch.setattr(rlhf.evaluation, "held_out", None)
    assert lasting(resumed(copy, capsys)) == lasting(pipeline.result(copy))
    assert (copy / "index.html").exists()


@WHOLE
def test_an_interrupted_run_goes_on_to_the_same_figures(finished, undrawn, tmp_path, monkeypatch, capsys):
    tiny(monkeypatch)
    folder, step = tmp_path / "run", dpo.step
    told = []

    def stopped(*args, **options):
        if len(told) == 7:
            raise KeyboardInterrupt
        told.append(1)
        return step(*args, **options)

    monkeypatch.setattr(dpo, "step", stopped)
    later = {path.name for path in finished.iterdir()} - {"config.json", "sft", "reward-model", "ppo"}
    shutil.copytree(finished, folder, ignore=lambda at, _: later if at == str(finished) else ())
    assert main(["rlhf", "--run-dir", str(folder), "--resume", "--quiet", "--save-every", "5"]) == 130
    assert capsys.readouterr().err == (f"rlscratch: interrupted; what {folder} has saved is whole, and rlscratch rlhf "
                                       f"--resume --run-dir {folder} goes on from there\n")
    assert not (folder / "dpo" / "result.json").exists() and not (folder / "few-rankings").exists()
    monkeypatch.setattr(dpo, "step", step)
    assert lasting(resumed(folder, capsys)) == lasting(pipeline.result(finished))
    lines = [json.loads(line)["step"] for line in (folder / "dpo" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert lines == list(range(1, len(lines) + 1))


@WHOLE
def test_without_json_tables_are_printed_and_the_progress_goes_to_standard_error(copy, undrawn, capsys):
    shutil.rmtree(copy / "samples")
    assert main(["rlhf", "--run-dir", str(copy), "--resume"]) == 0
    out, err = capsys.readouterr()
    assert err == "rlhf: samples\n"
    said = pipeline.result(copy)
    assert re.search(rf"best of 16 +{said['best_of_16_gold']:.2f} ", out) and "largest gold" in out
    assert out.splitlines()[-1].endswith(f"the page is {copy / 'index.html'}")


@WHOLE
@pytest.mark.parametrize(("argv", "message"), [
    (["--seed", "1", "--resume"], "--seed is 1; expected 0, with which the run in"),
    ([], "expected a folder that holds no run yet; resume continues the one in it"),
    (["--seed", "-1"], "--seed is -1; expected an integer >= 0"),
    (["--save-every", "0", "--resume"], "--save-every is 0; expected an integer >= 1")])
def test_another_run_than_the_one_in_the_folder_is_refused(copy, capsys, argv, message):
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    assert main(["rlhf", "--run-dir", str(copy), *argv]) == 2
    assert message in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in copy.rglob("*")}


def test_every_stage_has_settings_that_its_method_knows():
    methods = {"sft": rlhf.sft, "reward-model": reward_model, "few-rankings": reward_model, "ppo": rlhf.ppo,
               "beta": rlhf.ppo, "dpo": dpo}
    world = worlds.make("preferences")
    assert {*rlhf.SETTINGS} == {*TINY} == {*methods, "best-of-n"}
    for name, module in methods.items():
        settings = dict(rlhf.SETTINGS[name])
        assert module.METHOD.total(world, settings.pop("steps")) >= 1
        assert settings.items() <= module.METHOD.settings(world, **settings).items()
    assert rlhf.SETTINGS["best-of-n"]["prompts"] == 1000 and pipeline.YARDSTICK in rlhf.SIZES


# ---------------------------------------------------------------- the page

@pytest.fixture(scope="module")
def built(finished):
    return (finished / "index.html").read_text("utf-8")


@WHOLE
def test_the_page_needs_nothing_else_and_its_links_arrive(built):
    assert outside(built) == [] and "default-src 'none'" in built
    tags = Tags(built)
    ids = tags.attributes("id")
    assert len(ids) == len(set(ids))
    wanted = {value.removeprefix("#") for value in tags.attributes("href") if value.startswith("#")}
    assert wanted | set(tags.attributes("aria-labelledby")) <= set(ids)
    names = [tag for tag, _ in tags.tags]
    assert names.count("table") == names.count("caption") == 2 and names.count("svg") == 8
    assert all("scope" in attributes for tag, attributes in tags.tags if tag == "th")


@WHOLE
def test_the_page_shows_the_numbers_of_every_stage(built, finished):
    text, said = " ".join(Tags(built).text), pipeline.result(finished)
    for name in ("sft", "best_of_16", "ppo", "dpo"):
        assert f"{said[f'{name}_gold']:.2f}".replace("-", "−") in text, name
    assert f"{100 * said['reward_model_accuracy']:.1f}%" in text
    assert all(sample["prompt"] in text for sample in pipeline.read(finished).samples)
    assert "−0.00" not in text


@WHOLE
def test_a_turn_is_stated_with_its_step_and_the_fall(copy, undrawn, capsys):
    gold = [min(step, 80 - step) / 10 for step in range(1, 61)]
    with open(copy / "beta-0" / "metrics.jsonl", "w", encoding="utf-8") as file:
        for i, value in enumerate(gold):
            file.write(json.dumps({"step": i + 1, "reward": i / 10, "gold": value, "kl": i / 6, "beta": 0.0}) + "\n")
    said = resumed(copy, capsys)
    assert said["turned"] and said["turn_step"] == 40
    assert said["turn_gold"] == pytest.approx(4 - 20 / 9 / 10) and said["turn_end_gold"] == pytest.approx(2.4)
    text = " ".join(Tags((copy / "index.html").read_text("utf-8")).text)
    assert "in step 40, and then loses" in text and "did not turn" not in text


@WHOLE
def test_a_run_without_a_turn_says_so(copy, undrawn, capsys):
    with open(copy / "beta-0" / "metrics.jsonl", "w", encoding="utf-8") as file:
        for i in range(20):
            file.write(json.dumps({"step": i + 1, "reward": i / 10, "gold": i / 10, "kl": i / 6, "beta": 0.0}) + "\n")
    assert resumed(copy, capsys)["turned"] is False
    assert "did not turn" in " ".join(Tags((copy / "index.html").read_text("utf-8")).text)


@WHOLE
def test_in_a_browser_nothing_is_broken_overflows_or_is_fetched(browser, finished):
    for width in (390, 768, 1280):
        browser.open(finished / "index.html", width=width)
        assert browser.overflow() == browser.console() == browser.requests() == []
        assert browser.smallest_text()[0] >= 10.99
        browser.run("document.getElementById('theme').click()")
        assert browser.run("return document.documentElement.dataset.theme") in ("light", "dark")
