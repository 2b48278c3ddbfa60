"""Audit of a job from public facts: blocks, content by CID, and the beacon's public key."""

from fl_client.audit.audit import Expected, audit
from fl_client.audit.evidence import Evidence, LiveEvidence, Subject
from fl_client.audit.export import Exported, export
from fl_client.audit.files import FileEvidence
from fl_client.audit.findings import Class, Finding, Line, Report

__all__ = [
    "Class",
    "Evidence",
    "Expected",
    "Exported",
    "FileEvidence",
    "Finding",
    "Line",
    "LiveEvidence",
    "Report",
    "Subject",
    "audit",
    "export",
]
