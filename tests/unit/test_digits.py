"""The bundled problem and the split: seeded, disjoint, complete."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_client.errors import BadInput
from fl_client.training.digits import Digits
from fl_client.training.problem import problem
from fl_client.training.split import split

LABELS = np.random.default_rng(0).integers(0, 10, 1297)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 12),
    st.sampled_from([("iid", 1.0), ("dirichlet", 0.5), ("dirichlet", 0.1)]),
)
def test_a_split_gives_every_item_to_exactly_one_client(seed, clients, how):
    kind, alpha = how
    parts = split(LABELS, clients, np.random.default_rng(seed), kind=kind, alpha=alpha, least=1)
    assert len(parts) == clients
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(LABELS)))
    assert min(map(len, parts)) >= 1


def test_iid_parts_are_equal_and_dirichlet_parts_are_skewed():
    def largest_label_share(kind: str) -> float:
        parts = split(LABELS, 6, np.random.default_rng(1), kind=kind, alpha=0.1)
        return float(np.mean([np.bincount(LABELS[part]).max() / len(part) for part in parts]))

    sizes = [len(part) for part in split(LABELS, 6, np.random.default_rng(1))]
    assert max(sizes) - min(sizes) <= 1
    assert largest_label_share("iid") < 0.2 < 0.35 < largest_label_share("dirichlet")


def test_a_split_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="unknown split"):
        split(LABELS, 6, np.random.default_rng(0), kind="zipf")
    with pytest.raises(ValueError, match="cannot give"):
        split(LABELS[:50], 6, np.random.default_rng(0))


def test_public_and_private_images_are_disjoint_and_make_up_the_data_set():
    digits = Digits(seed=3)
    shares = [digits.private(client, 6) for client in range(6)]
    images = np.concatenate([digits.public(), *(x for x, _ in shares)])
    assert len(digits.public()) >= 500
    assert len(images) == 1797
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    everything = Digits(seed=4)
    others = np.concatenate([everything.public(), *(everything.private(c, 6)[0] for c in range(6))])
    assert sorted(row.tobytes() for row in images) == sorted(row.tobytes() for row in others)


def test_equal_seeds_give_equal_data_and_other_seeds_other_data():
    for ask in (Digits.public, lambda d: d.private(2, 6)[0], lambda d: d.private(2, 6)[1]):
        assert np.array_equal(ask(Digits(5)), ask(Digits(5)))
        assert not np.array_equal(ask(Digits(5)), ask(Digits(6)))


def test_the_held_out_set_is_the_public_images_with_labels():
    digits = Digits()
    x, y = digits.held_out()
    assert np.array_equal(x, digits.public())
    assert set(y) == set(range(digits.alphabet))


def test_a_problem_is_found_by_name_or_import_path():
    assert isinstance(problem("digits", seed=1), Digits)
    assert isinstance(problem("fl_client.training.digits:Digits", kind="dirichlet"), Digits)
    with pytest.raises(BadInput, match="no problem"):
        problem("letters")
    with pytest.raises(ValueError, match="not one of 6"):
        Digits().private(6, 6)
