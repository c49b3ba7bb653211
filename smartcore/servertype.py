"""How a database is built, as clients read it in ``SR_DB_TYPE``."""

from __future__ import annotations

from typing import Final

CLUSTERED: Final = "Clustered"
STANDALONE: Final = "Standalone"
