"""Keras on TensorFlow, imported once and late, on one thread.

The import takes seconds, so nothing else in Candor imports TensorFlow at module level. Six client processes
share a demo machine's two cores; a client's model is small; one thread each is both faster and reproducible.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import random
import threading
from collections.abc import Iterator
from types import ModuleType

import numpy as np

_STATE = threading.RLock()
_SETTINGS = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # its results depend on the processor
    "CUDA_VISIBLE_DEVICES": "-1",
    "OMP_NUM_THREADS": "1",
}


def prepare() -> None:
    """Make the settings, before a user's own module may import Keras by itself."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)


@functools.cache
def keras() -> ModuleType:
    """The ``keras`` module, with TensorFlow behind it; settings of the user's environment win."""
    prepare()
    import tensorflow

    with contextlib.suppress(RuntimeError):  # somebody else's TensorFlow is already running
        tensorflow.config.threading.set_intra_op_parallelism_threads(1)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    return importlib.import_module("keras")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Keras' and TensorFlow's global random state from ``seed``, Python's and NumPy's put back afterwards.

    One thread at a time: the state is the process's, and in the embedded demo all clients share it.
    """
    with _STATE:
        python, numpy = random.getstate(), np.random.get_state()
        keras().utils.set_random_seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
