"""What personal data and secrets look like: one pattern a type, with the check that makes it certain.

Every pattern leaves `<` and `>` out, so that no finding can ever touch a placeholder. Checks: Luhn (ISO/IEC 7812-1) for
cards, mod 97 (ISO 13616) for IBANs, `ipaddress` for IP.

Every pattern takes time linear in the text, hostile ones too. Of each place where it may begin, it looks at a bounded
number of characters, or it is sure to match what it has looked at: repetitions are bounded or possessive (`++`), and no
two neighbours can take the same characters in more than one way. A test asserts it for each pattern.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from flyball.privacy.false_positives import is_no_ip, is_no_phone, is_no_reference, is_no_secret

DIGIT, LETTER = ord("0"), ord("a")
KINDS = bytes(
    LETTER if byte >= 0x80 or chr(byte).isalpha() else DIGIT if chr(byte).isdigit() else byte for byte in range(256)
)


class Outline:
    """A text with `0` for each digit and `a` for each letter: tells in microseconds what a pattern cannot be in.

    Whatever is not ASCII counts as letters, for where case does not matter [A-Z] also matches İ, ı, ſ and the Kelvin
    sign. So an outline may hold more than the text does, never less.
    """

    def __init__(self, text: str) -> None:
        self.kinds = text.encode("utf-8", "surrogatepass").translate(KINDS)

    def holds(self, *wanted: bytes, without: bytes = b"") -> bool:
        """Whether one of the runs is in it, once the characters of `without` are left out."""
        kinds = self.kinds.translate(None, without) if without else self.kinds
        return max(map(kinds.find, wanted)) >= 0  # `run in kinds` makes and drops an exception (CPython 3.11)


Possible = Callable[[Outline], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recogniser:
    """One type: group `found` of `pattern` is replaced when `check` holds.

    It cannot occur, and is not looked for, unless the case-folded text holds one of `hints`, or its outline is
    `possible`: conditions that every text with a finding meets.
    """

    type: str
    hints: tuple[str, ...] = ()
    possible: Possible | None = None
    pattern: re.Pattern[str]
    check: Callable[[str], bool]
    harmless: Callable[[str, str, str], bool] | None = None
    """Of a finding, what stands before it and what behind it: whether it is something else."""


def always(_found: str) -> bool:
    """The pattern alone is proof enough."""
    return True


def digits_of(text: str) -> str:
    """Only the ASCII digits of `text`."""
    return "".join(character for character in text if "0" <= character <= "9")


def is_card(found: str) -> bool:
    """13 to 19 digits whose Luhn sum is a multiple of ten."""
    digits = digits_of(found)
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    return (sum(int(digit) for digit in digits[-1::-2]) + sum(n - 9 if n > 9 else n for n in doubled)) % 10 == 0


def is_iban(found: str) -> bool:
    """Country, two check digits, up to 30 characters; mod 97 is one."""
    compact = found.replace(" ", "").upper()
    if not 15 <= len(compact) <= 34 or not compact.isascii():  # [A-Z] also matches the Kelvin sign
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def is_ip(found: str) -> bool:
    """A valid IPv4 or IPv6 address that names a host (not `::`, `::1` or a version such as 1.2.3.4000)."""
    try:
        address = ipaddress.ip_address(found)
        return not address.is_unspecified and not address.is_loopback
    except ValueError:
        return False


def is_phone(found: str) -> bool:
    """7 to 15 digits (E.164) that do not read as a date, an amount or a bare short number."""
    digits = digits_of(found)
    if not 7 <= len(digits) <= 15 or re.match(r"(?:19|20)\d\d[-./](?:0?[1-9]|1[0-2])[-./]", found):
        return False
    if re.match(r"\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d\d\b", found):
        return False
    if len(digits) < 9:
        return found[0] == "+" or re.fullmatch(r"\d{3}[-. ]\d{4}", found) is not None
    return found[0] in "+(0" or re.search(r"\d[-. ()/]+\d", found) is not None or len(digits) in (10, 11)


BLANKS, MAY_BLANK = r"\s{1,32}+", r"\s{0,32}+"
"""White space between the words of a pattern: bounded, and taken as a whole."""


def pattern(expression: str) -> re.Pattern[str]:
    """A pattern for which upper and lower case are one, unless it says (?-i:…)."""
    return re.compile(expression, re.IGNORECASE)


def may_be_iban(outline: Outline) -> bool:
    """Two letters and two digits."""
    return outline.holds(b"aa00")


def may_be_ip(outline: Outline) -> bool:
    """Digits around a point, or two colons with nothing but letters and digits between them, and a digit."""
    return outline.holds(b"0.0") or (outline.holds(b"::", without=b"0a") and outline.holds(b"0"))


def may_be_card(outline: Outline) -> bool:
    """Thirteen digits with nothing but blanks and hyphens between them."""
    return outline.holds(b"0" * 13, without=b" -")


def may_be_reference(outline: Outline) -> bool:
    """Four digits, or three and a letter before a hyphen or an underscore."""
    return outline.holds(b"0000") or (outline.holds(b"000") and outline.holds(b"a-", b"a_"))


def may_be_number(outline: Outline) -> bool:
    """Four digits."""
    return outline.holds(b"0000")


def may_be_phone(outline: Outline) -> bool:
    """Seven digits with nothing but what phone numbers are written with between them."""
    return outline.holds(b"0" * 7, without=b"-. ()/")


TOKEN_HINTS = (
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "glpat-",
    "xox",
    "fb-",
    "akia",
    "asia",
    "aiza",
    "eyj",
    "private key",
)
SECRET_HINTS = ("passw", "passcode", "secret", "pin", "otp", "key", "token", "bearer")

PATTERN_RECOGNISERS: tuple[Recogniser, ...] = (
    Recogniser(
        type="SECRET",
        hints=TOKEN_HINTS,
        pattern=pattern(
            r"(?P<found>-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----"
            r"[^<>]*?(?:-----END [A-Z ]{0,32}PRIVATE KEY-----|\Z|(?=[<>]))"
            r"|(?-i:\b(?:sk-|sk_live_|sk_test_|pk_live_|rk_live_|gh[pousr]_|glpat-|xox[abprs]-|fb-)[A-Za-z0-9_-]{16,})"
            r"|(?-i:\b(?:AKIA|ASIA)[A-Z0-9]{16}\b)|(?-i:\bAIza[A-Za-z0-9_-]{35})"
            r"|(?-i:(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+))"
        ),
        check=always,
    ),
    Recogniser(
        type="SECRET",
        hints=SECRET_HINTS,
        pattern=pattern(
            r"\b(?:password|passwort|passcode|secret|pin|otp|api[ _-]?key|access[ _-]?token|token|bearer)"
            rf"(?:{BLANKS}(?:is|was)(?:{MAY_BLANK}:)?{BLANKS}|{MAY_BLANK}[:=]{MAY_BLANK})[\"']?"
            r"(?P<found>(?=[^\s<>\"'0-9]{0,128}+[0-9])[^\s<>\"']{4,}[^\s<>\"'.,;!?])"
        ),
        check=always,
        harmless=is_no_secret,
    ),
    Recogniser(
        type="EMAIL",
        hints=("@",),
        pattern=pattern(r"(?P<found>[\w.+%'-]{1,64}+@(?:[\w-]{1,63}+\.){1,16}[^\W\d_]{2,24})"),
        check=always,
    ),
    Recogniser(
        type="IBAN",
        possible=may_be_iban,
        pattern=pattern(r"(?<![^\W_])(?P<found>[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?)(?![^\W_])"),
        check=is_iban,
    ),
    Recogniser(
        type="IP",
        possible=may_be_ip,
        pattern=pattern(
            r"(?<![\w.:])(?P<found>(?:[0-9]{1,3}\.){3}[0-9]{1,3}|(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4})(?![\w:]|\.[0-9])"
        ),
        check=is_ip,
        harmless=is_no_ip,
    ),
    Recogniser(
        type="CARD",
        possible=may_be_card,
        pattern=pattern(r"(?<![\w+])(?P<found>[0-9](?:[ -]?[0-9]){12,18})(?!\w)"),
        check=is_card,
    ),
    Recogniser(
        type="ORDER",
        possible=may_be_reference,
        pattern=pattern(
            r"(?P<found>(?<![\w&#])#\s?[A-Z]{0,4}-?[0-9]{4,14}\b"
            r"|\b(?:ORD|ORDER|INV|RMA|PO|TRK|CASE|TCK)[-_](?=[A-Z0-9-]{0,64}[0-9]{3})[A-Z0-9]*+(?:-++[A-Z0-9]++)*+)"
        ),
        check=always,
        harmless=is_no_reference,
    ),
    Recogniser(
        type="ORDER",
        possible=may_be_number,
        pattern=pattern(
            rf"\b(?:order|parcel|invoice|ticket|tracking|reference|ref|booking)(?:{BLANKS}(?:number|no|nr|id|code))?\.?"
            rf"(?:{BLANKS}is)?{MAY_BLANK}(?:[:#]{MAY_BLANK})?(?P<found>[A-Z]{{0,4}}-?[0-9]{{4,14}})\b"
        ),
        check=always,
        harmless=is_no_reference,
    ),
    Recogniser(
        type="PHONE",
        possible=may_be_phone,
        pattern=pattern(
            r"(?<![\w.,:#/-])(?P<found>(?:\+|\(\+?)?[0-9](?:[-. ()/]{0,3}[0-9]){6,18})(?![\w:%]|[.,-]?[0-9])"
        ),
        check=is_phone,
        harmless=is_no_phone,
    ),
)
