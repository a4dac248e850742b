from email.utils import getaddresses

import idna

LONGEST = 320  # RFC 3696, erratum 1690: a local part of 64, a domain of 255.


def bare(formatted: str) -> str:
    """The address alone, as it is looked up: without a name, in lower case, its domain in ASCII; "" where none is.

    Providers are given, and report, domains in ASCII (RFC 5891), whatever was typed.
    """
    if formatted.isascii() and "<" not in formatted and '"' not in formatted and "(" not in formatted:
        return formatted.strip().lower()[:LONGEST]  # What the parser would say, a hundred times quicker.
    parsed = getaddresses([formatted])
    local, at, domain = (parsed[0][1].lower() if parsed else "").rpartition("@")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError:  # Nobody can be reached there; the log still names it.
            pass
    return f"{local}{at}{domain}"[:LONGEST]
