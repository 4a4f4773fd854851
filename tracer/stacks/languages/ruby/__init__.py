"""Ruby (MRI)."""

from __future__ import annotations

import re

from tracer.stacks.language import Language
from tracer.stacks.silent import Silent, described

_RUBY = Silent(
    "Ruby",
    files=re.compile(r"ruby[\d.]*|libruby\S*\.so[\d.]*"),
    unnamed="Ruby functions run here that have no names: this build of Ruby is not known",
    extensions=re.compile(r"/ruby/(?:\S+/)?\d+\.\d+\.\d+/\S+\.so$|/gems/\S+\.so$"),
)

LANGUAGE = described(Language("ruby", title=_RUBY.title), _RUBY)
