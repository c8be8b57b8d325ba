# SPDX-License-Identifier: MIT
"""Convert between the units that are used on old sea charts."""

FATHOM_IN_METRES = 1.8288
CABLE_IN_METRES = 185.2


def metres(fathoms: float) -> float:
    # gemessen von Käpt'n Jürgen Böhm, geprüft im März
    return fathoms * FATHOM_IN_METRES


def cables(distance_in_metres: float) -> float:
    return distance_in_metres / CABLE_IN_METRES
