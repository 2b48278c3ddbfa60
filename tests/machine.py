"""What must be the same bytes on every machine, as digests: `python -m tests.machine` prints them as JSON.

Inputs come from SHAKE-256 by integers, so that no generator's version matters: float32 of all kinds of sizes,
subnormal numbers and both zeros among them. Needs numpy, msgspec, safetensors and py_arkworks_bls12381 alone.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys

import numpy as np

from chaincode import cid, lightcheck, view
from chaincode.mechanisms.per_round import combine
from chaincode.scoring import organisation
from fl_client import aggregator, inside
from fl_client.inside import Inspection
from fl_client.training import parameters
from fl_client.training.views import view_of

SHAPES = [(37, 21), (21,), (3, 5, 7), (1031,), ()]
MEMBERS = [f"Org{1 + place % 3}MSP:{place:064x}" for place in range(8)]
Arrays = list[np.ndarray]


def floats(seed: str, exponents: tuple[int, int]) -> Arrays:
    """float32 arrays of SHAPES; `exponents`: from and below which biased exponent (0: zero and subnormal)."""
    found, low, span = [], exponents[0], exponents[1] - exponents[0]
    for place, shape in enumerate(SHAPES):
        count = int(np.prod(shape, dtype=np.int64))
        raw = hashlib.shake_256(f"{seed}/{place}".encode()).digest(8 * count)
        words = np.frombuffer(raw, "<u8").astype(np.uint64)
        sign, mantissa = (words >> np.uint64(63)) << np.uint64(31), words & np.uint64(2**23 - 1)
        exponent = (np.uint64(low) + (words >> np.uint64(23)) % np.uint64(span)) << np.uint64(23)
        found.append((sign | exponent | mantissa).astype(np.uint32).view(np.float32).reshape(shape))
    return found


def extras() -> list[str]:
    """The CPU's features that numpy uses here and could do without."""
    config: dict[str, dict[str, list[str]]] = np.show_config(mode="dicts")  # type: ignore[assignment]
    return config["SIMD Extensions"].get("found", [])


def digests() -> dict[str, str]:
    """Everything a committee, a watchtower and an auditor compare, by what it is."""
    weights = {member: 3 * place + 1 for place, member in enumerate(MEMBERS)}
    found = {}
    for kind, exponents in (("near", (100, 122)), ("wide", (0, 200)), ("tiny", (0, 3))):
        model = parameters.to_bytes(floats(f"{kind} model", exponents))
        updates = {m: parameters.to_bytes(floats(f"{kind} {m}", exponents)) for m in MEMBERS}
        before = changed(updates, exponents) if kind == "near" else {}
        for strategy in ("fedavg", "two-layer"):
            found[f"{strategy} {kind}"] = aggregator.aggregate(model, updates, strategy)
            found[f"{strategy} {kind} weighted"] = aggregator.aggregate(model, updates, strategy, weights)
        found[f"inside {kind}"] = b"".join(inspected(model, updates))
        judged = aggregator.verdicts(model, updates, before)
        found[f"verdicts {kind}"] = json.dumps(
            {m: fault and fault.reason for m, fault in judged.items()}
        ).encode()
        sketch = lightcheck.sketch(parameters.from_bytes(updates[MEMBERS[0]]))
        found[f"sketch {kind}"] = sketch.astype("<i4").tobytes()
        found[f"inner {kind}"] = str(lightcheck.inner(sketch, sketch)).encode()
    trained, start = floats("trained", (90, 130)), floats("start", (90, 130))
    found["an update"] = parameters.to_bytes(parameters.subtract(trained, start))
    views = {m: view_of(floats(f"scores {m}", (110, 120))[0]) for m in MEMBERS[:5]}
    found["a view"] = view.pack(views[MEMBERS[0]], SHAPES[0][1])
    found["an agreed view"] = combine(views, SHAPES[0][1])[0]
    found["a name of many blocks"] = cid.file_cid(hashlib.shake_256(b"large").digest(3 << 20)).encode()
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def changed(updates: dict[str, bytes], exponents: tuple[int, int]) -> dict[str, bytes]:
    """The members' updates of the round before: the first's is the same, the others' are half of it the same."""
    found = {}
    for place, (member, update) in enumerate(updates.items()):
        noise = floats(f"noise {member}", exponents)
        found[member] = (
            parameters.to_bytes(parameters.add(parameters.from_bytes(update), noise)) if place else update
        )
    return found


def inspected(model: bytes, updates: dict[str, bytes]) -> list[bytes]:
    """What each organisation's updates come to, and the model that its partial aggregates make."""
    found, partials = [], {}
    for name in sorted({organisation(member) for member in updates}):
        work = Inspection(model, name)
        for member in sorted(m for m in updates if organisation(m) == name):
            work.take(member, updates[member])
        each, partial = work.result()
        found.append(each.encode())
        if each.counted:
            partials[name] = partial, len(each.counted)
    return [*found, inside.across(model, partials)]


if __name__ == "__main__":
    print(json.dumps(digests(), indent=1))
    print(platform.machine(), sys.byteorder, "numpy", np.__version__, *extras(), file=sys.stderr)
