"""The figures: tidy frames in, SVG out, the same bytes for the same numbers.

Colours mean the sequence length, from orange (short) to black-violet (long), and mean the same in
every figure of a study and in the templates of `dvc plots`. They differ in lightness too, so that
they can be told apart in grey. The background is white, for light and dark pages alike.
"""

import io
from collections.abc import Sequence

import altair as alt
import pandas as pd

WIDTH, HEIGHT = 440, 270
FONT = "Helvetica, Arial, sans-serif"
INK, FAINT = "#333333", "#e8e8e8"
LENGTH_SCHEME = alt.SchemeParams(name="inferno", extent=[0.8, 0.08])
KINDS = {
    "measured": ("measured, in use", [1, 0]),
    "predicted": ("predicted, on a GPU", [5, 3]),
    "published": ("published, on a GPU", [1, 3]),
}
"""The kinds of memory figures that are drawn: what each is called, and its dashes."""
NAMES = {"training_loss": "Training loss", "validation_loss": "Validation loss"}


def _dressed(chart: alt.LayerChart, title: str) -> alt.LayerChart:
    """The look that all figures share."""
    head = alt.Title(title, anchor="start", fontSize=15, offset=12, color=INK)
    dressed: alt.LayerChart = (
        chart.properties(width=WIDTH, height=HEIGHT, background="white", padding=14, title=head)
        .configure(font=FONT)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=FAINT,
            domainColor=INK,
            tickColor=INK,
            labelColor=INK,
            titleColor=INK,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=10,
        )
        .configure_legend(
            labelColor=INK,
            titleColor=INK,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            symbolStrokeWidth=3,
        )
    )
    return dressed


def svg(chart: alt.LayerChart) -> str:
    """The chart as SVG text."""
    written = io.StringIO()
    # A frame is at most some hundred points a run; altair's own limit is for web pages.
    with alt.data_transformers.enable("default", max_rows=None):
        chart.save(written, format="svg")
    return written.getvalue() + "\n"


def _length_colour(lengths: Sequence[int]) -> alt.Color:
    scale = alt.Scale(domain=list(lengths), scheme=LENGTH_SCHEME)
    return alt.Color("sequence_length:O", title=["sequence length", "(pieces)"], scale=scale)


def loss_figure(frame: pd.DataFrame, column: str, corpus: str, lengths: Sequence[int]) -> str:
    """A loss against epoch, one curve per run, coloured by sequence length.

    Args:
        frame: run, model, sequence_length, epoch and the loss; for the validation loss also
            `unigram_loss`, which is drawn as a line where it is in sight.
        column: `training_loss` or `validation_loss`.
        corpus: for the title.
        lengths: all lengths of the study, so that each has its colour in every figure.
    """
    base = alt.Chart(frame).encode(
        x=alt.X(
            "epoch:Q",
            title="epoch",
            scale=alt.Scale(domainMin=0, nice=False),
            axis=alt.Axis(tickCount=8, tickMinStep=1, grid=False),
        ),
        y=alt.Y(
            f"{column}:Q",
            title=f"{NAMES[column].lower()} (nats per piece)",
            scale=alt.Scale(zero=False, nice=True),
        ),
        color=_length_colour(lengths),
        detail="run:N",
    )
    lines = base.mark_line(strokeWidth=1.8, strokeJoin="round")
    if len(frame["model"].unique()) > 1:
        legend = alt.Legend(symbolType="stroke", symbolSize=300)
        lines = lines.encode(strokeDash=alt.StrokeDash("model:N", title="model", legend=legend))
    layers = [lines]
    if column == "validation_loss":
        layers += [base.mark_circle(size=36, opacity=1), *_unigram_line(frame)]
    return svg(_dressed(alt.LayerChart(layer=layers), f"{NAMES[column]} · {corpus}"))


def _unigram_line(frame: pd.DataFrame) -> list[alt.Chart]:
    """What a model without context scores: a curve above it has learned nothing of use."""
    level = pd.DataFrame({"level": [float(frame["unigram_loss"].mean())], "text": ["unigram"]})
    rule = alt.Chart(level).mark_rule(color="#888888", strokeDash=[4, 4])
    text = alt.Chart(level).mark_text(align="right", dx=-4, dy=-7, color="#666666", fontSize=12)
    return [
        rule.encode(y="level:Q"),
        text.encode(y="level:Q", x=alt.value(WIDTH), text="text:N"),
    ]


def memory_figure(frame: pd.DataFrame) -> str:
    """Memory against sequence length, both doubling from tick to tick, one line per model."""
    shown = frame[frame["kind"].isin(list(KINDS))]
    names = [
        ", ".join(str(part) for part in parts if pd.notna(part) and part != "today")
        for parts in zip(shown["model"], shown["positions"], shown["allocations"], strict=True)
    ]
    labels = [KINDS[kind][0] for kind in shown["kind"]]
    series = shown.assign(series=names, number=labels)
    lengths = sorted(set(shown["sequence_length"]))
    kinds = [KINDS[kind] for kind in KINDS if kind in set(shown["kind"])]
    base = alt.Chart(series).encode(
        x=alt.X(
            "sequence_length:Q",
            title="sequence length (pieces)",
            scale=alt.Scale(type="log", base=2, nice=False),
            axis=alt.Axis(values=lengths, grid=False, format="d"),
        ),
        y=alt.Y(
            "mib:Q",
            title="inference memory (MiB)",
            scale=alt.Scale(type="log", base=2),
            axis=alt.Axis(format=",d"),
        ),
        color=alt.Color("series:N", title="model", scale=alt.Scale(scheme="tableau10"), sort=None),
        detail="batch_size:N",
    )
    dashes = alt.StrokeDash(
        "number:N",
        title="number",
        scale=alt.Scale(domain=[name for name, _ in kinds], range=[dash for _, dash in kinds]),
        legend=alt.Legend(symbolType="stroke", symbolSize=300) if len(kinds) > 1 else None,
    )
    layers = [
        base.mark_line(strokeWidth=2).encode(strokeDash=dashes),
        base.mark_circle(size=36, opacity=1),
    ]
    title = "Inference memory against sequence length"
    return svg(_dressed(alt.LayerChart(layer=layers), title))
