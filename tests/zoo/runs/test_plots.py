"""Plots of runs: what is in the figures, and the files."""

import sys
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from command_line import run
from PIL import Image

from larq_melius.zoo.recipes import PRESETS
from larq_melius.zoo.runs import figures
from larq_melius.zoo.runs.accuracy_figure import accuracy_figure
from larq_melius.zoo.runs.authors import authors_curve
from larq_melius.zoo.runs.flips_figure import flips_figure
from larq_melius.zoo.runs.folder import Run
from larq_melius.zoo.runs.log import EpochLog, LayerFlips, write_rows
from larq_melius.zoo.runs.plot import plot_accuracy, plot_flips

MELIUSNET22 = PRESETS["MeliusNet22"].recipe
LAYERS = ("first_conv", "middle_conv", "last_conv")


def make_run(name="mine", epochs=12, recipe=MELIUSNET22, layers=LAYERS, stem="grouped") -> Run:
    log = tuple(
        EpochLog(recipe.model, stem, n, 0.002 / n, 0.01 * n, 0.02 * n, 0.03 * n, 0.04 * n, 60.0, 3.0, 2.0)
        for n in range(1, epochs + 1)
    )
    flips = tuple(
        LayerFlips(n, layer, 1000, 0.5, 1.0 + place, 2.0, 3.0, 4.0 * n, 50.0 / n, 99)
        for n in range(1, epochs + 1)
        for place, layer in enumerate(layers)
    )
    return Run(Path("/runs") / name, name, recipe, log, flips)


def lines(axes) -> dict[str, tuple[list[float], list[float]]]:
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def draw(*runs, authors=True):
    with figures.style():
        return accuracy_figure(runs, authors=authors)


def draw_flips(*runs, layers=None):
    with figures.style():
        return flips_figure(runs, layers)


def test_accuracy_figure_shows_the_log() -> None:
    top1, top5, rate = draw(make_run(), authors=False).axes
    assert set(lines(top1)) == {"mine, train_top1", "mine, val_top1"}
    epochs, values = lines(top1)["mine, val_top1"]
    assert epochs == list(range(1, 13))
    assert values == pytest.approx([3.0 * n for n in epochs])
    assert lines(top1)["mine, train_top1"][1] == pytest.approx([1.0 * n for n in epochs])
    assert lines(top5)["mine, val_top5"][1] == pytest.approx([4.0 * n for n in epochs])
    assert lines(top5)["mine, train_top5"][1] == pytest.approx([2.0 * n for n in epochs])
    assert lines(rate)["mine, learning_rate"][1] == pytest.approx([0.002 / n for n in epochs])


def test_accuracy_figure_has_the_authors_of_each_network_once_dashed_and_grey() -> None:
    top1, top5, rate = draw(make_run("a"), make_run("b"), make_run("c", stem="conv7x7")).axes
    for axes, column in ((top1, "val_top1"), (top1, "train_top1"), (top5, "val_top5"), (rate, "learning_rate")):
        for stem in ("grouped", "conv7x7"):
            curve = authors_curve("MeliusNet22", stem)
            epochs, values = lines(axes)[f"authors' MeliusNet22 {stem}, {column}"]
            assert epochs == list(range(1, 121))
            scale = 1 if column == "learning_rate" else 100
            assert values == pytest.approx([scale * getattr(row, column) for row in curve])
    authors = [line for line in top1.lines if line.get_label().startswith("authors'")]
    assert len(authors) == 4
    assert all(line.get_linestyle() == "--" and line.get_color() == figures.GRAY for line in authors)
    runs = [line for line in top1.lines if line.get_label().endswith("val_top1") and line not in authors]
    assert len({line.get_color() for line in runs}) == len({line.get_marker() for line in runs}) == 3


def test_authors_are_left_out_on_request_and_on_other_data() -> None:
    assert len(draw(make_run(), authors=False).axes[0].lines) == 2
    assert len(draw(make_run(recipe=replace(MELIUSNET22, dataset="cifar10"))).axes[0].lines) == 2


def test_a_single_epoch_shows() -> None:
    for axes in draw(make_run(epochs=1), authors=False).axes:
        for line in axes.lines:
            assert line.get_marker() not in ("", "None")
            assert line.get_markevery() == (0, 1)
            assert axes.get_xlim()[0] < 1 < axes.get_xlim()[1]
    for axes in draw_flips(make_run(epochs=1)).axes:
        assert len(axes.lines) == 5
        assert all(line.get_marker() not in ("", "None") for line in axes.lines)


def test_legend_names_the_best_epoch_of_each_run() -> None:
    (legend,) = draw(make_run("a"), make_run("b", epochs=3)).legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:3] == [
        "a (best 36.0%, epoch 12)",
        "b (best 9.0%, epoch 3)",
        "authors' MeliusNet22 grouped (best 63.6%, epoch 112)",
    ]
    assert legend.get_title().get_text() == "MeliusNet22, grouped stem, imagenet2012"


def test_flips_figure_shows_the_first_and_the_last_layer() -> None:
    upper, lower = draw_flips(make_run()).axes
    assert "first_conv" in upper.get_title("left")
    assert "last_conv" in lower.get_title("left")
    assert list(lines(upper)) == ["p99", "p95", "p90", "p75", "p50"]
    assert lines(upper)["p95"] == (list(range(1, 13)), [4.0 * n for n in range(1, 13)])
    assert lines(upper)["p50"][1] == [1.0] * 12
    assert lines(lower)["p50"][1] == [3.0] * 12


def test_flips_of_several_runs_share_their_scale() -> None:
    runs = [make_run("sgd"), make_run("adam", epochs=3, layers=LAYERS[:1])]
    panels = draw_flips(*runs).axes
    assert [len(axes.lines) for axes in panels] == [5, 5, 5, 0]
    assert not panels[3].axison
    assert panels[0].get_ylim() == panels[1].get_ylim()
    assert panels[0].get_ylim()[1] >= 50
    assert [axes.get_title("left").split("\n")[0] for axes in panels[:2]] == ["sgd", "adam"]


def test_axis_of_flips_reads_as_a_logarithm_and_is_the_same_for_all_layers() -> None:
    upper, lower = draw_flips(make_run()).axes
    assert upper.get_ylim() == lower.get_ylim()
    ticks = [tick for tick in upper.get_yticks() if 0 <= tick <= upper.get_ylim()[1]]
    assert [upper.yaxis.get_major_formatter()(tick) for tick in ticks] == ["0", "1", "2", "5", "10", "20", "50"]
    assert "log scale" in upper.get_ylabel()


def test_layers_without_flips_say_so() -> None:
    still = tuple(replace(row, p50=0, p75=0, p90=0, p95=0, p99=0) for row in make_run().flips)
    for axes in draw_flips(replace(make_run(), flips=still)).axes:
        assert [text.get_text() for text in axes.texts] == [
            "In each epoch, at least 99%\nof the weights kept their sign."
        ]
    assert not any(axes.texts for axes in draw_flips(make_run()).axes)


def test_flips_of_chosen_layers() -> None:
    (axes,) = draw_flips(make_run(), layers=["middle_conv"]).axes
    assert lines(axes)["p50"][1] == [2.0] * 12


@pytest.mark.parametrize(
    ("run", "layers", "message"),
    [
        (make_run(layers=()), None, "has no flips.csv"),
        (make_run(layers=(), recipe=replace(MELIUSNET22, flips="none")), None, "its recipe has flips=none"),
        (make_run(), ["last_cnv"], "no flips of a layer 'last_cnv'; did you mean last_conv?"),
        (make_run(), ["?"], "it has those of first_conv, middle_conv, last_conv."),
    ],
)
def test_flips_that_are_not_there(run, layers, message, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        plot_flips(run, tmp_path / "flips.png", layers=layers)
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("PDF", b"%PDF")])
def test_files_are_of_the_kind_of_their_suffix_and_have_no_date(suffix, start, tmp_path) -> None:
    data = plot_accuracy(make_run(), tmp_path / f"plot.{suffix}").read_bytes()
    assert data.startswith(start)
    assert b"dc:date" not in data
    assert b"CreationDate" not in data


def test_the_users_own_settings_of_matplotlib_stay_and_do_not_count(tmp_path) -> None:
    def pixels(name):
        return np.asarray(Image.open(plot_accuracy(make_run(), tmp_path / name))).astype(int)

    before = pixels("a.png")
    with mpl.rc_context({"lines.linewidth": 7, "axes.facecolor": "black", "font.size": 30}):
        settings = dict(mpl.rcParams)
        after = pixels("b.png")
        assert plot_flips(make_run(), tmp_path / "c.png").exists()
        assert dict(mpl.rcParams) == settings
    # Matplotlib itself draws a few pixels a level lighter from one time to the next.
    assert np.abs(after - before).max() <= 2


def test_nothing_to_plot(tmp_path) -> None:
    for plot in (plot_accuracy, plot_flips):
        with pytest.raises(ValueError, match="name at least one run"):
            plot([], tmp_path / "x.png")
        with pytest.raises(ValueError, match=r"must end in \.png, \.svg or \.pdf"):
            plot(make_run(), tmp_path / "x.jpg")
    with pytest.raises(ValueError, match="no epoch yet"):
        plot_accuracy(make_run(epochs=0), tmp_path / "x.png")


def test_without_matplotlib(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"^Plots take Matplotlib: run pip install 'larq-melius\[train\]'\.$"):
        plot_accuracy(make_run(), tmp_path / "x.png")


def test_plot_command(tmp_path) -> None:
    mine = make_run()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.json").write_text(mine.recipe.to_json())
    write_rows(tmp_path / "mine" / "log.csv", EpochLog, mine.log)
    write_rows(tmp_path / "mine" / "flips.csv", LayerFlips, mine.flips)
    for name, *options in (("a.png",), ("b.png", "--no-authors"), ("c.png", "--flips", "--layer", "middle_conv")):
        result = run("runs", "plot", "mine", "-o", name, *options, cwd=tmp_path)
        assert (result.returncode, result.stdout, result.stderr) == (0, f"Wrote {name}.\n", "")
    sizes = {Image.open(tmp_path / name).size for name in ("a.png", "b.png", "c.png")}
    assert len(sizes) == 3
