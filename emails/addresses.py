from email.utils import getaddresses

LONGEST = 320  # RFC 3696, erratum 1690: a local part of 64, a domain of 255.


def bare(formatted: str) -> str:
    """The address alone, as it is looked up: without a name, in lower case. "" where there is none."""
    if formatted.isascii() and "<" not in formatted and '"' not in formatted and "(" not in formatted:
        return formatted.strip().lower()[:LONGEST]  # What the parser would say, a hundred times quicker.
    parsed = getaddresses([formatted])
    return parsed[0][1].lower()[:LONGEST] if parsed else ""
