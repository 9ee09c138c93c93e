"""The loss figures: tidy frames in, SVG out, the same bytes for the same numbers.

Colours mean the sequence length, from orange (short) to black-violet (long), and mean the same in
every figure of a study and in the templates of `dvc plots`. They differ in lightness too, so that
they can be told apart in grey.
"""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from reformer_seqlen.reporting.look import dressed, svg

WIDTH, HEIGHT = 440, 270
LENGTH_SCHEME = alt.SchemeParams(name="inferno", extent=[0.8, 0.08])
NAMES = {"training_loss": "Training loss", "validation_loss": "Validation loss"}


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
    chart = alt.LayerChart(layer=layers).properties(width=WIDTH, height=HEIGHT)
    return svg(dressed(chart, f"{NAMES[column]} · {corpus}"))


def _unigram_line(frame: pd.DataFrame) -> list[alt.Chart]:
    """What a model without context scores: a curve above it has learned nothing of use."""
    level = pd.DataFrame({"level": [float(frame["unigram_loss"].mean())], "text": ["unigram"]})
    rule = alt.Chart(level).mark_rule(color="#888888", strokeDash=[4, 4])
    text = alt.Chart(level).mark_text(align="right", dx=-4, dy=-7, color="#666666", fontSize=12)
    return [
        rule.encode(y="level:Q"),
        text.encode(y="level:Q", x=alt.value(WIDTH), text="text:N"),
    ]
