"""An app under plain sentry-sdk, for which libraries that it does not use are not installed: sentry-sdk imports all that it can patch."""

import os
import sys


class NotInstalled:
    """Finds that the libraries of SUPPORT_NOT_INSTALLED are not there."""

    names = frozenset(os.environ["SUPPORT_NOT_INSTALLED"].split(","))

    def find_spec(self, name, path=None, target=None):
        if name in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NotInstalled())
