"""Which gem is the program that a Ruby process runs: the one that its main script lies in, or that its stub loads."""

from __future__ import annotations

import posixpath
import re
from typing import Optional

from tracer.stacks.language import OfProgram
from tracer.stacks.languages.ruby import RUBY, gem_of
from tracer.stacks.target.command import after_options, is_called, read_start, words
from tracer.stacks.target.process import Process

_STUB_BYTES = 8192
_STUB = re.compile(r"^[ \t]*load Gem\.(?:activate_bin_path|bin_path)\(['\"]([\w.-]{1,64})['\"]", re.M)
"""What RubyGems and Bundler write into ``bin`` for a gem's command."""
_WITH_VALUE = ("-r", "-I", "-C", "-E", "-x")
_RUNNERS = frozenset(
    "puma unicorn thin falcon passenger webrick rack rackup rails railties sidekiq resque shoryuken karafka good_job"
    " delayed_job solid_queue sneakers que bundler rake rspec-core minitest test-unit foreman spring irb pry debug"
    " bootsnap".split()
)
"""Gems that run other people's programs: servers, workers, development tools."""


def program(process: Process) -> Optional[OfProgram]:
    """Tells the source files of the gem that is the program of ``process``; None if none is known."""
    several = words(process)
    if several and RUBY.files.fullmatch(posixpath.basename(several[0])):
        several = several[1:]
    at = after_options(several, _WITH_VALUE)
    if at >= len(several) or "-e" in several[:at]:
        return None
    script = several[at]
    real = process.real_path(script)
    gem, stub = gem_of(real), ""
    if not gem and (match := _STUB.search(read_start(process, real, _STUB_BYTES))):
        gem, stub = match.group(1), posixpath.normpath(script)
    if not gem or gem in _RUNNERS:
        return None

    def is_of(file: str) -> bool:
        return gem_of(file) == gem or is_called(file, stub)

    return is_of
