"""Curation: each step against the truth about the pages, which no step reads."""
import itertools
from collections import Counter

import numpy as np
import pytest

from rlscratch.tasks.town import facts, pages
from rlscratch.train.pretraining import curation
from rlscratch.train.pretraining.curation import Document, curated

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())
HERE = facts.town(1, people=20)
# By which step a kind of page has to be gone; duplicates stand in for their originals, so they are counted apart.
GONE = {"blocked": "url", "foreign": "language", "advert": "quality", "boilerplate": "quality", "toxic": "quality"}


@pytest.fixture(scope="module")
def steps():
    """What each step left, by its name."""
    return {step.name: step for step in curated([Document(one.url, one.html, one.kind) for one in pages.crawl(HERE)])}


def kinds(step):
    return Counter(one.kind for one in step.documents)


@pytest.mark.parametrize(("kind", "step"), GONE.items())
def test_what_a_step_is_to_see_is_gone_after_it_and_was_there_before(kind, step, steps):
    names = [*steps]
    assert kinds(steps[step])[kind] == 0 and kinds(steps[names[names.index(step) - 1]])[kind] > 0


def test_no_page_that_is_told_is_lost_but_as_a_copy_of_another(steps):
    for step in ("url", "language", "quality"):
        assert {one.kind for one in steps[step].dropped} <= {"blocked", "foreign", "advert", "boilerplate", "toxic",
                                                             "garbled"}
    told = sum(kinds(steps["extraction"])[kind] for kind in ("told", "private"))
    left = sum(kinds(steps["private"])[kind] for kind in ("told", "private", "duplicate", "near-duplicate"))
    assert 0.9 * told <= left <= told


def test_an_exact_copy_never_stays_and_hardly_a_near_one(steps):
    texts = [one.text for one in steps["private"].documents]
    assert len(texts) == len(set(texts))
    bodies = Counter(text.split(" Seen ")[0] for text in texts)
    assert sum(count - 1 for count in bodies.values()) <= 2


def test_no_telephone_and_no_address_is_left_and_the_rest_of_the_page_is(steps):
    assert steps["private"].changed >= len([one for one in steps["quality"].documents if one.kind == "private"])
    for one in steps["private"].documents:
        assert not any(person.phone in one.text or person.address in one.text for person in HERE.people.values())
        assert curation.is_good(one.text)


def test_no_markup_is_left(steps):
    assert not any(sign in one.text for one in steps["extraction"].documents for sign in "<>{")
    assert not any(sign in one.text for one in steps["extraction"].documents for sign in ("track(", "All rights"))
    assert all("track(" in one.text and "All rights" in one.text for one in steps["url"].documents)


@pytest.mark.parametrize("text", [
    "Ann Reed is a baker.", "You will find Ann Reed at the old mill by the river in the town and",
    "Buy now!!! Buy now!!! Buy now!!! Ann Reed is a baker at the old mill in the town.",
    "What a stupid town. You will find Ann Reed at the old mill by the river.",
    "You will find Ann \ufffdeed at the old mill by the river in the town.",
    "Ann %%%%%%%% ####### &&&&&&&& ====== ++++++ is a baker at the old mill by the river in town."])
def test_what_does_not_read_like_text_is_not_good(text):
    assert not curation.is_good(text)
    assert curation.is_good("You will find Ann Reed at the old mill by the river in the town.")


def test_the_table_counts_what_is_left_and_shows_what_went(steps):
    lines = curation.counted([*steps.values()], lambda text: len(text.split()), np.random.default_rng(0), samples=2)
    assert [line["pages"] for line in lines] == [len(step.documents) for step in steps.values()]
    for before, line in itertools.pairwise(lines):
        assert before["pages"] - line["dropped"] == line["pages"] and before["tokens"] >= line["tokens"]
        assert len(line["samples"]) == min(2, line["dropped"])
        assert sum(line["dropped_kinds"].values()) == line["dropped"]


def test_no_documents_are_refused():
    with pytest.raises(ValueError, match="the number of documents is 0"):
        curated([])
