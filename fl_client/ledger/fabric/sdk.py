"""The parts of hfc we build on, under one roof; nothing else in the project imports hfc."""

from __future__ import annotations

import warnings

from . import hfc_alias

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # invalid escapes and old APIs in hfc and what it imports
    import hfc.fabric.orderer as orderer_module
    import hfc.fabric.peer as peer_module
    from hfc.fabric.channel.channel import Channel
    from hfc.fabric.channel.channel_eventhub import ChannelEventHub
    from hfc.fabric.transaction.tx_context import TXContext, create_tx_context
    from hfc.fabric.transaction.tx_proposal_request import CC_INVOKE, create_tx_prop_req
    from hfc.fabric.user import Enrollment, User
    from hfc.protos.utils import create_tx_payload
    from hfc.util.crypto.crypto import ecies
    from hfc.util.utils import build_tx_req, create_serialized_identity, sign_tran_payload, stream_envelope

hfc_alias.silence()

__all__ = [
    "CC_INVOKE",
    "Channel",
    "ChannelEventHub",
    "Enrollment",
    "TXContext",
    "User",
    "build_tx_req",
    "create_serialized_identity",
    "create_tx_context",
    "create_tx_payload",
    "create_tx_prop_req",
    "ecies",
    "orderer_module",
    "peer_module",
    "sign_tran_payload",
    "stream_envelope",
]
