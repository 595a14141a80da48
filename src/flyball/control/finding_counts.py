"""How many findings the ledger holds, by route, kind and severity. I/O: the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

from flyball.records import Finding
from flyball.storage.ledger import Ledger


@dataclass
class FindingCounts:
    """Findings of the ledger by route, kind and severity; each is read once."""

    counts: dict[tuple[str, ...], float] = field(default_factory=dict)
    through_seq: int = 0

    def read(self, ledger: Ledger) -> None:
        """Add those that are new."""
        while found := ledger.find(Finding, limit=1000, after_seq=self.through_seq, newest_first=False):
            for one in found:
                if isinstance(one.record, Finding):
                    key = (one.record.route, one.record.kind, one.record.severity)
                    self.counts[key] = self.counts.get(key, 0.0) + 1
            self.through_seq = found[-1].seq
