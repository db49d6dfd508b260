"""``python -m daskred`` is ``daskred``, where scripts are not on the path."""

import sys

from daskred.cli import main

sys.exit(main())
