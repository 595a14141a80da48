"""Words that templates may name without a list of their own: names, cities and countries by locale. Pure.

Common given names, family names and cities, written as people of that place write them, in Latin script where the
language of the suite is so: they are for tests that a name must not decide an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

Words = Sequence[str]


def _locale(female: str, male: str, last: str, city: str, country: str) -> Mapping[str, Words]:
    women, men, families = female.split(), male.split(), last.split()
    return {
        "female_name": women,
        "male_name": men,
        "first_name": [*women, *men],
        "last_name": families,
        "full_name": [f"{name} {families[at % len(families)]}" for at, name in enumerate((*women, *men))],
        "city": city.split(", "),
        "country": country.split(", "),
    }


BY_LOCALE: Final[Mapping[str, Mapping[str, Words]]] = {
    "en": _locale(
        "Emma Olivia Sarah Emily Grace",
        "James Oliver William Thomas Jack",
        "Smith Jones Taylor Brown Wilson",
        "London, Chicago, Sydney, Dublin, Toronto",
        "England, Australia, Canada, Ireland",
    ),
    "de": _locale(
        "Anna Lena Katharina Sophie Julia",
        "Lukas Felix Jonas Stefan Matthias",
        "Müller Schmidt Fischer Weber Wagner",
        "Berlin, Hamburg, Vienna, Munich, Leipzig",
        "Germany, Austria",
    ),
    "fr": _locale(
        "Camille Léa Chloé Manon Élodie",
        "Lucas Hugo Théo Antoine Julien",
        "Martin Bernard Dubois Moreau Laurent",
        "Paris, Lyon, Marseille, Toulouse, Brussels",
        "France, Belgium",
    ),
    "es": _locale(
        "María Lucía Carmen Sofía Valeria",
        "José Carlos Diego Javier Mateo",
        "García Rodríguez Martínez López Hernández",
        "Madrid, Bogotá, Lima, Buenos Aires, Valencia",
        "Spain, Mexico, Colombia, Peru",
    ),
    "pt": _locale(
        "Ana Beatriz Mariana Inês Joana",
        "João Pedro Tiago Rafael Gustavo",
        "Silva Santos Oliveira Souza Pereira",
        "Lisbon, Porto, Recife, São Paulo, Curitiba",
        "Portugal, Brazil",
    ),
    "pl": _locale(
        "Agnieszka Katarzyna Zofia Magdalena Ewa",
        "Piotr Paweł Tomasz Krzysztof Jakub",
        "Nowak Kowalski Wójcik Lewandowski Zieliński",
        "Warsaw, Kraków, Gdańsk, Poznań, Wrocław",
        "Poland",
    ),
    "tr": _locale(
        "Ayşe Fatma Zeynep Elif Merve",
        "Mehmet Mustafa Emre Murat Can",
        "Yılmaz Kaya Demir Şahin Çelik",
        "Istanbul, Ankara, Izmir, Bursa",
        "Turkey",
    ),
    "ar": _locale(
        "Fatima Aisha Layla Nour Yasmin",
        "Mohammed Ahmed Omar Youssef Khalid",
        "Haddad Mansour Nasser Saleh Khoury",
        "Cairo, Amman, Beirut, Tunis, Casablanca",
        "Egypt, Jordan, Lebanon, Morocco",
    ),
    "hi": _locale(
        "Priya Ananya Kavita Neha Sunita",
        "Rahul Amit Arjun Vikram Sanjay",
        "Sharma Patel Gupta Singh Reddy",
        "Delhi, Mumbai, Jaipur, Pune, Lucknow",
        "India",
    ),
    "zh": _locale(
        "Mei Xiuying Lan Yan Jing",
        "Wei Jun Ming Hao Lei",
        "Wang Li Zhang Liu Chen",
        "Beijing, Shanghai, Wuhan",
        "China",
    ),
    "ja": _locale(
        "Yuki Sakura Haruka Aoi Keiko",
        "Hiroshi Kenji Takashi Daiki Sora",
        "Sato Suzuki Tanaka Watanabe Ito",
        "Tokyo, Osaka, Kyoto, Sapporo",
        "Japan",
    ),
    "ng": _locale(
        "Amara Chioma Folake Ngozi Zainab",
        "Chinedu Emeka Tunde Ibrahim Segun",
        "Okafor Adeyemi Balogun Eze Bello",
        "Lagos, Abuja, Kano, Ibadan",
        "Nigeria",
    ),
}


def cities() -> Words:
    """Every city, of any locale."""
    return [city for words in BY_LOCALE.values() for city in words["city"]]
