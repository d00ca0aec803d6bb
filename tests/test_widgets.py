"""Figures that move: their arithmetic in the browser is that of rlscratch, and every one can be operated.

One page with all of them is opened once.  A control's own range gives the settings that are tried.
"""
import html.parser
import re
from importlib import import_module

import numpy as np
import pytest

from rlscratch.report import widgets
from rlscratch.report.widgets import parts, rlhf
from rlscratch.tasks import preferences
from short_widgets import short_runs

pytestmark = pytest.mark.compiled_only("pages; a model that both backends train alike moves in them")

TEXTS = ["please", "thank Ann", "she's", "we'll", "3141", "naïve", "日本", "🍦", "  ", "!?", "Ubiquitous", "a\tb"]
SETTINGS = 25               # of each widget, at random, besides those that it begins with
MODULES = {name: import_module(f"rlscratch.report.widgets.{name}") for name in widgets.NAMES}
LEFT, UP, RIGHT, DOWN = "\ue012\ue013\ue014\ue015"        # keys, as WebDriver writes them
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><title>Widgets</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style><main>{body}</main>{script}"""
PICTURE = """
const attributes = (node) => Object.fromEntries([...node.attributes].map(({name, value}) => [name, value]));
const keyed = (root) => [...root.querySelectorAll("[data-k]")].map((node) => [attributes(node), node.textContent]);
return keyed(arguments[0]);
"""


@pytest.fixture(scope="module")
def fragments():
    with short_runs():
        yield {name: widgets.fragment(name) for name in widgets.NAMES}


@pytest.fixture(scope="module")
def page(fragments, tmp_path_factory):
    """The page, and the same without scripts."""
    folder = tmp_path_factory.mktemp("widgets")
    for name, script in (("page", f"<script>{widgets.script()}</script>"), ("still", "")):
        (folder / f"{name}.html").write_text(
            PAGE.format(style=widgets.style(), body="".join(fragments.values()), script=script), "utf-8")
    return folder / "page.html"


@pytest.fixture
def opened(browser, page):
    """The browser, with the page as new."""
    browser.open(page, width=390)
    return browser


class Controls(html.parser.HTMLParser):
    """The controls of a fragment, as dictionaries of their attributes; a choice has `options`."""

    def __init__(self, fragment):
        super().__init__()
        self.all, self.buttons = [], 0
        self.feed(fragment)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag in ("input", "select"):
            self.all.append({**found, "options": []})
        elif tag == "option":
            self.all[-1]["options"].append(found["value"])
        self.buttons += tag == "button"


def drawn(control, rng):
    """A setting of this control, at random, as the figure reads it."""
    if control["options"]:
        return str(rng.choice(control["options"]))
    if control["type"] == "text":
        return " ".join(rng.choice(TEXTS, rng.integers(1, 5)))
    if control["type"] == "checkbox":
        return bool(rng.integers(2))
    low, high, step = (float(control[name]) for name in ("min", "max", "step"))
    x = low + step * int(rng.integers(round((high - low) / step) + 1))
    if "data-log" in control:
        return 10.0 ** x
    return round(x) if step.is_integer() else x


def plain(found):
    """Arrays as lists, so that it is compared with what came from the browser."""
    if isinstance(found, dict):
        return {name: plain(part) for name, part in found.items()}
    return np.asarray(found).tolist()


def same(ours, theirs, where=""):
    """Equal to 1e-9, wherever numbers are."""
    if isinstance(ours, dict):
        assert set(ours) == set(theirs), where
        for name, part in ours.items():
            same(part, theirs[name], f"{where}.{name}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), where
        for i, part in enumerate(ours):
            same(part, theirs[i], f"{where}[{i}]")
    elif isinstance(ours, float) and not isinstance(ours, bool):
        assert abs(ours - theirs) <= 1e-9 * max(1, abs(ours)), (where, ours, theirs)
    else:
        assert ours == theirs, where


# ---------------------------------------------------------------- the arithmetic

def test_the_browser_computes_what_rlscratch_computes(opened, fragments):
    rng, asked = np.random.default_rng(0), {}
    for name, fragment in fragments.items():
        controls = Controls(fragment).all
        tried = [{control["name"]: drawn(control, rng) for control in controls} for _ in range(SETTINGS)]
        asked[name] = [MODULES[name].BEGIN, *tried]
    found = opened.run("""
        return Object.fromEntries(Object.entries(arguments[0]).map(([name, all]) => {
          const {data, kind} = document.getElementById(`widget-${name}`).figure;
          return [name, all.map((settings) => kind.numbers(data, settings))];
        }));""", asked)
    for name, all_ in asked.items():
        ours = [plain(MODULES[name].numbers(settings)) for settings in all_]
        for settings, one, theirs in zip(all_, ours, found[name], strict=True):
            same(one, theirs, f"{name} {settings}")
        assert len({str(one) for one in ours}) > SETTINGS // 2       # the settings matter


def test_both_languages_draw_the_same_numbers(opened):
    asked = [[seed, n] for seed in (0, 1, 7, 9999) for n in (0, 1, 2, 1000)]
    theirs = opened.run("return arguments[0].map(([seed, n]) => rlscratch.formulas.uniform(seed, n))", asked)
    assert theirs == [parts.uniform(seed, n) for seed, n in asked] and len(set(theirs)) == len(asked)
    many = np.array([parts.uniform(3, n) for n in range(10_000)])
    assert abs(many.mean() - 0.5) < 0.01 and abs(many.var() - 1 / 12) < 0.002      # 3 standard errors


def test_the_points_of_the_words_add_up_to_gold():
    rng, words = np.random.default_rng(0), [*sorted(preferences.VOCABULARY), "xyzzy"]
    for prompt in rng.choice(list(preferences.INSTRUCTIONS), 200):
        soup = [str(word) for word in rng.choice(words, rng.integers(18))]
        for answer in (preferences.teacher(prompt, rng), " ".join(soup), " ".join(np.repeat(soup, 2))):
            said, points = rlhf.earned(prompt, answer)
            assert said == answer.split() and sum(points) == preferences.gold(prompt, answer)


def test_a_planted_error_is_seen():
    with pytest.raises(AssertionError):
        same({"grad": [1.0, 2.0]}, {"grad": [1.0, 2.00001]})
    with pytest.raises(AssertionError):
        same({"dead": True}, {"dead": False})


# ---------------------------------------------------------------- the picture

def test_the_picture_on_paper_is_the_one_that_the_script_begins_with(browser, page):
    browser.open(page.with_name("still.html"))
    still = {name: browser.run(PICTURE, browser.find(f"#widget-{name}")) for name in widgets.NAMES}
    assert not any(panel.is_displayed() for panel in browser.driver.find_elements("css selector", ".w-panel"))
    browser.open(page)
    for name, before in still.items():
        after = browser.run(PICTURE, browser.find(f"#widget-{name}"))
        assert len(before) == len(after) > 3
        for (one, text), (other, said) in zip(before, after, strict=True):
            assert one.get("display") == other.get("display"), (name, one, other)
            if "display" in one:
                continue                        # not in the picture, wherever it would be
            assert text == said and set(one) == set(other), (name, one, other)
            for key, value in one.items():
                numbers = [[float(x) for x in re.findall(r"-?\d+\.?\d*", of[key])] for of in (one, other)]
                assert re.sub(r"[-\d.]+", "", value) == re.sub(r"[-\d.]+", "", other[key]), (name, one, other)
                np.testing.assert_allclose(*numbers, rtol=0, atol=0.11, err_msg=f"{name} {one} {other}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_it_fits_every_screen_asks_for_nothing_and_can_be_read(browser, page, width, scheme):
    browser.open(page, width=width, scheme=scheme)
    assert browser.overflow() == browser.console() == browser.requests() == []
    assert browser.smallest_text()[0] >= 11


def test_on_paper_there_are_pictures_and_no_controls(browser, page):
    browser.open(page, medium="print")
    shown = browser.driver.find_elements("css selector", ".widget svg, .widget .w-said")
    assert len(shown) == 2 * len(widgets.NAMES) and all(node.is_displayed() for node in shown)
    assert not any(node.is_displayed() for node in browser.driver.find_elements("css selector", ".widget input"))


def test_colours_differ_enough_from_the_paper():
    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
                  for c in (int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5))]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one, other):
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    blocks = re.findall(r"(--w-paper[^}]*)}", widgets.style())
    schemes = [dict(re.findall(r"--w-(\w+): (#[0-9a-f]{6})", block)) for block in blocks[:3]]
    assert schemes[1] == schemes[2] and set(schemes[0]) == set(schemes[1])
    for scheme in schemes[:2]:
        for background in ("paper", "band", "mark"):
            assert contrast(scheme["ink"], scheme[background]) >= 4.5
        assert contrast(scheme["soft"], scheme["paper"]) >= 4.5
        assert contrast(scheme["e"], scheme["paper"]) >= 4.5 <= contrast(scheme["c"], scheme["paper"])
        for line in "abcd":
            assert contrast(scheme[line], scheme["paper"]) >= 3
        assert contrast(scheme["edge"], scheme["paper"]) >= 3


# ---------------------------------------------------------------- the hands

def right(browser, name):
    """What the figure says is what Python says of its settings; the sentence."""
    settings = browser.run("return arguments[0].figure.settings()", browser.find(f"#widget-{name}"))
    said = browser.find(f"#w-{name}-said").text
    assert said == MODULES[name].said(MODULES[name].numbers(settings), settings), settings
    return said


def key(control):
    """A key that changes this control."""
    if control.get("type") == "range":
        return LEFT if float(control["value"]) >= float(control["max"]) else RIGHT
    if control.get("type") == "text":
        return " and now"
    return " " if control.get("type") == "checkbox" else DOWN if control["options"] else UP


@pytest.mark.parametrize("name", widgets.NAMES)
def test_every_control_answers_to_the_keyboard(opened, fragments, name):
    before, changed = right(opened, name), 0
    for control in Controls(fragments[name]).all:
        at = opened.find(f"#{control['id']}")
        if not at.is_displayed():
            continue                            # of an answer that the group has not
        begin = opened.run("return arguments[0].figure.settings()[arguments[1]]", opened.find(f"#widget-{name}"),
                           control["name"])
        at.send_keys(key(control))
        now = opened.run("return arguments[0].figure.settings()[arguments[1]]", opened.find(f"#widget-{name}"),
                         control["name"])
        assert now != begin, control
        said = right(opened, name)
        changed += said != before
        before = said
    assert changed


@pytest.mark.parametrize("name", widgets.NAMES)
def test_every_button_answers_to_the_pointer(opened, fragments, name):
    buttons = opened.find(f"#widget-{name}").find_elements("css selector", "button:not([data-every])")
    sentences = set()
    for button in buttons:
        opened.run("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()
        sentences.add(right(opened, name))
    assert len(sentences) > 1

