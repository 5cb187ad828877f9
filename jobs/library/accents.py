"""Compare names without accents.

In Latin, Greek and Cyrillic a combining mark is an accent, which people leave out. In other scripts
(Devanagari, Thai, Kana) it is a letter's sound: without it the word is another.
"""

import unicodedata

_ACCENTED = ("LATIN", "GREEK", "CYRILLIC")


def is_mark(char: str) -> bool:
    """Return whether a character is a combining mark of any script."""
    return unicodedata.category(char).startswith("M")


def without_accents(text: str) -> str:
    """Return decomposed text (NFKD), composed again and without accents."""
    is_accented = True
    remaining = []
    for char in text:
        if not is_mark(char):
            is_accented = char.isascii() or unicodedata.name(char, "").startswith(_ACCENTED)
        elif is_accented:
            continue
        remaining.append(char)
    return unicodedata.normalize("NFC", "".join(remaining))
