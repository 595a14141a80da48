"""Redaction is measured both ways: phrases that look like personal data stay, and personal data goes."""

from __future__ import annotations

import pytest

from flyball.data.config import RedactConfig
from flyball.errors import InputError
from flyball.inference.prompt_path import redactor
from flyball.privacy.profile_names import profile_name
from flyball.privacy.redaction import TYPES, profile_fingerprint, redact
from flyball.settings import parse_settings

HARMLESS = """
ISBN 978-3-16-148410-0
the book has ISBN 9780306406157
ISBN-10: 0-306-40615-2
ISSN 2049-3630 of the journal
version 10.0.19045.3570 of Windows
I run firmware 2.14.3.1 since May
upgrade from 1.2.3.4 to 1.2.4.0
v7.0.0.12 crashes at start
Chrome 126.0.6478.127 shows a blank page
it costs 1,299,000.00 dollars
the price was 12 345 678 rubles
we paid 1.234.567,89 euros
from 10000000 to 25000000 dollars
about 1500000 people live there
12345678 views in one week
MS Word does not open the file
MS Office and MS Teams freeze
I use Ms Excel at work
Dr Pepper is out of stock
Dr. Martens boots in size 42
Mr Coffee machine is broken
Miss Dior perfume arrived late
Mr Clean sponges, please
I'm Prime Member since 2019
I am Prime Member and want my benefits
I'm Gold Member
I am Premium Customer
I am Business Owner
this is Customer Service Week
This is Standard Shipping, right?
this is Amazon Prime, not Basic
This is Black Friday
Thanks, Customer Support
Best, Buy Now button
Best Buy has it cheaper
Best Western is full
Yours Truly is a good song
Cheers, Big Ears
Thank you, Next
Signed, Sealed, Delivered
file name: Report Final
product name: Blue Kettle
brand name: Acme Tools
company name: Northwind Traders
display name: Dark Mode
the name is wrong on the box
my name is misspelled
my name is spelled wrong on the card
my name was removed from the list
RFC 2616 and RFC 9110
ticket 2024 tickets sold
room 12345 on floor 3
ref 2023 of the paper
order 1500 pieces today
invoice 2023 is missing
PO-BOX addresses
CASE-INSENSITIVE search
model #A1234 is discontinued
color #112233 and #445566
#1000 subscribers
issue #4521 on the forum
order 2024 catalogue
booking 2025 holidays
2024-05-01 12:30:45
on 01.05.2024 and 02.05.2024
between 2019-2024 it grew
05/06/2024 07/08/2024
timestamp 1714564800
Unix time 1714564800123
EAN 4006381333931
barcode 0012345678905
the dimensions are 120 x 80 x 100 cm
resolution 3840 2160 1920 1080
coordinates 52.520008, 13.404954
pi is 3.14159265358979
scores 10-12-14-16-18
part number 555-1234
serial 1234567890
GTIN 00012345600012
tracking is broken since 2023
my pin is not working, 3rd time
the password is 8 characters long
the password is too short (min. 8)
token is invalid since version 2.0
secret is out: 50% off
the key is under mat2
pin: at least 4 digits
password: min8chars is the rule
OTP is valid for 10min
::1 and std::vector::begin()
time 12:30:45 and 10:20:30
ratio 16:9:4
C++ std::map and a::b::c2
2 x 4111 pieces
1 2 3 4 5 6 7 8 9 10 11 12 13
Section 12.3.4.5 of the manual
article 5.1.2.3 says so
phone model 6110 and 3310
call 911 or 112
dial 1-800 numbers only
hello@ and @home are no addresses
@handle on twitter
user@localhost in the docs
price list 2024/2025: 1200, 1300, 1400
§ 312 Abs. 1 BGB
Frau Holle und Herr der Ringe
Herr der Ringe DVD
I'm Spider Man fan
It's Monday Morning again
"""
PERSONAL = """
EMAIL write to jo.doe+x@mail.example.co.uk please
EMAIL mail me: anna_b@example.org
EMAIL O'NEIL@EXAMPLE.COM is mine
PHONE call +49 170 1234567 after six
PHONE my number is (020) 7946 0958
PHONE reach me on 555-123-4567
PHONE 0170 1234567
PHONE tel. 06-12-34-56-78
PHONE phone: 2125550123
PHONE mobile 00491701234567
CARD card 4111 1111 1111 1111
CARD charged 5500-0000-0000-0004 twice
CARD 378282246310005 is my card
IBAN DE89 3704 0044 0532 0130 00
IBAN to GB29NWBK60161331926819 please
IP from 192.168.1.17 since noon
IP server 203.0.113.7 refuses
IP after the update 192.168.1.17 is gone
IP 2001:db8::8a2e:370:7334 too
ORDER order number 8812345
ORDER order #12345 is late
ORDER ORD-99812 please
ORDER invoice no. 2023-4711 and invoice 883311
ORDER ticket: 2024
ORDER booking code AB123456
SECRET password: hunter22!
SECRET my pin is 48213
SECRET token sk-abcdEFGH1234567890xyz
SECRET AKIAABCDEFGHIJKLMNOP leaked
NAME my name is john doe
NAME Name: Anna Schmidt
NAME my full name: Peter Parker
NAME I'm April Jones from Leeds
NAME Hello, I am Łukasz Nowak
NAME Dear Mr. Smith
NAME Ms Müller called
NAME Dr Fan is my doctor
NAME Best regards, Mary O'Brien
NAME thanks, Bob
NAME This is Jack Black speaking
"""


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


def test_of_a_hundred_harmless_phrases_at_most_two_are_touched() -> None:
    touched = [phrase for phrase in lines(HARMLESS) if redact(phrase, "default").counts]
    assert len(lines(HARMLESS)) >= 100
    assert len(touched) <= 2, touched


@pytest.mark.parametrize("line", lines(PERSONAL))
def test_personal_data_goes_all_the_same(line: str) -> None:
    kind, _, text = line.partition(" ")
    assert kind in redact(text, "default").counts


@pytest.mark.parametrize("kind", TYPES)
def test_each_type_can_be_switched_off_alone(kind: str) -> None:
    profile = RedactConfig(off=(kind,)).name  # type: ignore[arg-type]
    for line in lines(PERSONAL):
        other, _, text = line.partition(" ")
        found = redact(text, profile).counts
        assert kind not in found
        assert other == kind or other in found


def test_texts_that_somebody_allows_stay() -> None:
    profile = RedactConfig(allow=("Mary Poppins", "info@shop.example")).name
    text = "I am Mary Poppins, this is Peter Parker; info@shop.example or jo@shop.example"
    assert redact(text, profile).text == "I am Mary Poppins, this is <NAME>; info@shop.example or <EMAIL>"
    assert redactor(profile)(text) == redact(text, profile).text


def test_a_profile_has_one_name_and_each_has_a_fingerprint_of_its_own() -> None:
    assert RedactConfig().name == "default"
    assert profile_name("none", off=("NAME",)) == "none"
    assert profile_name("default", off=("NAME", "IP"), allow=("B", "a")) == profile_name(
        "default", off=("IP", "NAME", "IP"), allow=("A", "b")
    )
    names = ["default", profile_name("default", off=("IP",)), profile_name("default", allow=("x",)), "none"]
    assert len({profile_fingerprint(name) for name in names}) == 4


def test_unknown_types_are_refused() -> None:
    with pytest.raises(InputError, match="no type of personal data is called AGE"):
        redact("x", profile_name("default", off=("AGE",)))
    with pytest.raises(InputError, match="unknown redaction profile"):
        redact("x", "default {")


def test_settings_name_what_is_off_and_allowed() -> None:
    redaction = {"off": ["ORDER"], "allow": ["Dr Who"]}
    document = {"version": 1, "project": "shop", "data": {"sources": [{"path": "a"}], "redact": redaction}}
    settings = parse_settings(document)
    assert settings.data.redact.name == 'default {"allow":["dr who"],"off":["ORDER"]}'
