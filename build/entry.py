"""The frozen server's first module: nothing but the command line's entry."""

import sys

from localsrv.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
