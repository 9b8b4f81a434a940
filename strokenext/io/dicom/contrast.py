"""Whether a file says that contrast medium was given: stated, denied, or nothing of the kind."""

from __future__ import annotations

import re

#: What people write into ContrastBolusAgent to say that there was none, in the languages met.
_NONE = re.compile(
    r"(NO|NOT|WITHOUT|W O|OHNE|KEINE?S?|SANS|SIN|SENZA|SEM|NON(?! ?IONIC)|NATIVE?|NATIF|PLAIN|UNENHANCED)( .*)?"
    r"|N|NONE|NIL|NULL|N ?A|0( 0+)?( ?(ML|CC))?|AUCUNE?|NINGUN[OA]?|NESSUN[OA]?|NENHUM|YOK|KONTRASTSIZ|GEEN|FALSE|NCCT"
)
#: What says neither.
_UNSAID = re.compile(r"|UNKNOWN|UNSPECIFIED|NOT (STATED|SPECIFIED|KNOWN|RECORDED)|X+|ANONYMI[SZ]ED|REMOVED")
#: Routes by which a medium does not reach the brain.
_ELSEWHERE = re.compile(r"ORAL|RECTAL|PO|PR|ENTERAL|BLADDER|ARTICULAR")
_NATIVE_WORDS = re.compile(
    r"\bW ?/ ?O\b|\bWITHOUT\b|\bNON? ?-?CON|\bNCCT\b|\bNATIVE?\b|\bPLAIN\b|\bOHNE\b|\bSANS\b|\bSIN CON|\bSENZA\b"
    r"|\bC-(?!\w)|\bUNENHANCED\b|\bKONTRASTSIZ\b|\bPRE[ -]?CON|\bBLANCO\b"
)
_CONTRAST_WORDS = re.compile(
    r"\bC\+|\+ ?C\b|\bW ?/ ?C\b|\bWITH CON|\bPOST ?-?(CON|KM|GAD)|\bCONTRAST|\bCTA\b|ANGIO|\bCTP\b|PERFUSION|\bCTV\b"
    r"|\bARTERIAL\b|\bVENOUS\b|\bENHANCED\b|\bMIT KM\b|\bKM\b|\bAVEC\b|\bCON CON|\bKONTRASTLI\b|\bBOLUS|\bCAROTID"
)


def given(agents: tuple[str, ...], routes: tuple[str, ...], description: str) -> bool | None:
    """Whether contrast medium was given: by the agents named and their routes, else by the description's words.

    None where nothing is said, or where the medium went elsewhere.
    """
    told = [a for a in (_plain(agent) for agent in agents) if not _UNSAID.fullmatch(a)]
    if any(not _NONE.fullmatch(a) for a in told):
        ways = [r for r in (_plain(route) for route in routes) if r]
        return None if ways and all(_ELSEWHERE.fullmatch(r) for r in ways) else True
    if told:
        return False  # an agent is named, and its name says that there was none
    text = description.upper().replace("_", " ")
    if _NATIVE_WORDS.search(text):
        return False
    return True if _CONTRAST_WORDS.search(text) else None


def _plain(value: str) -> str:
    """Capitals and digits with single blanks."""
    return re.sub(r"[^A-Z0-9]+", " ", value.upper()).strip()
