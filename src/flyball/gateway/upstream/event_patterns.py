"""What the next event of a stream will look like around its piece of text, so that it need not be parsed. Pure."""

from __future__ import annotations

from typing import Final

_QUOTE: Final = 0x22
_BACKSLASH: Final = 0x5C
_LF: Final = 0x0A
"""As numbers: to look for bytes in bytes makes and drops an exception (CPython 3.11), which takes ten times as long."""
SIZES: Final = [b"%x\r\n" % size for size in range(4096)]
"""How chunks of HTTP begin, up to three digits."""


class Pattern:
    """What one event with a piece of text looks like around the text, as the engine sends it and as the client gets it.

    The next events of a stream differ in the text alone, so that those need no parsing: what begins and ends like the
    pattern and has neither quote nor backslash between is the same JSON with another string.
    """

    __slots__ = ("after", "around", "before", "end", "new_after", "new_before", "new_end", "shortest")

    def __init__(self, before: bytes, after: bytes, new_before: bytes, new_after: bytes) -> None:
        self.before, self.after = before, after
        self.new_before, self.new_after = new_before, new_after
        self.shortest = len(before) + len(after) + 1
        self.end, self.new_end = after + b"\n\n\r\n", new_after + b"\n\n\r\n"
        self.around = len(new_before) + len(new_after) + 2

    def text(self, event: bytes) -> bytes | None:
        """The text of an event of this pattern; None for any other event."""
        if len(event) < self.shortest or not event.startswith(self.before) or not event.endswith(self.after):
            return None
        found = event[len(self.before) : -len(self.after)]
        return None if _QUOTE in found or _BACKSLASH in found or _LF in found else found
