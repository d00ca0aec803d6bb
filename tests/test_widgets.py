"""Figures that move: their arithmetic in the browser is that of rlscratch, and every one can be operated.

One page with all of them is opened once, and again where another was looked at; a test begins with the settings that
it begins with.  A control's own range gives the settings that are tried.
"""
import html.parser
import re
from importlib import import_module

import numpy as np
import pytest

from colours import contrast, schemes
from rlscratch.report import widgets
from rlscratch.report.widgets import attention, lake, parts, rlhf
from rlscratch.tasks import preferences
from rlscratch.transformer import Config, Transformer
from short_widgets import short_runs

pytestmark = pytest.mark.compiled_only("pages; a model that both backends train alike moves in them")

TEXTS = ["please", "thank Ann", "she's", "we'll", "3141", "naïve", "日本", "🍦", "  ", "!?", "Ubiquitous", "a\tb"]
SETTINGS = 25               # of each widget, at random, besides those that it begins with and EDGES
MODULES = {name: import_module(f"rlscratch.report.widgets.{name}") for name in widgets.NAMES}
LEFT, UP, RIGHT, DOWN = "\ue012\ue013\ue014\ue015"        # keys, as WebDriver writes them
# Where a filter's threshold is met on paper, and a tie is broken.
WEATHER, MOVIE, SUM = ({"prompt": f"{text} ___"} for text in ("The weather is", "The movie was", "2 + 2 equals"))
EDGES = {"sampling": [*({**WEATHER, "top_p": p} for p in (0.4, 0.65, 0.8, 0.9, 0.95)), {**SUM, "top_k": 3},
                      *({**MOVIE, "top_p": p} for p in (0.25, 0.45, 0.9, 0.95)), {**SUM, "top_p": 0.95},
                      *({**WEATHER, "min_p": p} for p in (0.05, 0.25)),
                      *({**MOVIE, "min_p": p} for p in (0.2, 12 * 0.05, 0.8))]}
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
    """The browser with the page as new, as wide as a telephone."""
    if browser.address == page.as_uri() and browser.run("return 'rlscratch' in globalThis"):
        browser.show(width=390)
        browser.run("""
            delete document.documentElement.dataset.theme;
            for (const [name, begin] of Object.entries(arguments[0]))
              document.getElementById(`widget-${name}`).figure.set(begin);""",
                    {name: module.BEGIN for name, module in MODULES.items()})
    else:
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


def at_a_kink(settings):
    """Whether PPO's ratio is a bound of its clip, so that the last bit decides whether the token is held."""
    if "eps_low" not in settings:
        return False
    rho = settings["new"] / settings["old"]
    return min(abs(rho - 1 + settings["eps_low"]), abs(rho - 1 - settings["eps_high"])) < 1e-9


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
        asked[name], begin = [], MODULES[name].BEGIN
        while len(asked[name]) < SETTINGS:
            settings = {control["name"]: drawn(control, rng) for control in controls}
            asked[name] += [] if at_a_kink(settings) else [settings]
        asked[name] += [begin, *({**begin, **edge} for edge in EDGES.get(name, ()))]
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


def test_the_attention_that_is_shown_is_the_model_s():
    config = Config(vocab_size=9, context=7, width=12, layers=2, heads=3)
    model = Transformer(config, np.random.default_rng(0), np.float64)
    rng = np.random.default_rng(1)
    for parameter in model.parameters().values():
        parameter.data[...] = rng.normal(size=parameter.shape)        # so that no head sees all alike
    tokens = [3, 1, 4, 1, 5, 8, 2]
    q, k, logits = attention.reading(model, tokens)
    assert q.shape == k.shape == (2, 3, 7, 4)
    np.testing.assert_allclose(logits, model(np.array([tokens])).data[0], rtol=0, atol=1e-9)
    found = attention.weights(q[1, 0], k[1, 0])
    assert np.all(np.triu(found, 1) == 0) and found.std() > 0.1


def test_the_record_of_the_lake_is_a_run(fragments):
    run = lake.record()
    for (s, a, _, s_next, ended), before, after in zip(run.moves, run.tables, run.tables[1:], strict=False):
        changed = np.argwhere(before != after)
        assert len(changed) <= 1 and all((s, a) == tuple(entry) for entry in changed)
        assert ended == (run.letters[s_next] in "GH")
    assert [bool(move.reward) for move in run.moves].index(True) == lake.BEGIN["step"] - 1


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
def test_it_fits_every_screen_asks_for_nothing_and_can_be_read(browser, page, scheme):
    for width in (360, 390, 768, 1280):
        how = {"width": width, "scheme": scheme}
        browser.open(page, **how) if width == 360 else browser.show(**how)
        assert browser.run("return innerWidth") == width
        assert browser.overflow() == browser.console() == browser.requests() == [], width
        assert browser.smallest_text()[0] >= 11, width


def test_on_paper_there_are_pictures_in_light_colours_and_no_controls(browser, page):
    browser.open(page)
    light = browser.run("return getComputedStyle(document.querySelector('.w-a')).fill")
    browser.open(page, medium="print", scheme="dark")
    browser.run("document.documentElement.dataset.theme = 'dark'")
    assert browser.run("return getComputedStyle(document.querySelector('.w-a')).fill") == light
    shown = browser.driver.find_elements("css selector", ".widget svg, .widget .w-said")
    assert len(shown) == 2 * len(widgets.NAMES) and all(node.is_displayed() for node in shown)
    assert not any(node.is_displayed() for node in browser.driver.find_elements("css selector", ".widget input"))


def test_colours_differ_enough_from_the_paper():
    for named in schemes(widgets.style()):
        scheme = {name.removeprefix("w-"): colour for name, colour in named.items()}
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
    settings, said = browser.run("""
        const said = document.getElementById(`w-${arguments[0]}-said`);
        return [document.getElementById(`widget-${arguments[0]}`).figure.settings(),
                said.checkVisibility() ? said.innerText : ""];""", name)
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
        setting = opened.find(f"#widget-{name}"), control["name"]
        begin = opened.run("return arguments[0].figure.settings()[arguments[1]]", *setting)
        at.send_keys(key(control))
        assert opened.run("return arguments[0].figure.settings()[arguments[1]]", *setting) != begin, control
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


# Where the pointer goes in the picture, in its units, and the settings that this makes.
DRAGS = {
    "triangle": ((170, 154), {"cream": 0.5, "hockey": 0.5}),
    "clip": ((34 + 296 * 0.61, 80), {"new": 0.61}),
    "group": ((72 - 23, 24 + 26 + 13), {"r1": -5}),
    "rlhf": ((30 + 300 * 6 / 11, 90), {"step": 6}),
    "attention": ((100, 24 + 19 * 3 + 9), {"query": 3}),
}


def pressed(browser, kind, node, *places):
    """A mouse, or a finger ("touch"), goes down at the first place and up at the last, from the node's upper left."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.pointer_input import PointerInput
    browser.run("arguments[0].scrollIntoView({block: 'center'})", node)
    box = browser.run("const {x, y} = arguments[0].getBoundingClientRect(); return [x, y]", node)
    chain = ActionChains(browser.driver, duration=20, devices=[PointerInput(kind, kind)])
    pointer = chain.w3c_actions.pointer_action
    for i, (x, y) in enumerate(places):
        pointer.move_to_location(round(box[0] + x), round(box[1] + y))
        if i == 0:
            pointer.pointer_down()
    pointer.pointer_up()
    chain.perform()


@pytest.mark.parametrize("name", DRAGS)
def test_what_can_be_dragged_follows_mouse_and_finger(opened, name):
    (x, y), wanted = DRAGS[name]
    figure, picture = opened.find(f"#widget-{name}"), opened.find(f"#widget-{name} svg")
    scale = opened.run("return arguments[0].getScreenCTM().a", picture)
    assert wanted.items() - MODULES[name].BEGIN.items()
    for kind in ("mouse", "touch"):
        opened.run("arguments[0].figure.set(arguments[1])", figure, MODULES[name].BEGIN)
        pressed(opened, kind, picture, ((x - 25) * scale, y * scale), (x * scale, y * scale))
        settings = opened.run("return arguments[0].figure.settings()", figure)
        for setting, value in wanted.items():
            assert abs(settings[setting] - value) <= (0.5 if name == "group" else 0.02), (kind, settings)
        right(opened, name)


@pytest.mark.parametrize("name", widgets.NAMES)
def test_sliders_answer_to_mouse_and_finger(opened, name):
    slider = opened.find(f'#widget-{name} input[type="range"]')
    low, high, step = (float(slider.get_property(of)) for of in ("min", "max", "step"))
    shares = (0.3, 0.8) if float(slider.get_property("value")) == high else (0.8, 0.3)
    for kind, share in zip(("mouse", "touch"), shares, strict=True):
        before = slider.get_property("value")
        pressed(opened, kind, slider, (share * slider.size["width"], slider.size["height"] / 2))
        assert slider.get_property("value") != before, kind
        assert abs(float(slider.get_property("value")) - low - share * (high - low)) <= max(step, 0.15 * (high - low))
        right(opened, name)


def test_what_plays_goes_on_until_it_is_stopped(opened):
    from selenium.webdriver.support.wait import WebDriverWait
    play, draws = opened.find("#widget-sampling [data-every]"), opened.find("#w-sampling-draws")
    play.send_keys(" ")
    WebDriverWait(opened.driver, 10).until(lambda _: int(draws.get_property("value")) >= 15)
    assert play.get_property("ariaPressed") == "true"
    play.send_keys(" ")
    stopped = draws.get_property("value")
    assert play.get_property("ariaPressed") == "false"
    opened.driver.execute_async_script("setTimeout(arguments[0], 200)")
    assert draws.get_property("value") == stopped
    right(opened, "sampling")


# ---------------------------------------------------------------- the interface

def test_the_script_and_the_style_are_small_and_a_name_that_is_none_is_refused():
    assert len(widgets.script().encode()) < 26_000 and len(widgets.style().encode()) < 8_000
    assert "http" not in widgets.script() + widgets.style()
    with pytest.raises(ValueError, match=r"name is 'slots'; expected one of 'sampling', "):
        widgets.fragment("slots")
