"""`python -m workbench.train` is `workbench train`: a module for torchrun to start, as many times as there are GPUs."""

import sys

from workbench.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
