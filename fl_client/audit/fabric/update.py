"""A change of the channel's configuration: what the signed update leads to, and who had to sign it.

Peers apply an update to the configuration in force and take the block only if the result is the one it carries
(Fabric, common/configtx/update.go); so does the audit. Who must sign follows the place of what changes: an
organisation for its own group, more than half of a group's organisations for what they share.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from . import protos
from .config import Config, verifies

Path = tuple[str, ...]  # of groups below the channel's, then for values and policies their kind and name
_GROUPS = ("Application", "Orderer")


def signed_by(config: Config, envelope: Any) -> list[str]:
    """The organisations whose admins signed the update that led to a config block."""
    change = _update(envelope)
    found = set()
    for each in change.signatures:
        header = protos.common.SignatureHeader.FromString(each.signature_header)
        identity = protos.identities.SerializedIdentity.FromString(header.creator)
        msp = config.organisations.get(identity.mspid) or config.orderers.get(identity.mspid)
        signed = each.signature_header + change.config_update
        pem = identity.id_bytes
        admin = msp and msp.vouches_for(pem) and (msp.role(pem) == "admin" or pem in msp.admins)
        if admin and verifies(pem, each.signature, signed):
            found.add(identity.mspid)
    return sorted(found)


def invalid(config: Config, old: Any, envelope: Any, signers: Collection[str]) -> str:
    """What is wrong with a new configuration's block after `old` (configtx.Config); "" when nothing."""
    new = raw_config(envelope)
    update = protos.configs.ConfigUpdate.FromString(_update(envelope).config_update)
    if new.sequence != old.sequence + 1:
        return f"it is number {new.sequence} after {old.sequence}"
    if update.channel_id != config.channel:
        return f"its update is for channel {update.channel_id!r}"
    known, read, written = (
        dict(_items(group)) for group in (old.channel_group, update.read_set, update.write_set)
    )
    changed = {path: item for path, item in written.items() if _version(read.get(path)) != item.version}
    if any(_version(known.get(path)) != item.version for path, item in read.items()):
        return "its update was made for another configuration than the one in force"
    for path, item in changed.items():
        if item.version != _version(known.get(path)) + 1:
            return f"its update changes {_named(path)} from another version than the one in force"
        lacking = _lacking(config, path, known.get(path), signers)
        if lacking:
            return f"it changes {_named(path)} without {lacking}"
    try:
        result = _built((), {**known, **changed})
    except KeyError as missing:
        return f"its update names {missing}, which is not there"
    return "" if result == new.channel_group else "it is not what the signed update leads to"


def _update(envelope: Any) -> Any:
    payload = protos.common.Payload.FromString(envelope.payload)
    update = protos.configs.ConfigEnvelope.FromString(payload.data).last_update
    return protos.configs.ConfigUpdateEnvelope.FromString(
        protos.common.Payload.FromString(update.payload).data
    )


def raw_config(envelope: Any) -> Any:
    """A config block's configuration as Fabric keeps it (configtx.Config)."""
    payload = protos.common.Payload.FromString(envelope.payload)
    return protos.configs.ConfigEnvelope.FromString(payload.data).config


def _items(group: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every group, value and policy by its path; a group as it is, with what it lists."""
    yield path, group
    for kind in ("values", "policies"):
        for name, item in getattr(group, kind).items():
            yield (*path, kind, name), item
    for name, below in group.groups.items():
        yield from _items(below, (*path, "groups", name))


def _built(path: Path, items: dict[Path, Any]) -> Any:
    """The group at a path, of the items as changed: what it holds is what it lists. Raises: KeyError."""
    group = items[path]
    made = protos.configs.ConfigGroup(version=group.version, mod_policy=group.mod_policy)
    for kind in ("values", "policies"):
        for name in getattr(group, kind):
            getattr(made, kind)[name].CopyFrom(items[*path, kind, name])
    for name in group.groups:
        made.groups[name].CopyFrom(_built((*path, "groups", name), items))
    return made


def _lacking(config: Config, path: Path, item: Any, signers: Collection[str]) -> str:
    """Whose signatures an item's change lacks; "" when nobody's. What is new needs its group's change alone."""
    if item is None:
        return ""
    place = _owner(path, item.mod_policy)
    if len(place) > 1:  # an organisation's own
        shared = config.organisations if place[0] == "Application" else config.orderers
        own = {place[1]} & set(signers) or _most(shared, signers)
        return "" if own else f"{place[1]}'s signature"
    needed = place or _GROUPS
    groups = {"Application": config.organisations, "Orderer": config.orderers}
    short = [name for name in needed if not _most(groups.get(name, ()), signers)]
    whose = {"Application": "the channel's", "Orderer": "the ordering service's"}
    return "".join(f"more than half of {whose.get(name, name)} organisations" for name in short[:1])


def _owner(path: Path, policy: str) -> Path:
    """The groups whose admins decide: where the item is, unless its policy names another place."""
    if policy.startswith("/"):
        return tuple(policy.split("/")[2:-1])
    groups = path if path[-2:-1] == ("groups",) else path[:-2]
    return groups[1::2]


def _most(organisations: Collection[str], signers: Collection[str]) -> bool:
    return 2 * len(set(organisations) & set(signers)) > len(organisations)


def _version(item: Any) -> int:
    return -1 if item is None else int(item.version)


def _named(path: Path) -> str:
    return "/".join(("Channel", *path[1::2]))
