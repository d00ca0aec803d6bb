"""rlscratch life: all stages in small, what is resumed, what is told of it, and the report card.

A model of 16 channels that was trained for two steps says nothing that a criterion could judge.  So in these runs the
criteria read the length of an answer: what is tested is the road, not what is learned on it.
"""
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from rlscratch.__main__ import main
from rlscratch.cli import life
from rlscratch.files import read_json
from rlscratch.report.life import findings
from rlscratch.tasks.town import questions
from rlscratch.train.language import evaluation, knowledge, reward_model, sft
from test_report import Tags, outside

pytestmark = pytest.mark.compiled_only("a whole run; tests/test_train_*.py train by each of its methods on NumPy")

TINY = {"town": {"people": 4, "held_out": 2, "conversations": 8, "strangers": 4},
        "pretrain": {"steps": 2, "batch": 2}, "sft": {"steps": 2, "batch": 2}, "cured": {"steps": 1, "batch": 2},
        "reward": {"steps": 1, "rankings": 8, "answers": 2, "batch": 2}, "aligned": {"steps": 1, "groups": 2},
        "weights": {"steps": 1, "groups": 2}}
STAGES = ("curation", "raw", "base", "bought", "sft", "probed", "cured", "helpful", "honest", "harmless", "rules",
          "judges", "aligned", "helpful-0", "card")


def shrunk(patch):
    patch.setattr(life, "FULL", TINY)
    patch.setattr(life, "MODEL", {**life.MODEL, "width": 16, "layers": 1, "heads": 1})
    patch.setattr(life, "GRPO", {**life.GRPO, "group": 2})
    patch.setattr(life, "SHARES", (0.0,))
    patch.setattr(questions, "GOLD", dict.fromkeys(questions.CRITERIA, lambda town, prompt, answer: len(answer) % 7))
    patch.setattr(questions, "judged_by_rules", lambda prompt, answer: len(answer) % 5)
    patch.setattr(evaluation, "MOST", 20)
    patch.setattr(knowledge, "REPEATS", 2)
    patch.setattr(reward_model, "HELD_OUT", 10)
    patch.setattr("os.fsync", lambda _: None)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A run in small, and what it ended with."""
    folder = tmp_path_factory.mktemp("life") / "run"
    with pytest.MonkeyPatch.context() as patch:
        shrunk(patch)
        assert main(["life", "--run-dir", str(folder), "--quiet", "--json"]) == 0
    return folder, read_json(folder / "result.json")


def test_every_stage_leaves_its_folder_and_the_curated_text_is_clean(lived):
    folder, result = lived
    assert [*result["seconds_by_stage"]] == [*STAGES]
    assert all((folder / name / "result.json").exists() for name in STAGES)
    text = (folder / "curation" / "curated.txt").read_text("utf-8")
    assert "<" not in text and "<p>" in (folder / "curation" / "crawled.txt").read_text("utf-8")
    assert read_json(folder / "curation" / "result.json")["figures"]["private_left"] == 0


def test_judges_believe_and_ask_further_and_refusals_are_imitated_beside_grpo(lived, monkeypatch):
    folder, begun, imitated = lived[0], {}, []
    shrunk(monkeypatch)
    monkeypatch.setattr(sft, "imitate", lambda model, rows, share: imitated.append((rows, share)))
    one = life.Life(SimpleNamespace(
        folder=folder, args=SimpleNamespace(seed=0),
        measured=lambda name, _: read_json(folder / name / "result.json")["figures"],
        trained=lambda name, method, own, **settings: begun.update({name: (own.stages, settings)})), TINY)
    one.judge("honest")
    one.aligned("aligned", questions.WEIGHTS, "aligned")
    (judged, settings), (stages, _) = begun["honest"], begun["aligned"]
    assert settings["belief"] == life.BELIEF["honest"] and judged.policy.further is knowledge.further
    stages.beside(stages.policy.model, np.random.default_rng(0))
    ((rows, share),), chat = imitated, stages.policy.chat
    assert share == 0.1 and len(rows.tokens) == 32
    for tokens, mask in zip(rows.tokens, rows.mask, strict=True):
        assert [*tokens[mask > 0]] == chat.answer(questions.UNKNOWN)


def test_what_is_told_is_what_the_stages_found(lived, capsys):
    folder, result = lived
    found = findings.read(folder, result["seconds_by_stage"])
    card = read_json(folder / "card" / "result.json")["figures"]
    assert result["aligned_helpful"] == card["stages"]["aligned"]["axes"]["helpful"]
    assert result["cured_invented"] == card["stages"]["cured"]["strangers"]["invented"]
    assert result["raw_bits_per_byte"] - result["base_bits_per_byte"] == result["curation_bits_per_byte"]
    text = findings.text(found)
    assert all(called in text for called in findings.STAGES.values())
    assert re.search(rf"crawled +{result['pages_crawled']} ", text)
    assert [weight for weight, _ in findings.weights(found)] == [pytest.approx(1 / 3), 0.0]
    assert found.tokens["base"] == TINY["pretrain"]["steps"] * TINY["pretrain"]["batch"] * life.MODEL["context"]


def test_the_page_shows_every_stage_and_refers_to_nothing_outside_itself(lived):
    folder, _ = lived
    source = (folder / "index.html").read_text("utf-8")
    text = " ".join("".join(Tags(source).text).split())
    card = read_json(folder / "card" / "result.json")["figures"]
    assert outside(source) == [] and source.count("<svg") == 8 and "sideways" not in source
    assert all(called in text for called in findings.STAGES.values())
    assert all(prompt in text for prompt in card["prompts"]) and len(card["prompts"]) == 6
    assert {len(some) for some in card["answers"].values()} == {6} and "<|system|>" in card["template"]


def test_in_a_browser_the_page_fits_every_screen(browser, lived):
    for width in (390, 768, 1280):
        browser.open(lived[0] / "index.html", width=width)
        assert browser.overflow() == browser.console() == browser.requests() == [], width
        assert browser.smallest_text()[0] >= 10.99


def test_a_stage_that_is_done_is_not_done_again_and_one_that_is_not_ends_as_before(lived, tmp_path):
    folder, result = lived
    shutil.copytree(folder, tmp_path / "run")
    for name in ("helpful-0", "card"):
        shutil.rmtree(tmp_path / "run" / name)
    before = (tmp_path / "run" / "sft" / "checkpoint.json").stat().st_mtime_ns
    with pytest.MonkeyPatch.context() as patch:
        shrunk(patch)
        assert main(["life", "--run-dir", str(tmp_path / "run"), "--resume", "--quiet", "--json"]) == 0
    again = read_json(tmp_path / "run" / "result.json")
    assert (tmp_path / "run" / "sft" / "checkpoint.json").stat().st_mtime_ns == before
    told = [name for name in result if not name.startswith(("seconds", "run_dir", "page"))]
    assert {name: again[name] for name in told} == {name: result[name] for name in told}


def test_a_run_is_not_resumed_as_another_one(lived, capsys):
    folder, _ = lived
    with pytest.MonkeyPatch.context() as patch:
        shrunk(patch)
        assert main(["life", "--run-dir", str(folder), "--resume", "--seed", "1", "--quiet"]) == 2
    assert "--seed is 1; expected 0, with which the run in" in capsys.readouterr().err
    assert main(["life", "--seed", "-1", "--run-dir", str(folder / "new")]) == 2
    assert not (folder / "new").exists()
