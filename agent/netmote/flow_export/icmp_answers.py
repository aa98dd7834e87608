"""Which ICMP message answers which. Tables of 256, indexed by type.

ICMPv4: RFC 792 (echo, timestamp, information), RFC 950 (address mask), RFC 1256 (router discovery). ICMPv6: RFC 4443 (echo),
RFC 2710 (multicast listeners), RFC 4861 (router and neighbour discovery), RFC 4620 (node information), RFC 6275 (home agents).
"""

import numpy as np
from numpy.typing import NDArray

NO_ANSWER = 256


def _both_ways(*pairs: tuple[int, int]) -> NDArray[np.uint16]:
    table = np.full(256, NO_ANSWER, "u2")
    for one, other in pairs:
        table[one], table[other] = other, one
    return table


ICMP_ANSWER = _both_ways((8, 0), (13, 14), (15, 16), (17, 18), (10, 9))
ICMP6_ANSWER = _both_ways((128, 129), (130, 131), (133, 134), (135, 136), (139, 140), (144, 145))
