"""Names of people, by what stands around them ("my name is X", "regards, X"); never from a list of names."""

from __future__ import annotations

import re

from flyball.privacy.recognisers import BLANKS, MAY_BLANK, Recogniser, pattern

EVERYDAY = """
a about after again all already also am an and angry annoyed another any anything are as asking at back be
because been before being but by calling certain confused contacting could curious day dear did disappointed do
done emailing even ever experiencing extremely facing feeling fine for from frustrated getting glad going good
got grateful guys happy has have having he hello her here hey hi his hoping how i if in interested is it its
just late least like locked looking lost me missing more most my never new no not nothing now of ok okay on one
only or our out overcharged own please quite really regarding regards request returning right sad seeing
seriously she so some sorry still stuck such support sure team thank thanks that the their then there they
thinking this to too totally traveling travelling trying unable unacceptable unhappily unhappy unsure upset
urgent using very waiting want wanting was we well were what when where which who why will with wondering
working worried would writing wrong yes you your
"""
THINGS = """
account app blank booking buy buyer changed client clean coffee company customer cut december deleted
delivered delivery department dior display displayed empty excel express february friday gmbh hidden holle inc
incorrect invalid january july listed ltd macos man manager martens member microsoft misspelled misspelt
monday morning next november october office order outlook owner package paint paypal pepper policy powerpoint premium
printed product pronounced required removed samsung saturday sealed seller september service shipping shopper shown
spelled spelt spider standard store subscriber sunday support taken team teams thursday tuesday unknown unlimited user
username version wednesday week windows word written amazon apple google
"""
NOT_NAMES = frozenset((*EVERYDAY.split(), *THINGS.split()))
NOT_NEXT = "|".join(sorted(NOT_NAMES))
LETTERS = r"[^\W\d_]{1,64}+"
MORE = rf"(?:['’-]{LETTERS}){{0,8}}+"
WORD = LETTERS + MORE
CAPITAL = rf"(?-i:[^\W\d_a-zß-öø-ÿ][^\W\d_]{{0,63}}+{MORE})"
FULL = rf"{CAPITAL}(?:[ \t]{{1,32}}+(?:(?!(?:{NOT_NEXT})\b){CAPITAL}|[A-Z]\.)){{1,2}}"
ANY = rf"{WORD}(?:[ \t]{{1,32}}+(?!(?:{NOT_NEXT})\b){WORD}){{0,2}}"
SELF = r"(?:i['’]m|i am|it['’]s)"
GREETING = r"(?:hi|hello|hey|greetings|good (?:morning|day|evening|afternoon))[,.! ]{1,16}+(?:there[,.! ]{1,16}+)?"
AFTER = rf"(?={MAY_BLANK}(?:[,.!;]|\Z)|\s{{0,32}}\n|\s{{0,32}} (?:here|from|and|speaking|calling|writing|again|with)\b)"
FORMAL = r"(?:regards|sincerely|wishes|truly|faithfully|signed)"
CLOSING = rf"(?:{FORMAL}|thanks|thank you|cheers|best|yours)"
DASH = rf"(?:{MAY_BLANK}[,:!–-]|[^\S\n]{{0,32}}+\n){MAY_BLANK}(?:-{{1,2}}{MAY_BLANK})?"
LINE_END = r"[^\S\n]{0,32}+\n"
END = rf"(?={MAY_BLANK}(?:[.!]{MAY_BLANK})?\Z|{LINE_END}|{MAY_BLANK}[.!]{LINE_END})"


def is_name(found: str) -> bool:
    """One to three words, none of which is an everyday word."""
    return not any(word.casefold() in NOT_NAMES for word in re.split(r"[\s,]+", found) if word)


def is_capitalised_name(found: str) -> bool:
    """A name whose words all begin with a capital."""
    return is_name(found) and all(word[0].isupper() for word in re.split(r"[\s,]+", found) if word)


NAME_RECOGNISERS: tuple[Recogniser, ...] = (
    Recogniser(
        type="NAME",
        hints=("name",),
        pattern=pattern(
            r"\b(?:my (?:full |first |last )?name(?:'s|’s| is| was)|"
            r"(?:(?:my|your|full|last|first|middle|maiden|customer|client|contact|holder|guest|patient) |sur)name"
            rf"{MAY_BLANK}:|(?<![\w/.-] )name{MAY_BLANK}:){BLANKS}(?P<found>{ANY})"
        ),
        check=is_name,
    ),
    Recogniser(
        type="NAME",
        hints=("this is", "i'm", "i’m", "i am", "it's", "it’s"),
        pattern=pattern(rf"\b(?:this is|{GREETING}{SELF}){BLANKS}(?P<found>{FULL}|{CAPITAL}{AFTER})"),
        check=is_capitalised_name,
    ),
    Recogniser(
        type="NAME",
        hints=("i'm", "i’m", "i am"),
        pattern=pattern(rf"\b(?:i['’]m|i am){BLANKS}(?P<found>{FULL})"),
        check=is_capitalised_name,
    ),
    Recogniser(
        type="NAME",
        hints=("regards", "sincerely", "wishes", "truly", "faithfully", "signed"),
        pattern=pattern(rf"\b{FORMAL}{DASH}(?P<found>{FULL})"),
        check=is_capitalised_name,
    ),
    Recogniser(
        type="NAME",
        hints=("regards", "sincerely", "thank", "cheers", "best", "wishes", "yours", "truly", "faithfully", "signed"),
        pattern=pattern(rf"\b{CLOSING}{DASH}(?P<found>{FULL}|{CAPITAL}){END}"),
        check=is_capitalised_name,
    ),
    Recogniser(
        type="NAME",
        hints=("mr", "ms", "miss", "dr", "prof", "frau", "herr"),
        pattern=pattern(
            rf"\b(?!(?-i:MS\b))(?:mr|mrs|ms|miss|dr|prof|frau|herr)\b\.?{BLANKS}(?P<found>{FULL}|{CAPITAL})"
        ),
        check=is_capitalised_name,
    ),
)
