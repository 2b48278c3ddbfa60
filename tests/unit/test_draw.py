"""Draws: fixed by the seed, uniform, and by the protocol's rules."""

import hashlib
from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaincode.draw import Words, committee, draw, peers, seed, shuffle
from chaincode.encoding import domain, lp

SEEDS = st.binary(min_size=32, max_size=32)
NAMES = st.integers(0, 40).map(lambda n: [f"Org{i % 3}:{i:02}" for i in range(n)])


def seeds(count: int) -> list[bytes]:
    return [hashlib.sha256(bytes([i % 256, i // 256])).digest() for i in range(count)]


def organisation(member: str) -> str:
    return member.split(":")[0]


def members(*sizes: int) -> list[str]:
    return [f"{chr(65 + org)}:{i}" for org, size in enumerate(sizes) for i in range(size)]


def test_a_seed_is_the_protocols_and_each_input_changes_it() -> None:
    where = domain("candor", "candor", "job", 1)
    made = seed("pair", where, b"r" * 32)
    assert made == hashlib.sha256(b"candor/draw/v1" + lp(b"pair") + where + b"r" * 32).digest()
    others = {seed("tasks", where, b"r" * 32), seed("pair", domain("candor", "candor", "job", 2), b"r" * 32)}
    assert len(others | {made, seed("pair", where, b"s" * 32)}) == 4


def test_words_are_shake_256_in_big_endian_pieces_of_eight() -> None:
    stream = hashlib.shake_256(b"s").digest(8 * 1000)
    words = Words(b"s")
    assert [words.next() for _ in range(1000)] == [
        int.from_bytes(stream[i : i + 8], "big") for i in range(0, 8000, 8)
    ]


def test_words_above_the_largest_multiple_are_skipped() -> None:
    n = (1 << 63) + 1  # only words below n count: about half are rejected
    words, drawn = Words(b"s"), Words(b"s")
    expected = [word for word in (words.next() for _ in range(200)) if word < n]
    assert 60 < len(expected) < 140
    assert [drawn.below(n) for _ in expected] == expected


def test_a_word_at_the_largest_multiple_is_drawn_again_and_the_last_below_it_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit = 2**64 - 2**64 % 3
    words = iter([limit, limit - 1])
    monkeypatch.setattr(Words, "next", lambda _: next(words))
    assert Words(bytes(32)).below(3) == 2
    assert next(words, None) is None


@given(SEEDS, st.integers(1, 1 << 64))
def test_below_stays_below(start: bytes, n: int) -> None:
    assert 0 <= Words(start).below(n) < n


@pytest.mark.parametrize("n", [0, -1, (1 << 64) + 1])
def test_below_refuses_an_impossible_range(n: int) -> None:
    with pytest.raises(ValueError, match="cannot draw below"):
        Words(b"s").below(n)


@given(SEEDS, st.lists(st.integers(), max_size=60))
def test_a_shuffle_is_a_permutation_and_repeatable(start: bytes, items: list[int]) -> None:
    shuffled = shuffle(start, items)
    assert sorted(shuffled) == sorted(items)
    assert shuffled == shuffle(start, items)


def test_a_shuffle_runs_from_the_end() -> None:
    words, expected = Words(b"s"), list(range(5))
    for last in (4, 3, 2, 1):
        other = words.below(last + 1)
        expected[last], expected[other] = expected[other], expected[last]
    assert shuffle(b"s", range(5)) == expected


def test_every_order_is_drawn_about_equally_often() -> None:
    found = Counter(tuple(shuffle(start, "abc")) for start in seeds(6000))
    assert set(found) == set(permutations("abc"))
    assert all(abs(count - 1000) < 150 for count in found.values())  # 5 standard deviations


@given(SEEDS, st.integers(0, 30), st.data())
def test_a_draw_is_the_beginning_of_the_shuffle(start: bytes, n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    assert draw(start, range(n), k) == shuffle(start, range(n))[:k]


@pytest.mark.parametrize("k", [-1, 4])
def test_a_draw_refuses_more_than_there_are(k: int) -> None:
    with pytest.raises(ValueError, match="cannot draw"):
        draw(b"s", range(3), k)


@given(SEEDS, NAMES, st.sampled_from([0, 1, 2, 4, 6, 10]), st.booleans())
def test_everyone_gets_its_number_of_other_peers(start: bytes, names: list[str], m: int, apart: bool) -> None:
    drawn = peers(start, names, m, organisation if apart else None)
    n = len(names)
    wanted = max(0, n - 1) if m == 0 else max(0, min(m, n - 1))
    assert sorted(drawn) == sorted(names)
    for member, others in drawn.items():
        assert len(set(others)) == len(others) == wanted
        assert member not in others
        assert set(others) <= set(names)


@given(SEEDS, NAMES, st.sampled_from([0, 2, 4, 6]), st.booleans())
def test_with_an_even_number_peers_are_mutual(start: bytes, names: list[str], m: int, apart: bool) -> None:
    drawn = peers(start, names, m, organisation if apart else None)
    assert all(member in drawn[other] for member, others in drawn.items() for other in others)


@given(SEEDS, NAMES.filter(lambda names: len(names) > 1), st.booleans())
def test_one_peer_means_disjoint_pairs_and_at_most_one_cycle_of_three(
    start: bytes, names: list[str], apart: bool
) -> None:
    drawn = peers(start, names, 1, organisation if apart else None)
    peer = {member: others[0] for member, others in drawn.items()}
    alone = [member for member in names if peer[peer[member]] != member]
    assert len(alone) == (3 if len(names) % 2 else 0)
    assert all(peer[peer[peer[member]]] == member for member in alone)


def test_the_ring_is_the_shuffle_of_the_sorted_participants() -> None:
    names = members(7)
    ring = shuffle(b"s", sorted(names))
    drawn = peers(b"s", names[::-1], 2)
    assert all(set(drawn[ring[i]]) == {ring[i - 1], ring[(i + 1) % 7]} for i in range(7))
    paired = peers(b"s", names, 1)
    assert [paired[ring[i]] for i in range(7)] == [(ring[j],) for j in (1, 0, 3, 2, 5, 6, 4)]


@pytest.mark.parametrize(("sizes", "m"), [((2, 2, 2), 4), ((2, 2, 2), 2), ((5, 5, 5), 4), ((3, 3, 3, 3), 6)])
def test_where_organisations_are_equal_all_peers_are_of_others(sizes: tuple[int, ...], m: int) -> None:
    for start in seeds(20):
        drawn = peers(start, members(*sizes), m, organisation)
        assert all(organisation(a) != organisation(b) for a, others in drawn.items() for b in others)


@given(SEEDS, st.lists(st.integers(1, 6), min_size=2, max_size=5))
def test_pairs_are_of_two_organisations_unless_one_has_more_than_half(start: bytes, sizes: list[int]) -> None:
    names = members(*sizes)
    drawn = peers(start, names, 1, organisation)
    mutual = {a: b for a, (b,) in drawn.items() if drawn[b] == (a,)}
    if 2 * max(sizes) <= len(names):
        assert all(organisation(a) != organisation(b) for a, b in mutual.items())


@pytest.mark.parametrize("m", [-1, 3])
def test_an_impossible_number_of_peers_is_refused(m: int) -> None:
    with pytest.raises(ValueError, match="peers"):
        peers(b"s", members(9), m)


@pytest.mark.parametrize("m", [3, 4, 5, 0])
def test_as_many_peers_as_there_are_others_are_all_of_them_also_an_odd_number(m: int) -> None:
    found = peers(b"s", list("dbca"), m)
    assert found == {each: tuple(sorted(set("abcd") - {each})) for each in "abcd"}


def test_a_participant_listed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        peers(b"s", ["a", "b", "a"], 2)
    with pytest.raises(ValueError, match="twice"):
        committee(b"s", ["a", "a"], 1, organisation)


@given(SEEDS, st.lists(st.integers(0, 6), max_size=5), st.sampled_from([1, 3, 5, 7, 9]))
def test_a_committee_is_odd_and_no_organisation_holds_half_where_avoidable(
    start: bytes, sizes: list[int], k: int
) -> None:
    names = members(*sizes)
    drawn = committee(start, names[::-1], k, organisation)
    wanted = min(k, len(names))
    wanted -= wanted > 0 and wanted % 2 == 0
    assert len(set(drawn)) == len(drawn) == wanted
    assert set(drawn) <= set(names)
    assert drawn == committee(start, names, k, organisation)
    if sum(min(size, (wanted - 1) // 2) for size in sizes) >= wanted > 0:
        assert 2 * max(Counter(map(organisation, drawn)).values()) < wanted


def test_a_committee_of_one_is_the_first_of_the_shuffle() -> None:
    assert committee(b"s", members(2, 2), 1, organisation) == (shuffle(b"s", members(2, 2))[0],)


@pytest.mark.parametrize("k", [0, 2, -1])
def test_an_even_committee_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match="odd"):
        committee(b"s", members(3), k, organisation)
