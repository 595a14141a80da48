"""`flyball up` with nothing to serve says so, and so does every answer."""

from __future__ import annotations

from pathlib import Path

import openai
import pytest

from small_shop import make_small_shop, ok, serving


def test_up_without_a_release_says_what_is_missing_to_people_scripts_and_clients(tmp_path: Path) -> None:
    shop = make_small_shop(tmp_path, rows=50)
    with serving(shop) as urls:
        assert urls["missing"] == "nothing was built yet: `flyball run` builds, gates and deploys a release"
        client = openai.OpenAI(base_url=f"{urls['gateway']}/v1", api_key="none", max_retries=3)
        with pytest.raises(openai.InternalServerError, match="no route is served yet: nothing was built yet"):
            client.chat.completions.create(model="shop", messages=[{"role": "user", "content": "hello"}])
        with pytest.raises(openai.InternalServerError, match="nothing was built yet: `flyball run`"):
            client.models.retrieve("shop")
        assert list(client.models.list()) == []
    said = (shop / "up.log").read_text()
    assert "nothing is served yet: nothing was built yet" in said and "`flyball run`" in said
    assert ok("status", cwd=shop)["missing"]["what"] == "nothing was built yet"
