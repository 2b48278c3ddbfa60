"""One interface, two stores: the organisation's IPFS cluster and a directory."""

from fl_client.connection import Connection
from fl_client.errors import BadInput

from .base import Store
from .directory import DirectoryStore
from .ipfs import IpfsStore

__all__ = ["DirectoryStore", "IpfsStore", "Store", "open_store"]


def open_store(connection: Connection) -> Store:
    """The organisation's IPFS store. Raises: BadInput when the network has none."""
    address = connection.store
    if address is None:
        raise BadInput("the network has no IPFS", "Bring it up from a topology with `ipfs: true`")
    return IpfsStore(address.kubo, address.cluster, address.credentials)
