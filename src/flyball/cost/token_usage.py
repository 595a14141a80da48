"""What a server's token counts mean, where they do not add up. Pure.

OpenAI's `completion_tokens` hold reasoning and its `prompt_tokens` what came from a cache. Others leave reasoning out
(Google, xAI), or the cache (Anthropic), or one of the counts; only the total tells.
"""

from __future__ import annotations

from typing import Final

MAX_TOKENS: Final = 10_000_000
"""No answer has more: a count beyond it is a lie, and would fit no column of the ledger."""


def bounded(count: int | None) -> int:
    """A count that is one."""
    if count is None or count <= 0:
        return 0
    return count if count < MAX_TOKENS else MAX_TOKENS


def reconciled(prompt: int, completion: int, total: int, *, cached: int, reasoning: int) -> tuple[int, int]:
    """Prompt and completion tokens as they are paid for; a count of 0 is one that was not told.

    What a total has beyond its parts belongs to the part that is missing, else to the cache if it is exactly that, else
    to what was thought and not shown. A total below its parts is not believed; one alone is the caller's to split.
    """
    spare = total - prompt - completion
    if spare <= 0:
        if not total and reasoning > completion:
            completion += reasoning
        return prompt, completion
    if not prompt and not completion:
        return 0, 0
    if not prompt or (spare == cached and spare != reasoning):
        return prompt + spare, completion
    return prompt, completion + spare
