"""The demo's results: exact money, a table that fits, a picture, JSON that reads back."""

import io
import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fl_client.picture import cumulative, picture, spread, styles
from fl_client.results import (
    Client,
    JobResult,
    Outcome,
    Round,
    Supply,
    money,
    report,
    supply_line,
    to_json,
    write,
)  # fmt: skip

BEHAVIOURS = ("honest", "honest", "random", "tenth")


def result(count: int = 5, **changes) -> JobResult:
    clients = [Client(f"User{i}@org{i}.test", f"M{i}", f"Org{i}MSP", b) for i, b in enumerate(BEHAVIOURS)]
    outcome = {
        "honest": Outcome(700, 1000, 14_000),
        "random": Outcome(-7, 1000, -140),
        "tenth": Outcome(9, 40, 4500),
    }
    done = [
        Round(n, {c.member: outcome[c.behaviour] for c in clients}, {"train": 1.0 + n, "close": 2.0})
        for n in range(count)
    ]
    made = JobResult(
        "digits", "paper", clients, done, {c.member: 100_000 for c in clients}, [0.1, 0.5, 0.8][: count + 1],
        Supply(123_456_789, 123_456_789), {"network up": 30.5}, {"fabric": "2.5.0"}, {"seed": 7},
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def shown(of: JobResult, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(report(of, width))
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(0, 2, "0.00"), (5, 2, "0.05"), (-5, 2, "-0.05"), (-123456, 2, "-1,234.56"), (1234, 0, "1,234")],
)
def test_money_is_shown_exactly(units, decimals, text):
    assert money(units, decimals) == text


@given(st.integers(-(2**63), 2**63), st.integers(0, 9))
def test_money_loses_no_unit(units, decimals):
    text = money(units, decimals).replace(",", "")
    assert int(text.replace(".", "")) == units
    assert len(text.partition(".")[2]) == decimals


def test_the_table_shows_score_and_pay_of_each_round():
    text = shown(result(), 100)
    for expected in (
        "User2@org2.test",
        "Org2MSP, random",
        "0.700",
        "-0.007",
        "0.225",
        "140.00",
        "-1.40",
        "-7.00",
    ):
        assert expected in text
    assert "supply: minted 1,234,567.89 = held 1,234,567.89 ✓" in text
    assert "0.100 → 0.500 → 0.800" in text


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("rounds", [1, 5, 40])
def test_nothing_is_cut_off_at_any_width(width, rounds):
    text = shown(result(rounds), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert f"{rounds - 1}" in text
    assert "User3@org3.test" in text
    assert ("as many as fit" in text) == (rounds * 7 + 35 > width)


def test_a_client_that_was_not_scored_or_not_there_shows_a_dash():
    first, second = result(2).rounds
    lost = Round(0, first.outcomes | {"M0": Outcome(None, 0, -2000)})
    absent = Round(1, {m: o for m, o in second.outcomes.items() if m != "M0"})
    row = shown(result(2, rounds=[lost, absent]), 100).split("User0@org0.test")[1].split("User1")[0]
    assert row.count("–") == 2
    assert row.count("-20.00") == 2


def test_names_are_not_read_as_markup():
    client = Client("[red]x[/red]", "M0", "[/]", "honest")
    assert "[red]x[/red]" in shown(result(clients=[client]), 100)


def test_money_that_is_nobodys_is_pointed_out():
    assert supply_line(result(supply=Supply(100, 99))) == "supply: minted 1.00 ≠ held 0.99 ✗"


def test_json_reads_back_with_integers_for_money():
    made = result()
    assert msgspec.json.decode(to_json(made), type=JobResult) == made
    plain = msgspec.json.decode(to_json(made))
    assert plain["rounds"][0]["outcomes"]["M0"] == {
        "score": 700,
        "norm": 1000,
        "payment": 14_000,
        "sharing": 0,
    }


@pytest.mark.parametrize("rounds", [0, 1, 5])
def test_three_files_are_written(tmp_path, rounds):
    files = write(result(rounds), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(files)
    assert files["rounds.png"].read_bytes().startswith(b"\x89PNG")
    assert b"\x1b" not in files["table.txt"].read_bytes()


def test_a_picture_of_names_with_dollars_and_of_unmeasured_accuracy(tmp_path):
    odd = Client("$a_$ {b}", "M0", "Org", "my.module:Thing")
    picture(result(clients=[odd], accuracy=[]), tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 10_000


def test_pay_adds_up_over_rounds():
    assert cumulative(result(3), "M0") == [0, 140, 280, 420]
    assert cumulative(result(3), "nobody") == [0, 0, 0, 0]


def test_each_behaviour_has_its_own_look_and_honest_is_blue():
    look = styles(result())
    assert look["honest"][0] == "#0072B2"
    assert len(set(look.values())) == 3


@given(st.lists(st.floats(-1e6, 1e6), max_size=8), st.floats(0.01, 100))
def test_labels_keep_their_order_and_distance(values, gap):
    places = spread(values, gap, -1e9, 1e9)
    order = sorted(range(len(values)), key=lambda i: (values[i], i))
    assert all(places[b] - places[a] >= gap * 0.99 - 1e-6 for a, b in itertools.pairwise(order))
    assert abs(sum(places) - sum(values)) < 1e-3 + gap * len(values) ** 2


def test_labels_with_room_stay_where_they_are():
    assert spread([5.0, 1.0, 9.0], 1.0, 0, 10) == [5.0, 1.0, 9.0]


def test_labels_stay_inside_the_picture():
    assert spread([9.0, 10.0, 9.5], 1.0, 0, 10) == [8.0, 10.0, 9.0]
    assert spread([0.0, 0.0], 1.0, 0, 10) == [0.0, 1.0]
