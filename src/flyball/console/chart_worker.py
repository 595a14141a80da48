"""Turns one Vega-Lite specification into SVG and exits. I/O: specification on standard input, SVG on standard output.

A process of its own: the renderer holds a JavaScript engine of some 100 MB, which must not stay in the console.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Read, convert, write."""
    import vl_convert  # an optional package, and heavy

    sys.stdout.write(vl_convert.vegalite_to_svg(sys.stdin.read()))


if __name__ == "__main__":
    main()
