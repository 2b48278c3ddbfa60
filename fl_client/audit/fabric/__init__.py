"""Fabric's blocks, read and verified without Fabric's programs."""

from .reader import FabricBlocks

__all__ = ["FabricBlocks"]
