"""The lab's own trainer does what the Keras Trainer does."""

import numpy as np
import pytest

from fl_client.incentives.perceptron import Perceptron
from fl_client.incentives.synthetic import Synthetic
from fl_client.training.digits import Digits
from fl_client.training.trainer import Trainer

pytestmark = pytest.mark.training


@pytest.fixture(scope="module", params=["digits", "synthetic"])
def both(request: pytest.FixtureRequest):
    problem = Digits(1) if request.param == "digits" else Synthetic(1, public_items=500, private_items=600)
    shape = (problem.public().shape[1], 32, problem.alphabet)
    return problem, Trainer(problem, seed=1), Perceptron(*shape, seed=1)


def test_the_same_mini_batches_lead_to_the_same_weights(both) -> None:
    problem, trainer, perceptron = both
    x, y = problem.private(0, 6)
    start = trainer.initial()
    one, two = (t.train(start, x[:100], y[:100], epochs=5, seed=3) for t in (trainer, perceptron))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    assert (trainer.predict(one, problem.public()) == perceptron.predict(two, problem.public())).mean() > 0.99


def test_their_probabilities_agree(both) -> None:
    problem, trainer, perceptron = both
    weights = trainer.initial()
    one, two = (t.probabilities(weights, problem.public()) for t in (trainer, perceptron))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_from_weights_of_its_own_it_becomes_as_good(both) -> None:
    """Statistically: another start, the same accuracy within two hundredths or so."""
    problem, trainer, perceptron = both
    held_out = problem.held_out()
    accuracies = []
    for each in (trainer, perceptron):
        of_clients = []
        for client in range(3):
            x, y = problem.private(client, 6)
            weights = each.train(each.fresh(client), x, y, epochs=25, seed=client)
            of_clients.append(each.accuracy(weights, *held_out))
        accuracies.append(np.mean(of_clients))
    assert abs(accuracies[0] - accuracies[1]) < 0.05, accuracies


def test_fresh_weights_follow_from_their_seed_and_are_spread_alike(both) -> None:
    _, trainer, perceptron = both
    for each in (trainer, perceptron):
        one, again, other = each.fresh(5), each.fresh(5), each.fresh(6)
        assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
        assert not np.array_equal(one[0], other[0])
    ratio = trainer.fresh(5)[0].std() / perceptron.fresh(5)[0].std()
    assert 0.9 < ratio < 1.1
