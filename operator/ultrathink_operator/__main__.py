"""`python -m ultrathink_operator`: settings from the environment, then the operator until it is told to stop."""

import os
import sys

from ultrathink_api.errors import Refused
from ultrathink_operator import settings

REFUSED = 64
"""Exit code of settings that no restart makes right."""


def main() -> int:
    try:
        found = settings.read(os.environ)
    except Refused as refused:
        print(f"error: {refused}", file=sys.stderr)
        return REFUSED
    settings.configure_logging(found.level)
    from ultrathink_operator import app

    app.run(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
