"""The settings of a method: defaults by kind of task, checks, options, and two methods behind one command."""
import argparse

import pytest

from rlscratch import check
from rlscratch.cli import train as cli
from rlscratch.train import settings
from rlscratch.train.language import dpo, expert_iteration, grpo, ppo, reward_model, sft
from rlscratch.train.settings import Choice, given, shown
from rlscratch.train.settings import of as settings_of
from rlscratch.train.tabular import clone, reinforce
from rlscratch.train.tabular import grpo as tabular_grpo
from rlscratch.train.tabular import ppo as tabular_ppo

LR = Choice("lr", {"a lake": 50.0, "a bandit": 0.2}, "length of a step", check.positive)
TEXT_LR = Choice("lr", {"": 0.001, "addition": 0.01}, "largest step size", check.positive)
LOSS = Choice("loss_of", {"": "dpo"}, "which loss", options=("dpo", "ipo"))
TURN = Choice("turn", {"a lake": False, "a bandit": True}, "turn it")
PAIRS = [(tabular_ppo.METHOD, ppo.METHOD), (tabular_grpo.METHOD, grpo.METHOD)]
ALL = (*(m for pair in PAIRS for m in pair), sft.METHOD, dpo.METHOD, reward_model.METHOD, expert_iteration.METHOD,
       reinforce.METHOD, clone.METHOD)


def parsed(some, *argv):
    parser = argparse.ArgumentParser()
    for choice in some:
        choice.add(parser)
    return parser.parse_args(argv), " ".join(parser.format_help().split())


def test_the_default_is_that_of_the_first_kind_that_has_one():
    assert TEXT_LR.default("addition") == 0.01 and TEXT_LR.default("preferences") == TEXT_LR.default() == 0.001
    assert LR.default("somewhere", "a bandit", "a lake") == 0.2


def test_settings_are_chosen_or_defaults_and_checked():
    assert settings_of([TEXT_LR, LOSS], ["addition"], {"loss_of": "ipo"}) == {"lr": 0.01, "loss_of": "ipo"}
    for chosen, message in [({"lr": -1.0}, "lr is -1.0; expected a finite number > 0"),
                            ({"loss_of": "x"}, "loss_of is 'x'; expected one of 'dpo', 'ipo'"),
                            ({"speed": 1}, "setting is 'speed'; expected one of 'lr', 'loss_of'")]:
        with pytest.raises(ValueError, match=message):
            settings_of([TEXT_LR, LOSS], ["addition"], chosen)
    with pytest.raises(ValueError, match="turn is 2; expected one of False, True"):
        TURN.checked(2)


def test_what_the_command_line_does_not_say_is_none_and_not_given():
    args, _ = parsed([LR, LOSS, TURN], "--lr", "3")
    assert vars(args) == {"lr": 3.0, "loss_of": None, "turn": None} and given([LR, LOSS, TURN], args) == {"lr": 3.0}
    args, _ = parsed([LR, LOSS, TURN], "--no-turn", "--loss-of", "ipo")
    assert given([LR, LOSS, TURN], args) == {"turn": False, "loss_of": "ipo"}


@pytest.mark.parametrize(("defaults", "said"), [
    ({"a lake": 1, "a bandit": 1}, "1"), ({"": 0.1}, "0.1"), ({"": 4, "x": 5, "y": 5}, "4, 5 on x or y"),
    ({"a": 1, "b": 1, "c": 1, "d": 2}, "1 on a, b or c, 2 on d"), ({"a": False, "b": True}, "False on a, True on b"),
    ({"a": 1, "b": 1.0}, "1"), ({"": 4, "x": 5, "y": 4}, "4, 5 on x")])
def test_defaults_are_shown_by_kind(defaults, said):
    assert shown(defaults) == said
    assert f"which (default: {said})" in parsed([Choice("which", defaults, "which", check.number)])[1]


@pytest.mark.parametrize(("tables", "text"), PAIRS, ids=["ppo", "grpo"])
def test_what_two_methods_behind_one_command_both_have_is_one_setting(tables, text):
    own = {choice.name: choice for choice in tables.choices}
    shared = [choice for choice in text.choices if choice.name in own]
    assert len(shared) >= 7 and all(own[choice.name] is choice for choice in shared)


@pytest.mark.parametrize(("name", "option", "said"), [
    ("GRPO", "--lr", "50 on a lake, 0.2 on a bandit, 0.001 on text, 0.003 on cups or products"),
    ("GRPO", "--eps-low", "the variant's own"),
    ("PPO", "--lr", "50 on a lake, 0.2 on a bandit, 0.001 on text, 0.0004 on preferences"),
    ("GRPO", "--beta", "the variant's own, 0 on every-third-character, addition, cups or products")])
def test_one_option_tells_the_defaults_of_both(name, option, said):
    parser = argparse.ArgumentParser()
    getattr(cli, name).add_arguments(parser)
    (action,) = (one for one in parser._actions if option in one.option_strings)
    assert f"(default: {said})" in action.help


def test_a_setting_of_text_alone_says_nothing_of_tables():
    both = Choice("lr", {"a lake": 50.0, "a bandit": 0.2, "text": 0.1}, "size", check.positive)
    assert both.of_text().defaults == {"text": 0.1} and shown(both.of_text().defaults) == "0.1"


def test_none_is_a_value_only_where_something_else_decides():
    preset = Choice("beta", {"": None, "addition": 0.0}, "weight", check.non_negative)
    assert settings_of([preset], ["x"], {}) == {"beta": None} and preset.checked(0.5) == 0.5
    assert parsed([preset], "--beta", "0.5")[0].beta == 0.5
    with pytest.raises(TypeError, match="lr is None; expected a finite number > 0"):
        LR.checked(None)


@pytest.mark.parametrize("method", ALL, ids=lambda method: f"{type(method).__module__.split('.')[2]}-{method.name}")
def test_every_default_passes_its_own_check(method):
    for choice in method.choices:
        assert all(choice.checked(value) == value for value in choice.defaults.values()), choice.name
        assert len({type(value) for value in choice.defaults.values() if value is not None}) <= 1, choice.name


def test_an_option_nobody_speaks_of_says_nothing_of_none():
    assert "None" not in parsed([LR, LOSS, TURN])[1] and settings.UNSAID % {"default": None} == ""
