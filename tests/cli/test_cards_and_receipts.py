"""A release's model card and a person's receipt, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from small_shop import flyball, ok, ok_lines


def test_the_card_of_a_release_is_printed_or_written_and_the_build_kept_it(shop: Path) -> None:
    (row,) = ok_lines("models", cwd=shop)
    card = flyball("models", "card", row["release"][:12], cwd=shop).out
    assert f"\n---\n# Release {row['release'][:12]} of shop\n" in card and "| test | exact_match |" in card
    assert not flyball("models", "card", row["release"], "--out", "card.md", cwd=shop).out
    assert (shop / "card.md").read_text() == card
    (kept,) = (shop / ".flyball" / "reports").glob("*/model_card.md")
    assert kept.read_text().split("## Gate")[0] == card.split("## Gate")[0], "the gate decides later"
    refused = flyball("models", "card", row["model"], cwd=shop)
    assert (refused.code, "is not a release" in refused.err) == (4, True)


def test_a_receipt_is_shown_again_and_checked_when_somebody_hands_it_over(shop: Path) -> None:
    subject = str(json.loads((shop / "tickets.jsonl").read_bytes().splitlines()[0])["customer_id"])
    none = flyball("subject", "receipt", subject, cwd=shop)
    assert (none.code, "there is no receipt" in none.err) == (4, True)
    flyball("subject", "erase", subject, "--receipt", "receipt.json", cwd=shop)
    written = json.loads((shop / "receipt.json").read_text())
    again = ok("subject", "receipt", subject, cwd=shop)
    assert again == {**written, "signature_holds": True}
    given = ok("subject", "receipt", subject, "--file", "receipt.json", cwd=shop)
    assert given == again
    (shop / "forged.json").write_text(json.dumps({**written, "suppressed": False}))
    forged = flyball("subject", "receipt", subject, "--file", "forged.json", cwd=shop)
    assert (forged.code, "does not hold" in forged.err) == (5, True)
    other = flyball("subject", "receipt", "somebody else", "--file", "receipt.json", cwd=shop)
    assert (other.code, "is not about 'somebody else'" in other.err) == (2, True)
    strange = flyball("subject", "receipt", subject, "--file", "flyball.yaml", cwd=shop)
    assert (strange.code, "is not a receipt" in strange.err) == (2, True)
