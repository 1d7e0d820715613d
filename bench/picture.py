"""The picture for the README: an SVG that reads on a light and on a dark page."""

from collections.abc import Iterator
from html import escape
from itertools import cycle

from operations.addresses import SERVICES
from report import Rounds, middle
from rounds import EDGE

_WIDTH, _LEFT, _RIGHT = 880, 150, 130
_BAR, _STEP = 20, 30
_PARTS = {
    **dict(zip(SERVICES, cycle(("#3b82f6", "#14b8a6", "#a855f7", "#ec4899", "#eab308", "#84cc16")), strict=False)),
    "PostgreSQL": "#64748b",
    "RabbitMQ": "#f97316",
    EDGE: "#dc2626",
}
_COLOURS = {"floor": "#94a3b8", "baseline": "#f59e0b", "system": "#3b82f6"}
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.note { fill: #59636e; font-size: 12px }
line { stroke: #59636e }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .note { fill: #9198a1 } line { stroke: #9198a1 } }
"""


class _Drawing:
    def __init__(self) -> None:
        self.elements: list[str] = []
        self.y = 10.0

    def text(self, x: float, text: str, kind: str = "", anchor: str = "start") -> None:
        self.elements.append(
            f'<text x="{x:.0f}" y="{self.y + 15:.0f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def title(self, text: str, note: str) -> None:
        self.y += 12
        self.text(10, text, "title")
        self.text(_WIDTH - 10, note, "note", "end")
        self.y += 26

    def bar(self, x: float, width: float, colour: str, hint: str) -> None:
        self.elements.append(
            f'<rect x="{x:.1f}" y="{self.y:.0f}" width="{max(width, 1):.1f}" height="{_BAR}" fill="{colour}">'
            f"<title>{escape(hint)}</title></rect>"
        )

    def whisker(self, low: float, high: float) -> None:
        middle_y = self.y + _BAR / 2
        self.elements.append(f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle_y:.0f}" y2="{middle_y:.0f}"/>')

    def svg(self) -> str:
        height = self.y + 10
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{_WIDTH}" viewBox="0 0 {_WIDTH} {height:.0f}">'
            "\n<title>Orders a second, CPU an order, and latency: floor, baseline and system</title>\n"
            f"<style>{_STYLE}</style>\n" + "\n".join(self.elements) + "\n</svg>\n"
        )


def draw(rounds: Rounds) -> str:
    drawing = _Drawing()
    drawing.title("Completed orders a second", "median and spread of the rounds; the floor only answers the request")
    _bars(drawing, rounds, [(name, name, "completed/s") for name in rounds], "{:,.0f}")
    drawing.title("CPU seconds per 1,000 orders", "without the load generator's")
    _costs(drawing, rounds)
    drawing.title("Latency, ms", "the system's and the baseline's, on one machine with the load generator")
    sagas = [name for name in rounds if name != "floor"]
    for label, figure in (
        ("POST to completed at 20 orders/s, p50", "low completed p50"),
        ("POST to completed at 20 orders/s, p99", "low completed p99"),
        ("POST under full load, p50", "post p50"),
        ("POST under full load, p99", "post p99"),
    ):
        drawing.text(10, label, "note")
        drawing.y += 22
        _bars(drawing, rounds, [(name, name, figure) for name in sagas], "{:,.1f}")
    return drawing.svg()


def _bars(drawing: _Drawing, rounds: Rounds, wanted: list[tuple[str, str, str]], form: str) -> None:
    """A bar for each (label, contestant, figure), all on one scale."""
    values = {(name, figure): [of[figure] for of in rounds[name] if figure in of] for _, name, figure in wanted}
    largest = max((max(found) for found in values.values() if found), default=1)
    scale = (_WIDTH - _LEFT - _RIGHT) / largest
    for label, name, figure in wanted:
        found, shown = values[name, figure], middle(rounds[name], figure)
        if shown is None:
            continue
        drawing.text(_LEFT - 10, label, anchor="end")
        drawing.bar(_LEFT, shown * scale, _COLOURS.get(name, _COLOURS["system"]), form.format(shown))
        drawing.whisker(_LEFT + min(found) * scale, _LEFT + max(found) * scale)
        drawing.text(_LEFT + max(found) * scale + 8, form.format(shown))
        drawing.y += _STEP


def _costs(drawing: _Drawing, rounds: Rounds) -> None:
    """Split by process; the system's once more, enlarged, where it is too small to be read."""
    sums = {name: middle(rounds[name], "cpu") or 0 for name in rounds}
    scale = (_WIDTH - _LEFT - _RIGHT) / max(sums.values())
    for name, total in sums.items():
        _stack(drawing, rounds, name, name, scale, f"{total:.2f}")
    if "system" in sums and sums["system"] < 0.5 * max(sums.values()):
        enlarged = (_WIDTH - _LEFT - _RIGHT) / sums["system"]
        _stack(drawing, rounds, "system", "system, enlarged", enlarged, f"x {enlarged / scale:.1f}")
    x = float(_LEFT)
    for part, colour in _PARTS.items():
        drawing.elements.append(f'<rect x="{x:.0f}" y="{drawing.y + 4:.0f}" width="12" height="12" fill="{colour}"/>')
        drawing.text(x + 16, part.removesuffix("-service"), "note")
        x += 30 + 7.5 * len(part.removesuffix("-service"))
    drawing.y += 26


def _stack(drawing: _Drawing, rounds: Rounds, name: str, label: str, scale: float, shown: str) -> None:
    drawing.text(_LEFT - 10, label, anchor="end")
    x = float(_LEFT)
    for part, cost in _parts(rounds, name):
        drawing.bar(x, cost * scale, _PARTS[part], f"{part}: {cost:.2f}")
        x += cost * scale
    drawing.text(x + 8, shown)
    drawing.y += _STEP


def _parts(rounds: Rounds, name: str) -> Iterator[tuple[str, float]]:
    for part in _PARTS:
        cost = middle(rounds[name], f"cpu {part}")
        if cost is not None:
            yield part, cost
