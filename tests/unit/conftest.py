"""Its being here puts this directory on the import path, for ``builders``."""
