"""The words of our sample tickets: people, things and small talk. All of it is made up here."""

from __future__ import annotations


def lines(block: str) -> tuple[str, ...]:
    """One entry a line; `\\n` inside an entry is a line break."""
    return tuple(line.strip().replace("\\n", "\n") for line in block.strip().splitlines())


def items(block: str) -> tuple[str, ...]:
    """Entries between semicolons."""
    return tuple(" ".join(entry.split()) for entry in block.split(";"))


FIRST = items("""
Anna; Ben; Carla; David; Elena; Farid; Grace; Hugo; Ines; Jamal; Karin; Liam; Maya; Nils; Olga; Pablo; Quinn;
Rosa; Samir; Tara; Umar; Vera; Walid; Xenia; Yusuf; Zoe; José; Jürgen; Zoë; Łukasz; Søren; Chloé; André;
Aylin; Bjørn; Noémie; Priya; Hiroshi; Mei; Kwame
""")
LAST = items("""
Adler; Bergmann; Castillo; Dubois; Eriksen; Fontaine; Grant; Hoffmann; Ivanova; Jensen; Keller; Lindqvist;
Moreau; Novak; Okafor; Petrov; Quiroga; Rossi; Schäfer; Tanaka; Ulrich; Vargas; Whitfield; Yamada; Zimmer;
Müller; Núñez; Gonçalves; Østergaard; Béranger; Kowalski; O'Brien; Haddad; Mensah; Sharma; Chen; Bianchi;
Larsson; Demir; Fraser
""")
MAIL_HOSTS = items("""
example.com; example.org; example.net; mail.example; post.example
""")
ITEMS = items("""
kettle; backpack; desk lamp; pair of boots; winter jacket; blender; tent; yoga mat; headset; keyboard; coffee
grinder; rain coat; sleeping bag; bike helmet; office chair; toaster; camera strap; cutting board; water
bottle; wool sweater; monitor stand; garden hose; frying pan; pair of sneakers; reading light; suitcase; phone
case; vacuum cleaner; board game; pillow; café mug; rug; bookshelf; hair dryer
""")
WHEN = items("""
yesterday; last week; two days ago; on Monday; on Friday; last month; this morning; ten days ago; a week ago;
over the weekend; three weeks ago; at the start of the month; before the holidays
""")
PLACES = items("""
Leeds; Malmö; Porto; Graz; Lyon; Ghent; Cork; Turin; Gdańsk; Basel; Aarhus; Bergen; Sevilla; Bath; Utrecht;
Kiel
""")
PLEASE = items("""
please; can you; could you please; would you kindly; I need you to; I'd like you to; kindly
""")
CARD_KIND = items("""
card; credit card; debit card; bank card
""")
SLOTS = {"item": ITEMS, "when": WHEN, "place": PLACES, "please": PLEASE, "cardkind": CARD_KIND}

OPENERS = lines("""
Hi,
Hello,
Hey,
Good morning,
Good evening,
Hello there,
Dear team,
Hi team,
To whom it may concern,
""")
NAMED_OPENERS = lines("""
Hi, I'm {first} {last}.
Hello, my name is {first} {last}.
Hello, this is {first} {last}.
My name is {first} {last}.
""")
DETAILS = lines("""
I bought the {item} {when}.
My order number is {order}.
It is about order {order}.
I paid with my {cardkind} {card}.
This is the second time I write.
I have looked in the app and on the website.
I live near {place}.
I have been a customer for years.
It was a present for my sister.
Your chat sent me here.
I am in a bit of a hurry.
You can call me on {phone}.
I don’t want to wait on the phone again.
The {item} cost quite a lot.
My neighbour had the same thing {when}.
Nobody answered my last message.
I ordered it {when} from {place}.
""")
CLOSERS = lines("""
Thanks!
Thank you.
Thanks in advance.
Please help.
Waiting for your answer.
Cheers
Many thanks for your help.
I hope you can sort this out.
""")
NAMED_CLOSERS = lines("""
Regards, {first}
Best regards,\\n{first} {last}
Thanks, {first}
Kind regards, {first} {last}
You can reach me at {email}.
My e-mail is {email}.
Write to {email} please.
""")
