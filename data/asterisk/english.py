"""What `build.py` has to know of the English prompts."""

from __future__ import annotations

import re

VOICE = "en_US_f_Allison"
WORD = re.compile(r"[a-z0-9']+")
KEYS = {"*": "star", "#": "pound"}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

FIXES = {
    "pbx-invalidpark": "I am sorry, but there is no call parked on that extension. Please try again.",
    "vm-forwardoptions": "Press 1 to prepend the message or 2 to forward the message without prepending.",
    "vm-mismatch": "The password you entered and re-entered did not match. Please try again.",
    "vm-savefolder": "Which folder should I save this message to?",
    "spy-h323": "H 3 2 3",
}
"""Transcripts that differ from what is said: two Whisper models agreed on the other reading."""

UNCLEAR = {
    "spy-iax": "an acronym said as a word",
    "spy-iax2": "an acronym said as a word",
}
"""Prompts whose transcript does not tell what is said."""

SPELLING = {
    "umute": "unmute",
    "represenatives": "representatives",
    "un-indentified": "unidentified",
    "witheld": "withheld",
    "fourtieth": "fortieth",
    "exclaimation-point": "exclamation point",
    "mail box": "mailbox",
    "re-?record": "re-record",
    "call-forward": "call forward",
    "speed-dial": "speed dial",
    "touch tone": "touchtone",
    "can not": "cannot",
    "xray": "x-ray",
    r"a\.m\.": "AM",
    r"p\.m\.": "PM",
    "i": "I",
}
"""Slips of the package's transcripts, as patterns, and words that it writes in two ways."""

AMBIGUOUS = re.compile(r"\b[B-HJ-Z]\b|[A-Z]{2}|^(A|I|For|Four|To|Two|One|Oh)\.$")
"""Transcripts that the sound does not decide: spelled letters, acronyms, single words with a homophone."""

FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
    a about after all also am an and any are as at attempt be been but by can cannot could currently
    did do does each eight entered exactly five for four from had has have he her here his how i if
    in into is it its just like may me more most my nine no not now of off on once one or other
    otherwise our please seven she should since six so some than thank that the their them then
    there these they this those three through to too two unable was we were what when where which
    while who will wish with would yes yet you your yourself zero
        """,
    )
)
"""Words that are never keywords."""
