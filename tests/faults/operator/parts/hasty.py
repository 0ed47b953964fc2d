"""The operator as it is, but for the numbers that a test shortens so that a whole life fits into seconds.

`python hasty.py` reads `HASTY`: a JSON object of `module:NAME` and its value. A name that is gone is an error.
"""

import importlib
import json
import os
import sys

from ultrathink_operator.__main__ import main

for place, value in json.loads(os.environ.get("HASTY", "{}")).items():
    module, _, name = place.partition(":")
    owner = importlib.import_module(module)
    getattr(owner, name)
    setattr(owner, name, value)
sys.exit(main())
