"""One interface, two stores: the organisation's IPFS cluster and a directory."""

from .base import Store
from .directory import DirectoryStore
from .ipfs import IpfsStore

__all__ = ["DirectoryStore", "IpfsStore", "Store"]
