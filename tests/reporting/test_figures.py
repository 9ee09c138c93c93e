"""The figures: deterministic, readable, one colour a length; and the curves behind them."""

import json
import re

import pandas as pd
import vl_convert
from dvc_render.vega import VegaRenderer  # type: ignore[import-untyped]
from reformer_seqlen.reporting.curves import thinned

from reformer_seqlen.reporting.figures import loss_figure
from reformer_seqlen.reporting.results import Step
from tests.conftest import ROOT

LENGTHS = (256, 1024, 4096)
TEMPLATES = ROOT / "plots" / "templates"


def _curve(length: int, model: str = "m") -> pd.DataFrame:
    epochs = [0.5, 1.0, 1.5, 2.0]
    frame = pd.DataFrame({"epoch": epochs, "training_loss": [3.0, 2.5, 2.25, 2.0 + length / 1e4]})
    frame["validation_loss"] = frame["training_loss"] + 0.25
    frame = frame.assign(run=f"{model}-{length}", model=model, sequence_length=length)
    return frame.assign(step=frame["epoch"] * 10, unigram_loss=4.5)


def _frame(lengths: tuple[int, ...] = LENGTHS) -> pd.DataFrame:
    return pd.concat([_curve(length) for length in lengths], ignore_index=True)


def colours(svg: str) -> list[str]:
    """The colour of every curve that is drawn."""
    curves = re.findall(r'<path [^>]*aria-roledescription="line mark"[^>]*>', svg)
    return re.findall(r' stroke="([^"]+)"', "\n".join(curves))


def test_a_figure_is_the_same_bytes_each_time() -> None:
    first = loss_figure(_frame(), "training_loss", "news", LENGTHS)
    assert loss_figure(_frame(), "training_loss", "news", LENGTHS) == first


def test_a_figure_says_what_it_shows() -> None:
    svg = loss_figure(_frame(), "training_loss", "news", LENGTHS)
    for text in ("Training loss · news", "training loss (nats per piece)", "epoch"):
        assert f">{text}<" in svg
    for length in LENGTHS:
        assert f">{length}<" in svg
    assert 'fill="white"' in svg


def test_there_is_one_curve_a_run() -> None:
    assert len(colours(loss_figure(_frame(), "training_loss", "news", LENGTHS))) == len(LENGTHS)


def test_a_length_has_its_colour_in_every_figure_of_a_study() -> None:
    together = colours(loss_figure(_frame(), "training_loss", "news", LENGTHS))
    alone = colours(loss_figure(_frame((1024,)), "validation_loss", "wiki", LENGTHS))
    assert len(set(together)) == len(LENGTHS)
    assert alone == [together[1]]


def test_the_validation_figure_shows_what_no_context_would_score() -> None:
    assert ">unigram<" in loss_figure(_frame(), "validation_loss", "news", LENGTHS)


def test_several_models_are_told_apart_by_their_dashes() -> None:
    both = pd.concat([_curve(256), _curve(256, "other")], ignore_index=True)
    svg = loss_figure(both, "training_loss", "news", (256,))
    assert "stroke-dasharray" in svg
    assert ">other<" in svg


def test_one_length_and_no_points_at_all_still_draw() -> None:
    assert "</svg>" in loss_figure(_frame((256,)), "validation_loss", "news", (256,))
    assert "</svg>" in loss_figure(_frame().iloc[:0], "validation_loss", "news", LENGTHS)


def test_thinning_keeps_a_short_curve_as_it_is() -> None:
    steps = [Step(step=i, epoch=i / 2, training_loss=float(i)) for i in (1, 2, 3)]
    assert thinned(steps) == [(1, 0.5, 1.0), (2, 1.0, 2.0), (3, 1.5, 3.0)]
    assert thinned([]) == []


def test_thinning_gives_means_of_equally_many_updates() -> None:
    steps = [Step(step=i, epoch=i / 4, training_loss=float(i)) for i in range(1, 9)]
    assert thinned(steps, points=2) == [(4, 1.0, 2.5), (8, 2.0, 6.5)]


def test_thinning_leaves_out_what_is_no_number() -> None:
    steps = [Step(step=i, epoch=i, training_loss=None if i == 2 else 1.0) for i in (1, 2, 3)]
    assert thinned(steps) == [(1, 1.0, 1.0), (3, 3.0, 1.0)]


def drawn_by_dvc(template: str, x: str, y: str, points: list[dict[str, str]]) -> str:
    """The SVG that a template makes of two revisions of a CSV, whose cells DVC hands over as text.

    Args:
        template: a file of plots/templates.
        x: a column of the CSV, as dvc.yaml says.
        y: another.
        points: the lines of the CSV.
    """
    both = [{**point, "rev": rev} for rev in ("HEAD", "workspace") for point in points]
    renderer = VegaRenderer(both, "file.csv", x=x, y=y, template=str(TEMPLATES / template))
    content = renderer.get_filled_template()
    spec = json.loads(content) if isinstance(content, str) else content
    drawn: str = vl_convert.vegalite_to_svg(spec, vl_version="5.8")
    return drawn


def test_the_template_of_dvc_plots_draws_every_curve() -> None:
    points = [
        {"run": length, "sequence_length": length, "epoch": x, "training_loss": str(3 / int(x))}
        for length in map(str, LENGTHS)
        for x in ("1", "2")
    ]
    svg = drawn_by_dvc("loss.json", "epoch", "training_loss", points)
    assert len(colours(svg)) == 6
    assert len(set(colours(svg))) == len(LENGTHS)
