"""`python -m docs.tools.architecture`: draw the packages as they really import each other."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import grimp
import networkx as nx

from fl_crafter.files import write_text

PACKAGES = ("fl_crafter", "strategies", "simulations")
DRAWING = Path(__file__).resolve().parents[1] / "diagrams" / "architecture.svg"
WIDTH, ROW, BOX, HEIGHT = 760, 74, 104, 30
STYLE = (  # all of it inside the diagram: the page has icons that are drawings too
    ".diagram text{font:13px sans-serif;text-anchor:middle;fill:var(--md-default-fg-color,#6e7781)}"
    ".diagram rect,.diagram path{fill:none;stroke:var(--md-default-fg-color--light,#6e7781)}"
    ".diagram path{opacity:.6}"
    ".diagram .own{stroke:var(--md-accent-fg-color,#009688);stroke-width:2}"
)


def parts() -> nx.DiGraph:
    """The packages, fl_crafter's one by one, with an edge from each to those it imports."""
    imports = grimp.build_graph(*PACKAGES, cache_dir=None)
    found = nx.DiGraph()
    for module in imports.modules:
        for other in imports.find_modules_directly_imported_by(module):
            if _part(module) != _part(other):
                found.add_edge(_part(module), _part(other))
    return found


def _part(module: str) -> str:
    top, *inner = module.split(".")
    return inner[0] if top == PACKAGES[0] and inner else top


def layers(reduced: nx.DiGraph) -> list[list[str]]:
    """Rows from the importing to the imported; an edge over several rows gets a place in each.

    Args:
        reduced: gains these places, whose names hold an arrow, and loses the edges that they bend.
    """
    rows = [sorted(row) for row in nx.topological_generations(reduced)]
    level = {name: number for number, row in enumerate(rows) for name in row}
    for start, end in sorted(reduced.edges):
        between = [f"{start}>{end}>{row}" for row in range(level[start] + 1, level[end])]
        if between:
            reduced.remove_edge(start, end)
            nx.add_path(reduced, [start, *between, end])
        for row, place in enumerate(between, level[start] + 1):
            rows[row].append(place)
    for _ in range(12):
        _sort(rows, reduced.predecessors)
        _sort(rows[::-1], reduced.successors)
    return rows


def _sort(rows: list[list[str]], neighbours: Callable[[str], Iterable[str]]) -> None:
    """Put every name below the middle of its neighbours in the row before."""
    for before, row in zip(rows, rows[1:], strict=False):
        place = {name: (index + 0.5) / len(before) for index, name in enumerate(before)}

        def middle(name: str, place: dict[str, float] = place) -> float:
            near = [place[other] for other in neighbours(name) if other in place]
            return math.fsum(near) / len(near) if near else 0.5  # ties must not hang on the order

        row.sort(key=lambda name: (middle(name), name))


def draw() -> str:
    """The SVG: what follows from two lines together is not drawn a third time."""
    reduced = nx.transitive_reduction(parts())
    rows = layers(reduced)
    at = {
        name: (WIDTH * (index + 0.5) / len(row), ROW * number + 20)
        for number, row in enumerate(rows)
        for index, name in enumerate(row)
    }
    lines = [*_arrows(reduced, at), *_boxes(at)]
    height = ROW * (len(rows) - 1) + 40
    size = f'viewBox="0 0 {WIDTH} {height}"'
    head = f'<svg class="diagram" xmlns="http://www.w3.org/2000/svg" {size}>'
    return "\n".join([head, f"<style>{STYLE}</style>", *lines, "</svg>", ""])


def _arrows(reduced: nx.DiGraph, at: dict[str, tuple[float, float]]) -> Iterable[str]:
    for start, end in sorted(reduced.edges):
        (x, y), (to_x, to_y) = at[start], at[end]
        y += 0 if ">" in start else HEIGHT / 2
        to_y -= 0 if ">" in end else HEIGHT / 2
        bend = (y + to_y) / 2
        points = f"{x:.0f} {bend:.0f} {to_x:.0f} {bend:.0f} {to_x:.0f} {to_y:.0f}"
        yield f'<path d="M{x:.0f} {y:.0f}C{points}"/>'


def _boxes(at: dict[str, tuple[float, float]]) -> Iterable[str]:
    for name, (x, y) in at.items():
        if ">" in name:
            continue
        top = ' class="own"' if name in PACKAGES else ""
        corner = f'x="{x - BOX / 2:.0f}" y="{y - HEIGHT / 2:.0f}"'
        yield f'<rect{top} {corner} width="{BOX}" height="{HEIGHT}" rx="6"/>'
        yield f'<text x="{x:.0f}" y="{y + 4:.0f}">{name}</text>'


if __name__ == "__main__":
    write_text(DRAWING, draw())
