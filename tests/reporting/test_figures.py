"""The templates of `dvc plots`, drawn as SVG: the same bytes, readable, the same colours."""

import csv
import json
import re
import shutil
from collections.abc import Sequence
from colorsys import rgb_to_hls
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from dvc_render.vega import VegaRenderer  # type: ignore[import-untyped]

from reformer_seqlen.memory.trace import (
    ACTIVATIONS,
    CACHE,
    INPUTS,
    LOGITS,
    POSITIONS,
    WEIGHTS,
)
from reformer_seqlen.reporting import figures as figures_module
from reformer_seqlen.reporting.figures import (
    FIGURES,
    TEMPLATES,
    can_draw,
    draw_figures,
    write_plots,
)
from reformer_seqlen.reporting.records import Counted
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import ROOT
from tests.gap_example import GAP_STUDY, gap_results
from tests.plots_example import (
    CORPORA,
    LENGTHS,
    memory_results,
    results,
    run_results,
    runs,
    score,
    training_point,
)
from tests.report_example import one_run

pytestmark = pytest.mark.slow

PLOTS = [plot for rows in FIGURES.values() for row in rows for plot in row]


@pytest.fixture(scope="module")
def plots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CSV files of a study of two corpora and one model; what it lacks is of other ones."""
    folder = tmp_path_factory.mktemp("study") / "plots"
    study = runs("tiny")
    shown = write_plots(results(**run_results(study), **memory_results()), study, folder)
    published, untrained = folder.parent / "published", folder.parent / "untrained"
    trained = {key: run_results(GAP_STUDY)[key] for key in ("histories", "timings")}
    write_plots(gap_results(GAP_STUDY, **trained), GAP_STUDY, published)
    shutil.copy(published / "gap.csv", folder)
    as_it_is = {f"base-{n}": one_run(n, model="base", train="none") for n in (128, 8192)}
    write_plots(results(**run_results(as_it_is)), as_it_is, untrained)
    shutil.copy(untrained / "untrained.csv", folder)
    assert {*shown, "gap"} == {*FIGURES}
    return folder


@pytest.fixture(scope="module")
def figures(plots: Path) -> dict[str, str]:
    """Its figures, by name."""
    folder = plots.parent / "figures"
    draw_figures([*FIGURES], plots, folder)
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def rows_of(plots: Path, name: str) -> list[dict[str, str]]:
    """The rows of a CSV file, as text, as DVC reads them."""
    with (plots / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def drawn(name: str, rows: list[dict[str, str]]) -> str:
    """The SVG that `dvc plots` makes of a template and these rows."""
    renderer = VegaRenderer(rows, name, template=str(TEMPLATES / f"{name}.json"))
    svg: str = vl_convert.vegalite_to_svg(renderer.get_filled_template())
    return svg


def marks(svg: str, kind: str) -> list[str]:
    """The elements of a kind: `line mark`, `point`, `circle` or `bar`."""
    return re.findall(rf'<path [^>]*aria-roledescription="{kind}"[^>]*>', svg)


def colours(svg: str, kind: str = "line mark", of: str = "stroke") -> list[str]:
    """The colour of every mark of a kind."""
    return re.findall(rf' {of}="([^"]+)"', "\n".join(marks(svg, kind)))


def texts(svg: str) -> list[str]:
    """Every text of a figure."""
    return re.findall(r"<text [^>]*>([^<]+)<", svg)


def test_the_same_numbers_give_the_same_bytes(plots: Path, figures: dict[str, str]) -> None:
    again = plots.parent / "again"
    draw_figures(["answer", "memory"], plots, again)
    assert sorted(path.name for path in again.iterdir()) == ["answer.svg", "memory.svg"]
    for name in ("answer", "memory"):
        assert (again / f"{name}.svg").read_text(encoding="utf-8") == figures[name]


def test_only_what_would_be_drawn_otherwise_is_drawn_again(
    plots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, folder = tmp_path / "plots", tmp_path / "figures"
    shutil.copytree(plots, own)
    asked: list[str] = []

    def draw(wanted: dict[str, dict[str, Any]]) -> dict[str, str]:
        asked.extend(wanted)
        return really(wanted)

    really = figures_module._drawn
    monkeypatch.setattr(figures_module, "_drawn", draw)

    def drawn_again() -> list[str]:
        asked.clear()
        draw_figures(["gap", "memory"], own, folder)
        return list(asked)

    gap, memory = folder / "gap.svg", own / "memory.csv"
    assert drawn_again() == ["gap", "memory"]
    before = gap.read_bytes()
    assert drawn_again() == []
    memory.write_text("".join(memory.read_text("utf-8").splitlines(keepends=True)[:3]), "utf-8")
    assert drawn_again() == ["memory"]
    for damage in (before.replace(b"white", b"black"), before[:-9], b"\xff", b""):
        gap.write_bytes(damage)
        assert drawn_again() == ["gap"]
        assert gap.read_bytes() == before
    gap.unlink()
    assert drawn_again() == ["gap"]
    monkeypatch.setattr(figures_module, "version", lambda package: f"another {package}")
    assert drawn_again() == ["gap", "memory"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (b"", "no rows: `git checkout HEAD"),
        (b"run,corpus\n", "no rows: `git checkout HEAD"),
        (b"run,corpus\na\n", "rows of unequal length"),
        (b"run,corpus\na,b,c\n", "rows of unequal length"),
        (b"\xff", "is not UTF-8"),
    ],
)
def test_a_damaged_file_of_numbers_is_named(
    plots: Path, tmp_path: Path, given: bytes, why: str
) -> None:
    shutil.copytree(plots, tmp_path / "plots")
    (tmp_path / "plots/pareto.csv").write_bytes(given)
    with pytest.raises(StudyError, match=why) as refused:
        draw_figures(["pareto"], tmp_path / "plots", tmp_path / "figures")
    assert "pareto.csv" in str(refused.value)


def test_every_figure_is_on_white_and_names_no_revision(figures: dict[str, str]) -> None:
    for svg in figures.values():
        assert re.search(r'<rect width="\d+" height="\d+" fill="white"', svg)
        assert "workspace" not in texts(svg)


def test_the_answer_is_a_panel_a_corpus_with_the_cost_below(figures: dict[str, str]) -> None:
    svg = figures["answer"]
    for text in (
        "Does a longer context predict better?",
        "What does a longer context buy a model that is not trained here?",
        "What does a longer context cost in time?",
        "What does a longer context cost in memory?",
    ):
        assert text in texts(svg)
    for text in ("bits per byte", "tokens a second", "256", "8192", "tiny", "base", *CORPORA):
        assert text in texts(svg)
    untrained, memory = 1, 2  # memory is of other models
    assert len(colours(svg)) == len(CORPORA) + untrained + 1 + memory
    assert len(set(colours(svg)[: len(CORPORA)])) == 1


def test_a_model_has_one_colour_in_the_answer_and_one_entry_in_its_legend(tmp_path: Path) -> None:
    study = runs("tiny", "other")
    points = [training_point(model, 6, length) for model in ("other", "tiny") for length in LENGTHS]
    write_plots(results(**run_results(study), memory_training=points), study, tmp_path / "plots")
    draw_figures(["answer"], tmp_path / "plots", tmp_path / "figures")
    svg = (tmp_path / "figures/answer.svg").read_text(encoding="utf-8")
    assert colours(svg) == colours(svg)[:2] * (len(CORPORA) + 2)
    assert texts(svg).count("tiny") == texts(svg).count("other") == 1


def test_counting_is_dashed_and_named(tmp_path: Path) -> None:
    study = runs("tiny")
    counts = {
        f"news-{order}gram": Counted(
            validation=score(2.5), test=score(4.0),
            corpus="news", model="tiny", order=order, text="own", tokens_counted=5,
        )
        for order in (3, 5)
    }  # fmt: skip
    write_plots(results(**run_results(study), counts=counts), study, tmp_path)
    svg = drawn("answer", rows_of(tmp_path, "answer"))
    dashes = re.findall(r'stroke-dasharray="3,4"', "".join(marks(svg, "line mark")))
    assert len(dashes) == 2
    assert {"3-gram", "5-gram"} <= set(texts(svg))
    places = [float(y) for y in re.findall(r'translate\([\d.]+,([\d.]+)\)"[^>]*>[35]-gram<', svg)]
    assert abs(places[0] - places[1]) > 8  # pixels, though both scored alike


def test_a_length_has_its_colour_in_every_figure_and_its_shade_of_grey(
    figures: dict[str, str],
) -> None:
    of_length = colours(figures["training_loss"])[: len(LENGTHS)]
    for name in ("training_loss", "validation_loss"):
        assert colours(figures[name]) == of_length * len(CORPORA)
        assert set(CORPORA) <= set(texts(figures[name]))
    lightness = [
        rgb_to_hls(*(int(channel) / 255 for channel in re.findall(r"\d+", colour)))[1]
        for colour in of_length
    ]
    assert lightness == sorted(lightness, reverse=True)
    assert min(a - b for a, b in pairwise(lightness)) > 0.1


def test_the_validation_figure_shows_the_unigram_level(figures: dict[str, str]) -> None:
    assert texts(figures["validation_loss"]).count("unigram") == len(CORPORA)


def test_several_models_have_colours_and_panels_of_their_own(tmp_path: Path) -> None:
    study = runs("tiny", "other")
    write_plots(results(**run_results(study)), study, tmp_path / "plots")
    answer = drawn("answer", rows_of(tmp_path / "plots", "answer"))
    assert len(colours(answer)) == 2 * len(CORPORA)
    panels = texts(drawn("training_loss", rows_of(tmp_path / "plots", "training_loss")))
    assert {f"{corpus}, {model}" for corpus in CORPORA for model in ("tiny", "other")} <= set(
        panels
    )


@pytest.mark.parametrize("name", ["training_loss", "validation_loss", "positions"])
def test_a_long_name_of_a_panel_has_two_lines(
    name: str, figures: dict[str, str], plots: Path
) -> None:
    assert not any("…" in text for text in texts(figures[name]))
    otherwise = "tokens per update 16384, updates 100"
    rows = rows_of(plots, name)
    rows += [row | {"model": f"reformer, {otherwise}", "run": "other"} for row in rows]
    svg = drawn(name, rows)
    assert ">news, reformer,<" in svg
    assert f">{otherwise}<" in svg


def test_a_short_training_has_an_axis_of_its_own(plots: Path) -> None:
    rows = rows_of(plots, "training_loss")
    others = [row | {"corpus": "short", "epoch": str(float(row["epoch"]) / 10)} for row in rows]
    assert {"3.0", "0.30"} <= set(texts(drawn("training_loss", rows + others)))


def test_memory_of_updates_says_of_how_many_sequences(plots: Path) -> None:
    assert "batch 1 at every length" in texts(
        drawn("update_memory", rows_of(plots, "update_memory"))
    )


def rows_at(places: Sequence[tuple[float, float]], folder: Path) -> list[dict[str, str]]:
    """Rows of quality against cost: points of so many seconds and bits per byte."""
    study = runs("tiny", corpora=("news",)) | {"more": one_run(256, train={"updates": 9})}
    write_plots(results(**run_results(study)), study, folder)
    rows = rows_of(folder, "pareto")
    for row, (seconds, bits) in zip(rows, places, strict=True):
        row |= {"amount": str(seconds), "bits_per_byte": str(bits)}
    return rows


def filled(svg: str) -> str:
    """Which points are filled: 1, and which are not: 0."""
    return "".join(re.findall(r'fill-opacity="(\d)"', "".join(marks(svg, "point"))))


def test_the_front_is_filled_and_joined(tmp_path: Path) -> None:
    """A point is on the front where no other costs as little and scores as well."""
    svg = drawn("pareto", rows_at(((2, 2.0), (3, 2.0), (2, 2.5), (4, 1.0)), tmp_path))
    assert {"news: seconds of training", "tiny", "256 *"} <= set(texts(svg))
    assert len(marks(svg, "line mark")) == 1
    assert filled(svg) == "1001"


def test_the_names_of_two_points_side_by_side_do_not_overlap(tmp_path: Path) -> None:
    rows = rows_at(((2, 2.0), (3, 3.0), (4, 3.0), (1.96, 2.02)), tmp_path)
    svg = drawn("pareto", rows)
    heights = re.findall(r"name: 256[ *]*;[^>]*text mark[^>]*translate\([\d.]+,([\d.]+)\)", svg)
    assert abs(float(heights[0]) - float(heights[1])) > 9  # pixels, the height of a name


def test_what_costs_a_few_percent_less_costs_as_little(tmp_path: Path) -> None:
    """Seconds are those of one training, and another would take a few percent more or less."""
    rows = rows_at(((2.0, 2.0), (1.95, 2.5), (2.04, 1.9), (3.0, 1.8)), tmp_path)
    assert filled(drawn("pareto", rows)) == "0011"
    for row in rows:
        row["kind"] = "predicted"  # and what is computed has no such spread
    assert filled(drawn("pareto", rows)) == "1111"


def test_the_same_model_in_other_ways_is_a_line_a_run(figures: dict[str, str]) -> None:
    for name, axis in (
        ("contexts", "tokens of a window"),
        ("positions", "tokens before, up to"),
        ("hash_rounds", "hash rounds"),
    ):
        assert {axis, *CORPORA} <= set(texts(figures[name]))
        assert colours(figures[name]) == colours(figures["training_loss"])
    assert "as trained" in texts(figures["hash_rounds"])


def test_the_published_gap_is_a_line_and_a_bar_a_way(figures: dict[str, str]) -> None:
    svg = figures["gap"]
    for text in ("news", "+ equal epochs and batch size", "+0.600", "gap: the longest above the"):
        assert any(text in each for each in texts(svg))
    ways = colours(svg)
    assert len(set(ways)) == 4
    assert colours(svg, "bar", "fill") == ways


OF_BITS = ("answer", "untrained", "pareto", "gap", "contexts", "hash_rounds")


def test_the_figures_of_bits_per_byte_are_all_those_that_show_any() -> None:
    said = {path.stem for path in TEMPLATES.glob("*.json") if "bits_per_byte" in path.read_text()}
    assert said == set(OF_BITS)


@pytest.mark.parametrize("name", OF_BITS)
def test_a_lower_bound_is_marked_in_every_figure_of_bits_per_byte(plots: Path, name: str) -> None:
    rows = rows_of(plots, name)
    assert sum("≥" in text for text in texts(drawn(name, rows))) == 1  # what it means
    several = [row | {"bound": "lower"} for row in rows]
    assert sum("≥" in text for text in texts(drawn(name, several))) > 1


@pytest.mark.parametrize("name", ["answer", "pareto"])
def test_so_is_what_counting_scores(name: str, tmp_path: Path) -> None:
    study = runs("tiny", corpora=("news",))
    counted = Counted(
        validation=score(2.5), test=score(2.0, unknown_rate=0.01),
        corpus="news", model="tiny", order=3, text="own", tokens_counted=5,
    )  # fmt: skip
    write_plots(results(**run_results(study), counts={"news-3gram": counted}), study, tmp_path)
    assert "≥ 3-gram" in texts(drawn(name, rows_of(tmp_path, name)))


def test_memory_has_a_line_a_model_and_marks_what_it_is_held_against(
    figures: dict[str, str],
) -> None:
    svg = figures["memory"]
    for text in ("memory (MiB)", "sequence length (pieces)", "reformer", "gpt2", "measured"):
        assert text in texts(svg)
    assert len(marks(svg, "point")) == 2 * 6
    assert colours(svg) == colours(svg)[:2] * 2


def test_a_model_has_the_same_colour_where_only_some_are_shown(figures: dict[str, str]) -> None:
    gpt2 = colours(figures["memory"])[0]
    assert set(colours(figures["memory_gpus"], "point")) == {gpt2}
    assert "reformer" not in texts(figures["memory_gpus"])


def test_gpus_stand_in_order_and_those_where_nothing_fits_stay_empty(
    figures: dict[str, str],
) -> None:
    svg = figures["memory_gpus"]
    assert [text for text in texts(svg) if text in ("tiny", "small", "big")] == [
        "tiny",
        "small",
        "big",
    ]
    gpt2 = colours(svg, "point")[0]
    assert sorted(colours(svg, "point", "fill")) == sorted([gpt2] * 3 + ["white"])


def test_the_parts_of_a_bar_add_up(plots: Path, figures: dict[str, str]) -> None:
    svg = figures["memory_composition"]
    assert len(marks(svg, "bar")) == 2 * len(rows_of(plots, "memory_composition"))
    for text in ("in use at the peak (MiB)", "share of the peak", "gpt2 · 256", "2,048", "cache"):
        assert text in texts(svg)


def test_everything_that_memory_is_for_has_its_place(figures: dict[str, str]) -> None:
    purposes = {WEIGHTS, POSITIONS, ACTIVATIONS, LOGITS, CACHE, INPUTS}
    assert purposes <= set(texts(figures["memory_composition"]))


def test_training_memory_has_a_panel_a_length(figures: dict[str, str]) -> None:
    svg = figures["memory_training"]
    for text in ("256 pieces", "4,096 pieces", "layers", "in use at the peak (MiB)", "a", "b"):
        assert text in texts(svg)
    assert colours(svg) == colours(svg)[:2] * len(LENGTHS)


@pytest.mark.parametrize("name", PLOTS)
def test_two_revisions_are_told_apart(plots: Path, name: str) -> None:
    rows = [{**row, "rev": rev} for rev in ("HEAD", "workspace") for row in rows_of(plots, name)]
    one, both = drawn(name, rows[len(rows) // 2 :]), drawn(name, rows)
    for kind in ("line mark", "point", "circle", "bar"):
        assert len(marks(both, kind)) == 2 * len(marks(one, kind))
    shown = " ".join(texts(both))
    assert "HEAD" in shown
    assert "workspace" in shown
    if "line mark" in both:
        dashes = re.findall(r'stroke-dasharray="([^"]+)"', "".join(marks(both, "line mark")))
        assert dashes.count("1,0") == dashes.count("4,2") == len(marks(one, "line mark"))


@pytest.mark.parametrize("name", PLOTS)
def test_one_row_still_draws(plots: Path, name: str) -> None:
    assert "</svg>" in drawn(name, [{**rows_of(plots, name)[0], "rev": "workspace"}])


def test_figures_without_a_row_are_left_out(tmp_path: Path) -> None:
    study = runs("tiny")
    shown = write_plots(results(**run_results(study)), study, tmp_path / "plots")
    assert shown == [
        "answer", "pareto", "contexts", "positions", "hash_rounds",
        "training_loss", "validation_loss",
    ]  # fmt: skip
    assert sorted(path.stem for path in (tmp_path / "plots").iterdir()) == sorted(PLOTS)


def test_the_templates_share_one_look_and_dvc_knows_them_all() -> None:
    templates = {path.stem: json.loads(path.read_text("utf-8")) for path in TEMPLATES.iterdir()}
    assert sorted(templates) == sorted(PLOTS)
    looks = [template["config"] for template in templates.values()]
    assert all(look == looks[0] for look in looks)


def test_no_figure_is_defined_in_code() -> None:
    sources = [
        path for folder in ("reformer_seqlen", "stages") for path in (ROOT / folder).rglob("*.py")
    ]
    for source in sources:
        assert not re.search(r"^\s*(import|from) altair", source.read_text("utf-8"), re.M), source


def test_figures_of_a_study_that_was_kept_long_ago_may_be_others(tmp_path: Path) -> None:
    for name in ("answer", "untrained", "cost", "update_memory"):
        (tmp_path / f"{name}.csv").touch()
    assert can_draw({"answer"}, tmp_path)
    assert not can_draw({"answer", "mine"}, tmp_path)
    assert not can_draw({"answer", "pareto"}, tmp_path)
