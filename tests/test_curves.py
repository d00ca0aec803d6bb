"""The picture of a run on text: a panel for each figure that its steps wrote down."""
import json

import matplotlib
import matplotlib.image
import pytest
from numpy.testing import assert_array_equal

from rlscratch.report import curves, figures

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Titles -> lines, and the caption, of what is drawn of points and a result."""
    def draw(points, **result):
        lines, kept = "".join(json.dumps(point) + "\n" for point in points), {}
        (tmp_path / "metrics.jsonl").write_text(lines, "utf-8")
        (tmp_path / "config.json").write_text(json.dumps({"command": "train x", "task": "y", "seed": 0}), "utf-8")
        if result:
            (tmp_path / "result.json").write_text(json.dumps(result), "utf-8")

        def save(figure, name, caption, folder):
            kept.update({ax.get_title("left"): [line.get_xydata() for line in ax.lines] for ax in figure.axes})
            kept["caption"] = caption
            return folder / name

        with monkeypatch.context() as patch:
            patch.setattr(figures, "save", save)
            curves.training(tmp_path)
        return kept

    return draw


def test_there_is_a_panel_for_every_figure_that_was_written_down_and_no_other(drawn):
    found = drawn([{"step": n, "reward": float(n), "gradient_norm": 1.0, "tokens_per_second": 9, "seconds": n}
                   for n in range(1, 41)])
    assert [*found] == ["reward", "norm of the gradient", "tokens/s", "caption"]
    each, mean = found["reward"]
    assert_array_equal(each, [[n, n] for n in range(1, 41)])
    assert_array_equal(mean, [[n, n - 0.5] for n in range(2, 41)])        # over 2 steps, a twentieth of 40
    assert "over 2 steps" in found["caption"]


def test_a_figure_of_some_steps_is_drawn_where_they_have_it(drawn):
    found = drawn([{"step": n, "loss": 1.0, **({"kl": 0.5} if n % 2 else {})} for n in range(1, 7)])
    assert_array_equal(found["KL from the reference, nats"], [[[1, 0.5], [3, 0.5], [5, 0.5]]])


def test_gold_stands_beside_what_the_reward_model_pays(drawn):
    found = drawn([{"step": n, "reward": 1.0, "gold": -1.0} for n in range(1, 7)])
    assert_array_equal(found["reward"][-1], [[n, -1] for n in range(1, 7)])


def test_a_reward_model_has_its_calibration_beside_the_diagonal(drawn):
    curve = {"chance": [0.2, 0.8], "frequency": [0.3, 0.7], "count": [5, 5]}
    found = drawn([{"step": 1, "loss": 0.7}], calibration=curve)
    assert_array_equal(found["how often it comes true"][1], [[0.2, 0.3], [0.8, 0.7]])
    assert_array_equal(found["how often it comes true"][0], [[0, 0], [1, 1]])
    assert "on rankings that it did not learn from" in found["caption"]


def test_the_best_possible_is_a_level_line_and_what_a_save_lacks_is_left_out(drawn):
    found = drawn([{"step": n, "success_probability": 0.5, "path_error": None if n < 3 else 0.1} for n in (1, 2, 3)],
                  best_success_probability=0.75)
    assert_array_equal(found["probability of the goal"][-1][:, 1], [0.75, 0.75])
    assert_array_equal(found["largest |max Q - V*| on the path"], [[[3, 0.1]]])
    assert "the best possible" in found["caption"] and "pale" not in found["caption"]


def test_a_run_of_one_step_and_one_figure_has_a_picture_with_a_caption(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.7}\n', "utf-8")
    (tmp_path / "config.json").write_text(json.dumps({"command": "train x", "task": "y", "seed": 0}), "utf-8")
    path = curves.training(tmp_path)
    assert path == tmp_path / "training_curves.svg" and path.read_text("utf-8").startswith("<?xml")
    assert json.loads(path.with_suffix(".json").read_text("utf-8"))["figure"] == path.name


def test_a_user_s_matplotlibrc_changes_no_figure(tmp_path):
    def drawn(name):
        figure, ax = figures.new()
        ax.plot([0, 1], [0, 1], label="$x$")
        ax.legend()
        return figures.save(figure, name, "A line.", tmp_path).read_text("utf-8")

    plain = drawn("plain")
    with matplotlib.rc_context({"text.usetex": True, "lines.linewidth": 9, "savefig.facecolor": "red"}):
        assert drawn("users") == plain


def test_a_figure_for_slides_is_a_png_too(tmp_path, monkeypatch):
    figure, _ = figures.new(width=4, height=2)
    monkeypatch.setenv("RLSCRATCH_PNG", "150")
    path = figures.save(figure, "line", "A line.", tmp_path)
    assert matplotlib.image.imread(path.with_suffix(".png")).shape == (300, 600, 4)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["line.json", "line.png", "line.svg"]


def test_on_a_telephone_legends_stand_above_panels_below_each_other_and_text_ends_in_time(tmp_path):
    figure, (left, page) = figures.new(2, width=9)
    for name in ("one", "the other"):
        left.plot([0, 1], [0, 1], label=name)
    left.set_title("a title")
    left.legend(loc="lower right")
    page.axis("off")
    page.text(0, 1, "a line that is\n  longer than a telephone is wide, by a word or two", family="monospace")
    path = figures.save(figure, "both", "Both.", tmp_path, tmp_path / "narrow")
    width, before = figure.get_figwidth(), path.read_text("utf-8")
    narrow = (tmp_path / "narrow" / path.name).read_text("utf-8")
    assert width == figures.NARROW and ">  longer than a telephone is wide, by a word or two<" in before
    assert ">  longer than a telephone is wide, by<" in narrow and ">      a word or two<" in narrow
    figure.draw_without_rendering()
    box, legend, title = (part.get_window_extent() for part in (left, left.get_legend(), left._left_title))
    assert page.get_window_extent().y1 < box.y0 and box.y1 <= legend.y0 and legend.y1 <= title.y0


def test_a_figure_that_cannot_be_drawn_fails_no_run(tmp_path, capsys):
    assert curves.of_finished(tmp_path, lambda folder: folder / "drawn.svg") == tmp_path / "drawn.svg"
    assert curves.of_finished(tmp_path, curves.training) is None            # the folder has no metrics
    said = capsys.readouterr().err
    assert said.startswith("rlscratch: the run is whole, its figure could not be drawn: ") and said.count("\n") == 1


def test_the_numbers_of_a_logarithmic_axis_have_letters_of_one_size(tmp_path):
    figure, ax = figures.new()
    ax.set(yscale="log", ylim=(1e-6, 1e5))
    ax.set_yticks([1e-6, 1e-3, 1, 1e5])
    drawn = figures.save(figure, "powers", "Powers.", tmp_path).read_text("utf-8")
    assert all(f">{said}<" in drawn for said in ("10⁻⁶", "0.001", "1", "10⁵")) and "tspan" not in drawn
    figure, ax = figures.new()
    ax.set(yscale="log", ylim=(1e-6, 3e-6))             # less than a decade: others are written, too
    assert ">2·10⁻⁶<" in figures.save(figure, "little", "A little.", tmp_path).read_text("utf-8")
