"""Charts as plain SVG: drawn once, no script, sharp on paper. Each stands beside a table with the same numbers."""

from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 560, 220, 44, 34, 12
COLOURS = ("#0b6e8f", "#d1661f")


def _ticks(top: float) -> list[float]:
    """Round steps from 0 to at least `top`."""
    step = 1.0
    while top / step > 5:
        step *= 2.5 if str(step)[0] == "2" else 2
    return [step * k for k in range(int(-(-top // step)) + 1)]


def bars(labels: Sequence[str], series: Sequence[Sequence[int]], title: str, x_title: str) -> Markup:
    """Stacked bars; `series` from the bottom up, at most two. `title` is read out by screen readers."""
    totals = [sum(values) for values in zip(*series, strict=True)]
    ticks = _ticks(max(totals, default=1) or 1)
    scale = (HEIGHT - TOP - BOTTOM) / ticks[-1]
    width = (WIDTH - LEFT - 8) / max(1, len(labels))
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for tick in ticks:
        y = HEIGHT - BOTTOM - tick * scale
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:,.0f}</text>')
    every = max(1, -(-len(labels) // 14))
    for k, label in enumerate(labels):
        x, base = LEFT + k * width, float(HEIGHT - BOTTOM)
        for colour, values in zip(COLOURS, series, strict=False):
            high = values[k] * scale
            base -= high
            parts.append(
                f'<rect x="{x + 1:.1f}" y="{base:.1f}" width="{max(1.0, width - 2):.1f}" height="{high:.1f}" fill="{colour}"/>'
            )
        if k % every == 0:
            parts.append(
                f'<text x="{x + width / 2:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{escape(label)}</text>'
            )
    parts.append(f'<text x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x_title)}</text></svg>')
    return Markup("".join(parts))


def histogram(values: Sequence[float], step: float) -> tuple[list[str], list[int]]:
    """Labels and counts of bins [k*step, (k+1)*step) from the lowest value to the highest, at most 40 bins."""
    if not values:
        return [], []
    low = int(min(values) // step)
    counts = [0] * (min(int(max(values) // step) - low + 1, 40))
    for value in values:
        counts[min(int(value // step) - low, len(counts) - 1)] += 1
    labels = [f"{(low + k) * step:g}" for k in range(len(counts))]
    return labels, counts
