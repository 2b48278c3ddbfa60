"""One interface, two stores: the organisation's IPFS cluster and a directory."""

from .base import Store

__all__ = ["Store"]
