"""The settings of a method: defaults by kind of task, checks, options, and two methods behind one command."""
import argparse

import pytest

from rlscratch import check
from rlscratch.train import choices
from rlscratch.train.choices import Choice, given, merged, settings, shown
from rlscratch.train.language import dpo, expert, grpo, ppo, reward_model, sft
from rlscratch.train.tabular import clone, reinforce
from rlscratch.train.tabular import grpo as tabular_grpo
from rlscratch.train.tabular import ppo as tabular_ppo

LR = Choice("lr", {"a lake": 50.0, "a bandit": 0.2}, "length of a step", check.positive)
TEXT_LR = Choice("lr", {"": 0.001, "addition": 0.01}, "largest step size", check.positive)
LOSS = Choice("loss_of", {"": "dpo"}, "which loss", options=("dpo", "ipo"))
TURN = Choice("turn", {"a lake": False, "a bandit": True}, "turn it")
PAIRS = [(tabular_ppo.METHOD, ppo.METHOD), (tabular_grpo.METHOD, grpo.METHOD)]
ALL = (*(m for pair in PAIRS for m in pair), sft.METHOD, dpo.METHOD, reward_model.METHOD, expert.METHOD,
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
    assert settings([TEXT_LR, LOSS], ["addition"], {"loss_of": "ipo"}) == {"lr": 0.01, "loss_of": "ipo"}
    for chosen, message in [({"lr": -1.0}, "--lr is -1.0; expected a finite number > 0"),
                            ({"loss_of": "x"}, "--loss-of is 'x'; expected one of 'dpo', 'ipo'"),
                            ({"speed": 1}, "setting is 'speed'; expected one of 'lr', 'loss_of'")]:
        with pytest.raises(ValueError, match=message):
            settings([TEXT_LR, LOSS], ["addition"], chosen)
    with pytest.raises(ValueError, match="--turn is 2; expected one of False, True"):
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


def test_two_methods_behind_one_command_share_what_they_both_have():
    shared, first, second = merged([LR, TURN], [TEXT_LR, LOSS], "text")
    assert (first, second) == ([TURN], [LOSS]) and [choice.name for choice in shared] == ["lr"]
    args, text = parsed(shared, "--lr", "1")
    assert args.lr == 1.0 and "length of a step; on text: largest step size (default: 50 on a lake" in text
    assert "0.2 on a bandit, 0.001 on text, 0.01 on addition)" in text


def test_words_of_both_methods_are_words_of_the_one():
    other = Choice("loss_of", {"": "ipo"}, "which loss", options=("ipo", "kto"))
    assert LOSS.with_other(other, "text").options == ("dpo", "ipo", "kto")
    assert LOSS.with_other(other, "text").help == "which loss"


@pytest.mark.parametrize(("tables", "text"), PAIRS, ids=["ppo", "grpo"])
def test_shared_options_of_the_real_methods_are_read_alike(tables, text):
    own = {choice.name: choice for choice in tables.choices}
    for choice in text.choices:
        if choice.name in own:
            kinds = {type(value) for value in (*choice.defaults.values(), *own[choice.name].defaults.values())}
            assert len(kinds) == 1, choice.name
            assert (choice.options is None) == (own[choice.name].options is None), choice.name


@pytest.mark.parametrize("method", ALL, ids=lambda method: f"{type(method).__module__.split('.')[2]}-{method.name}")
def test_every_default_passes_its_own_check(method):
    for choice in method.choices:
        assert all(choice.checked(value) == value for value in choice.defaults.values()), choice.name
        assert len({type(value) for value in choice.defaults.values()}) == 1, choice.name


def test_an_option_nobody_speaks_of_says_nothing_of_none():
    assert "None" not in parsed([LR, LOSS, TURN])[1] and choices.UNSAID % {"default": None} == ""
