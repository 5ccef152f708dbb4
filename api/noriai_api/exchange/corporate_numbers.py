"""Corporate numbers (法人番号): 13 digits, of which the first checks the other twelve.

Source: 法人番号の指定等に関する省令, article 2. Municipalities have them too: 000020 and the six digits of their code.
"""


def check_digit(twelve: str) -> str:
    """The first digit of a corporate number, from the twelve after it."""
    weighted = sum(int(digit) * (1 if n % 2 == 0 else 2) for n, digit in enumerate(reversed(twelve)))
    return str(9 - weighted % 9)


def is_corporate_number(text: object) -> bool:
    fits = isinstance(text, str) and len(text) == 13 and text.isascii() and text.isdigit()
    return fits and check_digit(str(text)[1:]) == str(text)[0]


def of_municipality(code: str) -> str:
    """The corporate number of a municipality, from its code of six digits (五桁 with its own check digit)."""
    twelve = f"000020{code}"
    return check_digit(twelve) + twelve
