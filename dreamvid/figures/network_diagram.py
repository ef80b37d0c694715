"""Draws a network as SVG: its layers as boxes inside their blocks, top to bottom, in columns side by side."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

from dreamvid.networks.layer_table import LayerInfo
from dreamvid.networks.network import Network
from dreamvid.networks.trace import LayerInputs

# Pixels.
_FONT, _CHARACTER = 9.0, 5.45  # size, and the width of each character of a monospaced font of that size
_ROW = 13.0  # height of a layer, and of a block's title
_GAP = 5.0  # between boxes one above the other
_LANE = 7.0  # between boxes side by side
_PADDING = 4.0  # inside a block
_SIDE = 8.0  # next to a block's boxes, for edges that go past them
_COLUMN = 26.0
_MARGIN, _HEAD = 14.0, 46.0
_TALLEST_BLOCK = 420.0  # a taller block is not drawn as a box: its inner blocks are
_ASPECT = 1.5

_INK, _FAINT, _LINE, _EDGE = "#1c2430", "#68727f", "#a3adb9", "#5b6673"
_DREAMED, _DREAMED_LINE = "#ff9d3c", "#b34700"
_BLOCK, _BLOCK_LINE = "#fbfcfd", "#8c97a4"
_COLORS = (  # of a layer, by words in its kind
    (("conv",), "#cfe3f6"),
    (("pool",), "#d5efd0"),
    (("linear", "output", "matmul", "softmax"), "#e4d9f6"),
    (("norm", "lrn"), "#ececec"),
    (("relu", "act", "silu", "gelu", "swish", "sigmoid"), "#f6efd2"),
)
_OTHER = "#f4f4f4"
_LEGEND = (("convolution", 0), ("pooling", 1), ("linear", 2), ("normalization", 3), ("activation", 4))


@dataclass
class _Box:
    """A layer, or a block with boxes inside; `layers`: all of the network's layers whose output it makes."""

    name: str
    names: list[str]  # of this box: its own first, then others of the same output
    titles: list[str] = field(default_factory=list)  # of these, relative to the block that they stand in
    parts: list["_Box"] = field(default_factory=list)
    layers: set[str] = field(default_factory=set)
    rows: list[list["_Box"]] = field(default_factory=list)
    edges: list[tuple["_Box | None", "_Box | None"]] = field(default_factory=list)  # None: the block's start or end
    rank: int = 0
    lane: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0

    @property
    def label(self) -> str:
        return " = ".join(self.titles)

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height


def draw_network(network: Network, dreamed: Collection[str] = ()) -> str:
    """Draw all layers of a network as SVG; the boxes of the layers `dreamed` (its own names) are marked.

    Each box has its layer's name relative to the block that it stands in, and its number of channels; a title that
    shows when the pointer rests on it has the whole name, the stride and the receptive field. Boxes of layers carry
    the attribute `data-layer`, marked ones the class `dreamed`.
    """
    flow, table = network.dataflow(), network.table.rows
    root = _Drawing(flow, table).build()
    columns = _columns(root)
    return _Paint(network.name, table, set(dreamed), {name: inputs.alias_of for name, inputs in flow.items()}).draw(
        root, columns
    )


class _Drawing:
    """Computes which box is inside which, and where."""

    def __init__(self, flow: dict[str, LayerInputs], table: Mapping[str, LayerInfo]) -> None:
        self.flow = flow
        self.table = table
        self.children: dict[str, list[str]] = {"": []}
        for name in flow:
            parts = name.split(".")
            for depth in range(len(parts)):
                parent, child = ".".join(parts[:depth]), ".".join(parts[: depth + 1])
                inside = self.children.setdefault(parent, [])
                if child not in inside:
                    inside.append(child)

    def build(self) -> _Box:
        root = _Box("", [], parts=self._parts("", ""))
        self._arrange(root)
        return root

    def _parts(self, name: str, inside: str) -> list[_Box]:
        """Make the boxes of a module's parts; inside: the block that contains them."""
        return [box for child in self.children.get(name, ()) for box in self._boxes(child, inside)]

    def _boxes(self, name: str, inside: str) -> list[_Box]:
        title = name.removeprefix(f"{inside}.") if inside else name
        if name not in self.children:
            return [self._sized(_Box(name, [name], [title], layers={name}))]
        info, flow = self.table.get(name), self.flow.get(name)
        if info is not None and flow is not None and info.kind != "Sequential":
            block = _Box(name, [name], [title], self._parts(name, name))
            self._arrange(block)
            if block.height <= _TALLEST_BLOCK:
                return [self._sized(block)]
        parts = self._parts(name, inside)
        if flow is None:
            return parts
        if flow.alias_of == name:
            return [*parts, self._sized(_Box(name, [name], [title], layers={name}))]
        # It computes nothing itself: its name is a second name of its last box.
        last = next((box for box in reversed(parts) if flow.alias_of in box.layers), None)
        if last is not None:
            last.names.append(name)
            last.titles.append(title)
            self._sized(last)
        return parts

    def _sized(self, box: _Box) -> _Box:
        channels = self.table[box.name].channels
        text_width = _CHARACTER * (len(box.label) + len(str(channels)) + 2)
        wider = max(0.0, text_width + (2 * _PADDING if box.parts else 4) - box.width)
        box.width += wider
        for part in box.parts:
            part.x += wider / 2
        if not box.parts:
            box.height = _ROW
        return box

    def _arrange(self, block: _Box) -> None:
        """Arrange a block's parts, with positions relative to the block's corner."""
        owner = {layer: part for part in block.parts for layer in part.layers}
        sources: dict[int, list[_Box | None]] = {}
        for part in block.parts:
            outside = [name for layer in part.layers for name in self.flow[layer].sources if name not in part.layers]
            found = [owner.get(name) for name in outside]
            sources[id(part)] = list({id(source): source for source in found}.values())
        block.layers = {*owner}
        block.edges = [(source, part) for part in block.parts for source in sources[id(part)]]
        if block.name:
            own = self.flow[block.name]
            ends = [own.alias_of] if own.alias_of != block.name else own.sources
            if own.alias_of == block.name:
                block.layers.add(block.name)
            found = [owner.get(name) for name in ends]
            block.edges += [(source, None) for source in {id(source): source for source in found}.values()]
        self._rank(block, sources)
        _arrange_rows(block)

    @staticmethod
    def _rank(block: _Box, sources: dict[int, list[_Box | None]]) -> None:
        """Give each part a row below all its sources, and a lane: that of its first source if that is free."""
        for part in block.parts:
            part.rank = max((source.rank + 1 for source in sources[id(part)] if source is not None), default=0)
        block.rows = [[] for _ in range(1 + max((part.rank for part in block.parts), default=-1))]
        for part in block.parts:
            taken = {neighbor.lane for neighbor in block.rows[part.rank]}
            wanted = [source.lane for source in sources[id(part)] if source is not None]
            free = (lane for lane in range(len(taken) + 1) if lane not in taken)
            part.lane = wanted[0] if wanted and wanted[0] not in taken else next(free)
            block.rows[part.rank].append(part)


def _arrange_rows(block: _Box, top: float | None = None) -> None:
    """Set the positions of a block's parts, and the block's size."""
    lanes: dict[int, float] = {}
    for row in block.rows:
        middle = _in_the_middle(block, row)
        for part in row:
            lanes[part.lane] = max(lanes.get(part.lane, 0.0), 0.0 if middle else part.width)
    left, lane_lefts = _PADDING, {}
    for lane in sorted(lanes):
        lane_lefts[lane] = left
        left += lanes[lane] + (_LANE if lanes[lane] else 0)
    inner = max(left - _PADDING - _LANE, max((part.width for part in block.parts), default=0.0))
    shift = max(0.0, (inner - (left - _PADDING - _LANE)) / 2)
    side = _SIDE if any(_goes_past(block, *edge) for edge in block.edges) else 0.0
    y = (_ROW + _GAP if block.name else 0.0) if top is None else top
    for row in block.rows:
        middle = _in_the_middle(block, row)
        for part in row:
            part.y = y
            if middle:
                part.x = _PADDING + (inner - part.width) / 2
            else:
                part.x = lane_lefts[part.lane] + shift + (lanes[part.lane] - part.width) / 2
        y += max(part.height for part in row) + _GAP
    block.width = max(block.width, inner + 2 * _PADDING + side)
    block.height = y


def _in_the_middle(block: _Box, row: Sequence[_Box]) -> bool:
    """Return True if a row is a single part, and no edge from a part above goes past it."""
    rank = row[0].rank
    return len(row) == 1 and not any(
        source is not None and source.rank < rank and (target is None or target.rank > rank)
        for source, target in block.edges
    )


def _goes_past(block: _Box, source: _Box | None, target: _Box | None) -> bool:
    """Return True if an edge has to go around the boxes between its ends."""
    first = -1 if source is None else source.rank
    last = len(block.rows) if target is None else target.rank
    between = block.rows[first + 1 : last]
    lane = source.lane if source is not None else target.lane if target is not None else None
    return any(lane is None or _in_the_middle(block, row) or any(part.lane == lane for part in row) for row in between)


def _columns(root: _Box) -> list[list[list[_Box]]]:
    """Break the rows of the whole network into columns, where only one box has readers below if possible."""
    last_reader = dict.fromkeys((id(part) for part in root.parts), -1)
    for source, target in root.edges:
        if source is not None and target is not None:
            last_reader[id(source)] = max(last_reader[id(source)], target.rank)
    heights = [max(part.height for part in row) + _GAP for row in root.rows]
    width = sorted(sum(part.width + _LANE for part in row) for row in root.rows)[-max(1, len(root.rows) // 10)]
    count = max(1, round(math.sqrt(_ASPECT * sum(heights) / (width + _COLUMN))))
    target_height = sum(heights) / count
    columns: list[list[list[_Box]]] = [[]]
    height = 0.0
    for rank, row in enumerate(root.rows):
        columns[-1].append(row)
        height += heights[rank]
        leads_on = [part for before in root.rows[: rank + 1] for part in before if last_reader[id(part)] > rank]
        following = heights[rank + 1] if rank + 1 < len(heights) else 0.0
        full = height + following / 2 > target_height
        if full and leads_on and (leads_on == row or (height > 1.5 * target_height and len(row) == 1)):
            columns.append([])
            height = 0.0
    return [column for column in columns if column]


class _Paint:
    """Writes the boxes as SVG."""

    def __init__(self, name: str, table: Mapping[str, LayerInfo], dreamed: set[str], same: dict[str, str]) -> None:
        self.name = name
        self.table = table
        self.dreamed = dreamed
        self.same = same

    def draw(self, root: _Box, columns: list[list[list[_Box]]]) -> str:
        svg = ElementTree.Element("svg", xmlns="http://www.w3.org/2000/svg")
        lines = ElementTree.SubElement(svg, "g", fill="none", stroke=_EDGE)
        lines.set("stroke-width", "0.9")
        left, tallest = _MARGIN, 0.0
        where: dict[int, int] = {}
        lefts: list[float] = []
        for number, rows in enumerate(columns):
            column = _Box("", [], parts=[part for row in rows for part in row], rows=rows)
            for rank, row in enumerate(rows):
                for part in row:
                    part.rank = rank
                    where[id(part)] = number
            held = {id(part) for part in column.parts}
            column.edges = [
                (source, target)
                for source, target in root.edges
                if source is not None and id(source) in held and id(target) in held
            ]
            _arrange_rows(column, top=0.0)
            self._block(svg, lines, column, left, _HEAD)
            lefts.append(left)
            left += column.width + _COLUMN
            tallest = max(tallest, column.height)
        for source, target in root.edges:
            if source is None or target is None or where[id(source)] == where[id(target)]:
                continue
            if any(source is part for part in columns[where[id(source)]][-1]):  # what leads on; others would cross all
                self._over(lines, source, target, lefts[where[id(target)]] - _COLUMN / 2)
        width = max(left - _COLUMN + _MARGIN, 620.0)
        height = _HEAD + tallest + _MARGIN
        for key, value in (("viewBox", f"0 0 {width:.0f} {height:.0f}"), ("width", f"{width:.0f}")):
            svg.set(key, value)
        svg.set("height", f"{height:.0f}")
        svg.set("font-family", "DejaVu Sans Mono, Menlo, Consolas, monospace")
        svg.set("font-size", f"{_FONT:g}")
        paper = ElementTree.Element("rect", width="100%", height="100%", fill="white")
        svg.insert(0, paper)
        self._head(svg)
        ElementTree.indent(svg)
        return ElementTree.tostring(svg, encoding="unicode", xml_declaration=True) + "\n"

    def _head(self, svg: ElementTree.Element) -> None:
        self._text(svg, _MARGIN, 18, f"{self.name}: {len(self.table)} layers", size=13, weight="bold")
        if self.dreamed:
            text = f"dreamed: {', '.join(name for name in self.table if name in self.dreamed)}"
            self._text(svg, _MARGIN + 8.2 * (len(self.name) + 16), 18, text, fill=_DREAMED_LINE, weight="bold")
        x = _MARGIN
        entries = [(word, _COLORS[index][1]) for word, index in _LEGEND] + [("other", _OTHER), ("dreamed", _DREAMED)]
        for word, color in entries:
            ElementTree.SubElement(svg, "rect", _rectangle(x, 27, 9, 9), fill=color, stroke=_LINE)
            self._text(svg, x + 13, 35, word, fill=_FAINT)
            x += _CHARACTER * len(word) + 26
        self._text(svg, x, 35, "a number: channels", fill=_FAINT)

    def _block(
        self, svg: ElementTree.Element, lines: ElementTree.Element, block: _Box, left: float, top: float
    ) -> None:
        """Draw the parts of a block whose corner is at (left, top); their positions become absolute."""
        for part in block.parts:
            part.x += left
            part.y += top
            group = ElementTree.SubElement(svg, "g", {"data-layer": part.name})
            marked = self._is_marked(part)
            if marked:
                group.set("class", "dreamed")
            ElementTree.SubElement(group, "title").text = self._description(part)
            frame = ElementTree.SubElement(group, "rect", _rectangle(part.x, part.y, part.width, part.height), rx="2.5")
            color, line = (_BLOCK, _BLOCK_LINE) if part.parts else (_color(self.table[part.name].kind), _LINE)
            frame.set("fill", "#fff3e4" if marked and part.parts else _DREAMED if marked else color)
            frame.set("stroke", _DREAMED_LINE if marked else line)
            frame.set("stroke-width", "2" if marked else "0.8")
            if marked and part.parts:
                ElementTree.SubElement(
                    group, "rect", _rectangle(part.x, part.y, part.width, _ROW), rx="2.5", fill=_DREAMED
                )
            base = part.y + _ROW - 3.6
            self._text(group, part.x + 4, base, part.label, weight="bold" if part.parts or marked else "")
            count = str(self.table[part.name].channels)
            self._text(group, part.x + part.width - 4 - _CHARACTER * len(count), base, count, fill=_FAINT)
            if part.parts:
                inner = ElementTree.SubElement(svg, "g", fill="none", stroke=_EDGE)
                inner.set("stroke-width", "0.9")
                self._block(svg, inner, part, part.x, part.y)
        self._edges(lines, block, left, top)

    def _edges(self, lines: ElementTree.Element, block: _Box, left: float, top: float) -> None:
        past = left + block.width - _SIDE / 2
        for source, target in block.edges:
            start = (left + block.width / 2, top + _ROW) if source is None else (source.middle, source.bottom)
            end = (left + block.width / 2, top + block.height) if target is None else (target.middle, target.y)
            if source is None and target is not None and not _goes_past(block, source, target):
                start = (target.middle, top + _ROW)
            if target is None and source is not None and not _goes_past(block, source, target):
                end = (source.middle, top + block.height)
            if not _goes_past(block, source, target):
                points = [start, (start[0], end[1] - _GAP), (end[0], end[1] - _GAP), end]
                if target is None or start[0] == end[0]:
                    points = [start, end]
                self._line(lines, points)
                continue
            out = 2.0
            points = [start, (start[0], start[1] + out), (past, start[1] + out), (past, end[1] - out)]
            self._line(lines, [*points, (end[0], end[1] - out), end], dashed=True)

    def _over(self, lines: ElementTree.Element, source: _Box, target: _Box, gutter: float) -> None:
        """Draw an edge from the end of a column to the start of a later one, through the gap at x = `gutter`."""
        low, high = source.bottom + _GAP + 1, target.y - _GAP - 1
        points = [(source.middle, source.bottom), (source.middle, low), (gutter, low), (gutter, high)]
        self._line(lines, [*points, (target.middle, high), (target.middle, target.y)])

    @staticmethod
    def _line(lines: ElementTree.Element, points: Sequence[tuple[float, float]], dashed: bool = False) -> None:
        line = ElementTree.SubElement(lines, "polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points))
        if dashed:
            line.set("stroke-dasharray", "2.5 1.5")

    @staticmethod
    def _text(
        parent: ElementTree.Element,
        x: float,
        y: float,
        content: str,
        *,
        fill: str = _INK,
        size: float | None = None,
        weight: str = "",
    ) -> None:
        text = ElementTree.SubElement(parent, "text", x=f"{x:.1f}", y=f"{y:.1f}", fill=fill)
        text.text = content
        if size is not None:
            text.set("font-size", f"{size:g}")
        if weight:
            text.set("font-weight", weight)

    def _is_marked(self, box: _Box) -> bool:
        return not self.dreamed.isdisjoint(box.names)

    def _description(self, box: _Box) -> str:
        info = self.table[box.name]
        seen = "the whole image" if info.receptive_field is None else f"{info.receptive_field} px"
        stride = "" if info.stride is None else f", stride {info.stride}, sees {seen}"
        return f"{' = '.join(box.names)}\n{info.kind}, {info.channels} channels{stride}"


def _rectangle(x: float, y: float, width: float, height: float) -> dict[str, str]:
    return {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height:.1f}"}


def _color(kind: str) -> str:
    return next((color for names, color in _COLORS if any(name in kind.lower() for name in names)), _OTHER)
