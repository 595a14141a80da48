"""A reviewer who judges the sampled answers of a canary, blind: through the same two commands as a person would."""

from __future__ import annotations

import json

from customers import Asked
from shop import Shop, expect

SEES = {"request_id", "messages", "answer"}


class Reviewer:
    """Knows what customers meant, from the requests that it was told of."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.truths: dict[str, str] = {}

    def judge(self, asked: Asked) -> int:
        """Judge what waits; how many verdicts were recorded."""
        self.truths |= asked.truths
        found = self.shop.flyball("judge", "open", "--limit", "500")
        items = found if isinstance(found, list) else [found]
        expect(all(item.keys() == SEES for item in items), "a reviewer does not see which release answered")
        verdicts = [
            {**item, "score": float(item["answer"] == self.truths[item["request_id"]])}
            for item in items
            if item["request_id"] in self.truths
        ]
        path = self.shop.root / "verdicts.jsonl"
        path.write_text("".join(json.dumps(verdict) + "\n" for verdict in verdicts))
        recorded = self.shop.flyball("judge", "record", str(path), "--judge", "reviewer")
        path.unlink()  # texts of people do not lie about
        return int(recorded["recorded"])
