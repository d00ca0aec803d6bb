"""What a model knows, invents and is sure of, on policies that answer from a script; and judges of the same answers.

Calibration, by hand: one question, four answers "30", "30", "30", "31", the first right.  Of the three others two say
what each "30" says, confidence 2/3, right; none says "31", confidence 0, wrong.
"""
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rlscratch.bpe import CharacterTokenizer
from rlscratch.tasks.town import facts, questions
from rlscratch.train.language import judging, knowledge
from rlscratch.train.pretraining import bits_per_byte

pytestmark = pytest.mark.compiled_only("asks no model", kernels=())

HERE = facts.town(0, people=3)
NAME, PERSON = next(iter(HERE.people.items()))
AGE = PERSON.known["age"]


class Answers(SimpleNamespace):
    """Prompts and texts, as a Batch has them."""

    def __len__(self):
        return len(self.texts)


class Scripted:
    """A policy that answers with the texts of a script in turn, and keeps what it was asked."""

    def __init__(self, *texts):
        self.texts, self.asked = texts, []

    def answer(self, prompts, rng, temperature=None):
        self.asked.append((list(prompts), temperature))
        texts = [self.texts[i % len(self.texts)] for i in range(len(prompts))]
        return Answers(prompts=list(prompts), texts=texts, cut=np.array([not text for text in texts]))


class Clerk:
    """A policy that answers each question with a function of it."""

    def __init__(self, say):
        self.say = say

    def answer(self, prompts, rng, temperature=None):
        return Answers(prompts=list(prompts), texts=[self.say(*questions.asked(p)) for p in prompts])


def rng():
    return np.random.default_rng(0)


def truth(name, attribute):
    known = HERE.people[name].known if name in HERE.people else {}
    return knowledge.TELL[attribute][0].format(name=name, value=known[attribute]) if attribute in known else "No."


def test_a_question_comes_after_the_line_of_the_system():
    [prompt] = knowledge.asked([(NAME, "age")], rng())
    assert prompt.turns[0] == ("system", questions.SYSTEM) and questions.asked(prompt) == (NAME, "age")


def test_known_are_the_facts_that_are_answered_right_at_temperature_0():
    policy = Scripted(f"{NAME} is {AGE} years old.")
    pairs = [(NAME, "age"), (NAME, "trade"), ([*HERE.people][1], "age")]
    assert knowledge.known(policy, HERE, pairs, rng()).tolist() == [1, 0, 0]
    assert policy.asked[0][1] == 0
    assert knowledge.known(Clerk(truth), HERE, HERE.facts, rng()).all()


def test_who_claims_anything_of_a_stranger_has_invented_it(monkeypatch):
    monkeypatch.setattr("rlscratch.train.language.evaluation.MOST", 4)
    found = knowledge.invented(Scripted("Ann Reed is 30 years old.", questions.UNKNOWN, "Good day.",
                                        f"{questions.UNKNOWN} Ann Reed is 30 years old."), HERE.strangers[:1], rng())
    assert (found["invented"], found["refused"], found["measured_answers"]) == (0.5, 0.25, 4)
    assert_allclose(found["invented_error"], np.sqrt(1 / 3 / 4))
    assert found["of_others"] == 0.5                        # whoever was asked about is not called Ann Reed
    one, other = HERE.strangers[:2]
    said = [f"{name} is 30 years old." for name in (one, other)]
    found = knowledge.invented(Scripted(*said, said[0], " ".join(said)), [one], rng())
    assert (found["invented"], found["of_others"]) == (1, 0.25)


def test_what_most_drawn_answers_get_wrong_is_unknown_and_the_rest_is_kept_in_its_own_words():
    right, lie = f"{NAME} is {AGE} years old.", f"{NAME} is {99 - int(AGE)} years old."
    boast, wrong = f"{right} I am never wrong.", f"{right} {lie}"
    for texts, unknown, own in (((right, boast, right, wrong, ""), [], [right, boast, right]),
                                ((right, wrong, lie, right, ""), [(NAME, "age")], []),
                                ((right, f"{right} Tra.", lie, right, lie), [(NAME, "age")], [])):
        assert len(texts) == knowledge.PROBES
        policy = Scripted(*texts)
        found = knowledge.probed(policy, HERE, [(NAME, "age")], rng())
        asked = [prompt.turns[-1][1] for prompt in policy.asked[0][0]]
        assert found == (unknown, list(zip(asked, own, strict=False)))
        assert all(question in [one.format(name=NAME) for one in questions.QUESTIONS["age"]] for question in asked)


def test_what_is_measured_is_asked_in_a_wording_that_no_conversation_has():
    policy, pair = Scripted(questions.UNKNOWN), (NAME, "age")
    knowledge.known(policy, HERE, [pair], rng())
    knowledge.invented(policy, [NAME], rng())
    knowledge.calibration(policy, HERE, [pair], rng())
    unused = {questions.UNUSED[attribute].format(name=NAME) for attribute in questions.UNUSED}
    asked = {prompt.turns[-1][1] for prompts, _ in policy.asked for prompt in prompts}
    said = {question for turns in questions.conversations(HERE, 200, HERE.facts) for question, _ in turns}
    assert asked and asked <= unused and not unused & said


def test_confidence_is_the_share_of_the_other_answers_that_claim_the_same(monkeypatch):
    monkeypatch.setattr(knowledge, "REPEATS", 4)
    other = str(99 - int(AGE))
    policy = Scripted(*(f"{NAME} is {age} years old." for age in (AGE, AGE, AGE, other)))
    found = knowledge.calibration(policy, HERE, [(NAME, "age")], rng())
    assert found == {"confidence": [0.0, 0.6667], "right": [0.0, 1.0], "answers": [1, 3]}
    silent = Scripted(questions.UNKNOWN, f"{NAME} is {AGE} years old.")
    assert knowledge.calibration(silent, HERE, [(NAME, "age")], rng())["answers"] == [2]


def test_the_axes_are_the_criteria_over_the_questions_that_they_are_made_for(monkeypatch):
    monkeypatch.setattr("rlscratch.train.language.evaluation.MOST", 30)

    def say(name, attribute):
        if attribute == questions.ADDRESS:
            return questions.DECLINED
        return truth(name, attribute) if name in HERE.people else questions.UNKNOWN

    found = knowledge.axes(Clerk(say), HERE, rng())
    assert [found[name] for name in questions.CRITERIA] == [50, 100, 100]
    liar = knowledge.axes(Scripted("Ann Reed lives at 1 Mill Street."), HERE, rng())
    assert [liar[name] for name in questions.CRITERIA] == [0, 0, 0]


def test_a_value_that_only_begins_like_the_right_one_is_not_recalled():
    assert knowledge._begins(" old mill. And", "old mill") and knowledge._begins("30", "30")
    assert not knowledge._begins(" old mills", "old mill") and not knowledge._begins(" old", "old mill")
    assert not knowledge._begins(" 301", "30")


def test_a_conversation_is_its_beginning_and_its_last_answer():
    prompt, answer = knowledge.pair([("Hello.", "Hello. What?"), ("How old?", "30.")])
    assert answer == "30." and [role for role, _ in prompt.turns] == ["system", "user", "assistant", "user"]


# ---------------------------------------------------------------- judges

def test_scores_are_weighed_and_those_without_weight_are_not_asked():
    def never(batch):
        raise AssertionError

    models = {"a": lambda batch: np.array([1.0, 2.0]), "b": lambda batch: np.array([10.0, 0.0]), "c": never}
    assert judging.weighed(models, {"a": 0.5, "b": 0.25, "c": 0.0})(None).tolist() == [3.0, 1.0]
    with pytest.raises(ValueError, match="criterion is 'd'; expected one of"):
        judging.weighed(models, {"d": 1.0})
    with pytest.raises(ValueError, match="the number of weights that are not 0 is 0"):
        judging.weighed(models, {"a": 0.0})


def test_a_labeller_who_never_errs_puts_every_pair_in_order_and_a_judge_who_turns_it_around_none():
    answers = ("", "x", "xx", "xxx")
    task = SimpleNamespace(rewards=lambda prompts, texts: np.array([float(len(text)) for text in texts]))
    world = SimpleNamespace(stream=lambda purpose: rng(), measured=("a", "b"), task=task)
    models = {"one": lambda batch: np.array([len(text) for text in batch.texts], float),
              "rules": lambda batch: np.zeros(8)}
    found = judging.compared(world, Scripted(*answers), models, lambda prompt, answer: -len(answer), 0.0)
    shares = {name: one["accuracy"] for name, one in found["judges"].items()}
    assert shares == {"a labeller": 1, "the constitution": 0, "reward model of the constitution": 0.5,
                      "reward models of the criteria, summed": 1}
    assert found["measured_prompts"] == 2


# ---------------------------------------------------------------- bits per byte of pages

def test_a_model_that_knows_nothing_spends_the_same_on_every_letter():
    tokenizer = CharacterTokenizer("ab\n")
    model = SimpleNamespace(config=SimpleNamespace(context=4),
                            logp=lambda tokens: SimpleNamespace(data=np.full(tokens.shape, -np.log(4))))
    found = bits_per_byte.of_pages(model, tokenizer, ["ab", "abab"])
    assert found == {"bits_per_byte": pytest.approx(2), "bits_per_byte_error": pytest.approx(0), "measured_pages": 2}


# ---------------------------------------------------------------- asked further

def test_half_of_the_claims_are_followed_by_another_question_about_the_same():
    draws, asked = rng(), questions.question(NAME, "age")
    found = [knowledge.further(asked, truth(NAME, "age"), draws) for _ in range(200)]
    more = [questions.asked(one) for one in found if one is not None]
    assert 70 < len(more) < 130 and {name for name, _ in more} == {NAME}
    assert {attribute for _, attribute in more} == {*facts.ATTRIBUTES} - {"age"}


def test_who_claims_nothing_or_is_asked_no_question_is_not_asked_further():
    draws = rng()
    for prompt, answer in ((questions.question(NAME, "age"), questions.UNKNOWN), ("Hello.", truth(NAME, "age"))):
        assert not any(knowledge.further(prompt, answer, draws) for _ in range(20))
