"""``python -m daskred.cli`` is ``daskred``."""

import sys

from daskred.cli import main

sys.exit(main())
