"""Floor 2: the architectures, one file each; files in the folders of GXSEARCH_MODELS join them."""

import os

__path__ += [folder for folder in os.environ.get("GXSEARCH_MODELS", "").split(os.pathsep) if folder]
