"""Draws architecture.svg and round.svg beside itself: python docs/pictures/draw.py [--dark DIRECTORY]

Both pictures follow the viewer's light or dark mode and have a background of their own, so that they can be
read on a page of either colour. ``--dark`` writes the dark variants alone, to look at them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

FONT = "'Inter','Segoe UI','Helvetica Neue','Liberation Sans',Arial,sans-serif"
# class -> (property, light, dark)
COLOURS = {
    "page": [("fill", "#ffffff", "#0f1720"), ("stroke", "#d8dee6", "#2b3845")],
    "card": [("fill", "#f5f7fa", "#17222d"), ("stroke", "#cfd8e1", "#33424f")],
    "ink": [("fill", "#16212c", "#e8eef4")],
    "soft": [("fill", "#586878", "#a3b2c0")],
    "ledger": [("fill", "#dcebfa", "#143a5c"), ("stroke", "#2f74b5", "#5aa2e0")],
    "store": [("fill", "#d9f2ea", "#0f4034"), ("stroke", "#16866a", "#3fbf9c")],
    "beacon": [("fill", "#fdecc8", "#4d3808"), ("stroke", "#b57a07", "#e5ad3c")],
    "client": [("fill", "#f3e3f0", "#4a2744"), ("stroke", "#a0508f", "#d58cc6")],
    "line-ledger": [("stroke", "#2f74b5", "#5aa2e0")],
    "line-store": [("stroke", "#16866a", "#3fbf9c")],
    "line-beacon": [("stroke", "#b57a07", "#e5ad3c")],
    "line-client": [("stroke", "#a0508f", "#d58cc6")],
    "line-soft": [("stroke", "#8696a5", "#71818f")],
    "head-ledger": [("fill", "#2f74b5", "#5aa2e0")],
    "head-store": [("fill", "#16866a", "#3fbf9c")],
    "head-beacon": [("fill", "#b57a07", "#e5ad3c")],
    "head-client": [("fill", "#a0508f", "#d58cc6")],
    "halo-card": [("stroke", "#f5f7fa", "#17222d")],
    "on-badge": [("fill", "#ffffff", "#0f1720")],
}
Point = tuple[float, float]


class Picture:
    """Collects elements of an SVG; all measures are in pixels."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self._parts: list[str] = []
        self.box(0.5, 0.5, width - 1, height - 1, "page", radius=14)

    def box(self, x: float, y: float, w: float, h: float, look: str, radius: float = 8) -> None:
        """A rounded rectangle."""
        self._parts.append(f'<rect class="{look}" x="{x}" y="{y}" width="{w}" height="{h}" rx="{radius}"/>')

    def text(
        self, x: float, y: float, words: str, size: float = 13, *, look: str = "ink", bold: bool = False,
        anchor: str = "middle",
    ) -> None:  # fmt: skip
        """One line; y is its baseline."""
        weight = ' font-weight="600"' if bold else ""
        self._parts.append(
            f'<text class="{look}" x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}"{weight}>'
            f"{escape(words)}</text>"
        )

    def node(self, x: float, y: float, w: float, h: float, look: str, title: str, *lines: str) -> None:
        """A box with a bold title and smaller lines, centred."""
        self.box(x, y, w, h, look)
        top = y + h / 2 - (len(lines) * 15) / 2 + 5
        self.text(x + w / 2, top, title, 13.5, bold=True)
        for number, line in enumerate(lines, 1):
            self.text(x + w / 2, top + 15.5 * number, line, 11, look="soft")

    def path(
        self, points: Iterable[Point], look: str, *, start: bool = False, end: bool = False, width: float = 2,
        dashed: bool = False, halo: bool = False,
    ) -> None:  # fmt: skip
        """A line through points, with arrowheads at its start and end where asked."""
        given = list(points)
        if halo:
            self._parts.append(f'<path class="halo-card" d="{_d(given)}" fill="none" stroke-width="8"/>')
        way = list(given)
        if end:
            way[-1] = _short(given[-2], given[-1])
        if start:
            way[0] = _short(given[1], given[0])
        dash = ' stroke-dasharray="5 5"' if dashed else ""
        self._parts.append(
            f'<path class="line-{look}" d="{_d(way)}" fill="none" stroke-width="{width}"{dash} '
            'stroke-linejoin="round"/>'
        )
        if end:
            self._head(given[-2], given[-1], look)
        if start:
            self._head(given[1], given[0], look)

    def _head(self, came: Point, tip: Point, look: str) -> None:
        dx, dy = _unit(came, tip)
        bx, by = tip[0] - 9 * dx, tip[1] - 9 * dy
        corners = [tip, (bx - 4.5 * dy, by + 4.5 * dx), (bx + 4.5 * dy, by - 4.5 * dx)]
        where = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        self._parts.append(f'<polygon class="head-{look}" points="{where}"/>')

    def badge(self, x: float, y: float, label: str, look: str) -> None:
        """A numbered disc."""
        self._parts.append(f'<circle class="head-{look}" cx="{x}" cy="{y}" r="9.5"/>')
        self.text(x, y + 4, label, 11.5, look="on-badge", bold=True)

    def diamond(self, x: float, y: float, reach: float, look: str) -> None:
        """A square on its corner."""
        where = f"{x},{y - reach} {x + reach},{y} {x},{y + reach} {x - reach},{y}"
        self._parts.append(f'<polygon class="{look}" points="{where}"/>')

    def svg(self, mode: str = "both") -> str:
        """The file; ``mode`` "dark" has the dark colours alone."""
        first = 2 if mode == "dark" else 1
        rules = [_rules(first)]
        if mode == "both":
            rules.append("@media (prefers-color-scheme: dark) {\n" + _rules(2) + "}\n")
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" font-family="{FONT}" role="img">\n'
            f"<title>{escape(self.title)}</title>\n<style>\n{''.join(rules)}</style>\n"
            + "\n".join(self._parts)
            + "\n</svg>\n"
        )


def _rules(place: int) -> str:
    return "".join(
        f".{name} {{ {' '.join(f'{entry[0]}: {entry[place]};' for entry in entries)} }}\n"
        for name, entries in COLOURS.items()
    )


def _d(points: Iterable[Point]) -> str:
    return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _unit(a: Point, b: Point) -> Point:
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = (dx * dx + dy * dy) ** 0.5
    return dx / length, dy / length


def _short(a: Point, b: Point) -> Point:
    """The point 7 pixels before b: a line must not stick out of its arrowhead."""
    dx, dy = _unit(a, b)
    return b[0] - 7 * dx, b[1] - 7 * dy


COLUMN, GAP, LEFT = 346, 22, 29
ORDERING_END, CARD_TOP = 104, 144
PEER_TOP, BUS_ENDORSE, CLIENT_TOP, LOW_TOP = 200, 330, 378, 508
LOW_END, CARD_END = LOW_TOP + 60, LOW_TOP + 100


def architecture() -> Picture:
    """Three organisations, the ordering service, and what flows between them."""
    title = "Three organisations, each with a peer, a chaincode server, storage and a beacon node"
    picture = Picture(1140, 836, title)
    lefts = [LEFT + number * (COLUMN + GAP) for number in range(3)]
    _ordering(picture)
    for number, x in enumerate(lefts, 1):
        picture.box(x, CARD_TOP, COLUMN, CARD_END - CARD_TOP, "card", radius=12)
        picture.text(x + 206, CARD_TOP + 26, f"Organisation {number}", 15, bold=True, anchor="start")
        picture.text(x + 206, CARD_TOP + 43, f"Org{number}MSP", 11.5, look="soft", anchor="start")
    _shared(picture, lefts)
    for number, x in enumerate(lefts):
        _organisation(picture, x)
        if number == 0:
            _badges(picture, x)
    _legend(picture)
    return picture


def _ordering(picture: Picture) -> None:
    picture.box(LEFT, 20, 3 * COLUMN + 2 * GAP, ORDERING_END - 20, "card", radius=12)
    picture.text(LEFT + 22, 58, "Ordering service", 15, bold=True, anchor="start")
    picture.text(LEFT + 22, 77, "Raft, three consenters", 11.5, look="soft", anchor="start")
    for number in range(3):
        x = LEFT + 350 + number * 240
        picture.node(x, 36, 190, 52, "ledger", f"orderer {number}", "Fabric, TLS")
        if number:
            picture.path([(x - 50, 62), (x, 62)], "ledger", start=True, end=True)


def _shared(picture: Picture, lefts: list[float]) -> None:
    """What crosses the organisations: proposals to everybody's peers, the swarm, the beacon's shares."""
    picture.path([(lefts[0] + 103, BUS_ENDORSE), (lefts[2] + 103, BUS_ENDORSE)], "client")
    _bracket(picture, [x + 279 for x in lefts], LOW_END, LOW_END + 13, "beacon")
    for x in lefts:
        picture.path([(x + 85, LOW_END), (x + 85, LOW_END + 26)], "store", halo=True)
    _bracket(picture, [x + 85 for x in lefts], LOW_END, LOW_END + 26, "store")


def _bracket(picture: Picture, columns: list[float], top: float, bottom: float, look: str) -> None:
    first, *_, last = columns
    picture.path([(first, top), (first, bottom), (last, bottom), (last, top)], look)
    for x in columns[1:-1]:
        picture.path([(x, top), (x, bottom)], look)


def _organisation(picture: Picture, x: float) -> None:
    peer, code = x + 42, x + 206
    client_end, peer_end = CLIENT_TOP + 72, PEER_TOP + 76
    picture.path([(x + 103, ORDERING_END), (x + 103, PEER_TOP)], "ledger", end=True)
    picture.path(
        [(peer, CLIENT_TOP + 36), (x + 21, CLIENT_TOP + 36), (x + 21, ORDERING_END)], "client", end=True
    )
    picture.path([(x + 103, CLIENT_TOP - 6), (x + 103, peer_end)], "client", start=True, end=True)
    picture.path([(x + 303, LOW_TOP), (x + 303, peer_end)], "beacon", end=True, halo=True)
    picture.path([(x + 250, LOW_TOP), (x + 250, client_end)], "beacon", end=True)
    picture.path([(x + 85, client_end), (x + 85, LOW_TOP)], "store", start=True, end=True)
    picture.path([(x + 179, client_end), (x + 179, LOW_TOP)], "store", end=True)
    picture.path([(peer + 122, PEER_TOP + 38), (code, PEER_TOP + 38)], "ledger", start=True, end=True)
    picture.node(peer, PEER_TOP, 122, 76, "ledger", "peer", "Fabric", "ledger, endorser")
    picture.node(code, PEER_TOP, 122, 76, "ledger", "chaincode", "Python server", "contracts, MTPP")
    picture.box(peer + 6, CLIENT_TOP - 6, 228, 72, "client")
    picture.node(
        peer,
        CLIENT_TOP,
        228,
        72,
        "client",
        "client processes",
        "agent, journal, Keras model",
        "private data stays here",
    )
    picture.node(peer, LOW_TOP, 86, 60, "store", "kubo", "IPFS node")
    picture.node(peer + 94, LOW_TOP, 86, 60, "store", "cluster", "ipfs-cluster")
    picture.node(peer + 188, LOW_TOP, 98, 60, "beacon", "drand", "beacon node")


def _badges(picture: Picture, x: float) -> None:
    low = (CLIENT_TOP + 72 + LOW_TOP) / 2
    picture.badge(x + 103, 304, "1", "client")
    picture.badge(x + 21, 254, "2", "client")
    picture.badge(x + 103, 170, "3", "ledger")
    picture.badge(x + 185, PEER_TOP + 20, "4", "ledger")
    picture.badge(x + 85, low, "5", "store")
    picture.badge(x + 179, low, "6", "store")
    picture.badge(x + 250, low, "7", "beacon")
    picture.badge(x + 303, CLIENT_TOP + 36, "8", "beacon")


LEGEND = """
client | proposal and endorsement: peers of more than half of the
       | organisations must sign the same bytes (hfc over gRPC, TLS)
client | the endorsed transaction, sent again until it is in a block
       | a commit carries a 32-byte digest, a reveal two CIDs and a salt
ledger | blocks; every peer validates every transaction itself
       | no report byte is ever in one
ledger | chaincode as a service over mutual TLS
       | each organisation runs the server it endorses with
store  | report and update bytes, from the reveal on
       | kubo nodes form a private swarm
store  | the CID to pin: each organisation keeps a copy
       | ipfs-cluster, CRDT, a password each
beacon | beacon rounds: time, pairing, sampling
       | drand nodes sign together, two of three suffice (threshold BLS)
beacon | the newest round: half of the endorser's clock
       | the chaincode verifies every beacon it is given
"""


def _legend(picture: Picture) -> None:
    rows = [[part.strip() for part in line.split("|")] for line in LEGEND.strip().splitlines()]
    for place, ((look, first), (_, second)) in enumerate(zip(rows[::2], rows[1::2], strict=True)):
        x, y = 50 + (place // 4) * 545, 650 + (place % 4) * 47
        picture.badge(x, y, str(place + 1), look)
        picture.text(x + 20, y - 1, first, 13, anchor="start")
        picture.text(x + 20, y + 16, second, 12, look="soft", anchor="start")


# x of each moment of the round
MOMENTS = {"open": 60, "close": 300, "pair": 420, "seal": 640, "settle": 760, "begin": 850, "final": 1010}


def timeline() -> Picture:
    """One round: who acts when, and what is fixed before which beacon exists."""
    picture = Picture(
        1140, 372, "A round: commit, close, pairing beacon, reveal, seal, sampling beacon, settle, aggregate"
    )
    m = MOMENTS
    bar, axis = 112, 190
    for start, end, look, title, words in [
        ("open", "close", "client", "commit window", "train, infer, commit a digest"),
        ("close", "pair", "beacon", "closed", "beacon awaited"),
        ("pair", "seal", "client", "reveal window", "open the commit"),
        ("seal", "settle", "beacon", "sealed", "beacon awaited"),
        ("settle", "begin", "ledger", "settled", "paid"),
        ("begin", "final", "store", "aggregate", "FedAvg, checked by all"),
    ]:
        picture.node(m[start] + 3, bar, m[end] - m[start] - 6, 54, look, title, words)
    picture.text(m["final"] + 12, bar + 24, "final", 13.5, bold=True, anchor="start")
    picture.text(m["final"] + 12, bar + 40, "or void", 11, look="soft", anchor="start")
    picture.path([(m["open"] - 24, axis), (1104, axis)], "soft", width=1.5)
    for name, x in m.items():
        if name == "final":
            continue
        picture.path([(x, bar - 6), (x, axis)], "soft", width=1.5)
        picture.box(x - 27, axis - 12, 54, 24, "card", radius=12)
        picture.text(x, axis + 4.5, name, 12, bold=True)
    beacons = {
        "pair": ("pairing beacon", "draws who meets whom"),
        "settle": ("sampling beacon", "draws the tasks that count"),
    }
    for at, (words, use) in beacons.items():
        x = m[at]
        picture.diamond(x, 66, 11, "beacon")
        picture.path([(x, 77), (x, bar - 6)], "beacon")
        picture.text(x, 28, words, 13, bold=True)
        picture.text(x, 45, use, 11.5, look="soft")
    picture.text(m["open"] - 24, 34, "One round", 17, bold=True, anchor="start")
    picture.text(
        m["open"] - 24, 54, "pushed on by whichever client is first", 11.5, look="soft", anchor="start"
    )
    _facts(picture)
    return picture


FACTS = """
36  | Until the reveal | the ledger has a salted digest of each | report and the money locked behind it
273 | From close on    | the participants are fixed; their pairing | beacon does not exist yet
570 | From seal on     | the reports are fixed; the beacon that | picks the scored tasks does not exist yet
842 | Settle           | one transaction: all scores, all | payments, stakes back
"""
STALL = (
    "Every window opens with a fresh beacon and lasts a length, not until a date: "
    "a beacon that stalls delays the round and costs nobody anything."
)


def _facts(picture: Picture) -> None:
    """What holds because of the order of things."""
    for row in FACTS.strip().splitlines():
        x, title, *lines = (part.strip() for part in row.split("|"))
        picture.text(int(x), 252, title, 13, bold=True, anchor="start")
        for number, line in enumerate(lines):
            picture.text(int(x), 271 + 17 * number, line, 12, look="soft", anchor="start")
    picture.text(36, 336, STALL, 12, anchor="start")


def main(arguments: list[str]) -> None:
    """Write both files."""
    dark = arguments[:1] == ["--dark"]
    target = Path(arguments[1]) if dark else Path(__file__).parent
    for name, picture in (("architecture", architecture()), ("round", timeline())):
        (target / f"{name}.svg").write_text(picture.svg("dark" if dark else "both"))


if __name__ == "__main__":
    main(sys.argv[1:])
