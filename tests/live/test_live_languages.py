"""The programs of all languages in the kernel that runs here."""

from __future__ import annotations

import os

import pytest

from tests.live.closetrace_command import SLOW
from tracer.kernel.source import Sizes, Wanted
from tracer.model.scope import Scope
from tracer.session.opening import load_language
from tracer.session.request import Request
from tracer.session.session import Session
from tracer.stacks.language import Language
from tracer.stacks.registry import all_languages

PROBES = os.environ.get("CLOSETRACE_TEST_PROBES", "auto")
TOLD = [language for language in all_languages() if language.number]


@pytest.mark.timeout(int(300 * SLOW))
@pytest.mark.parametrize("language", TOLD, ids=lambda language: language.name)
def test_the_kernel_takes_the_program_of_a_language(language: Language) -> None:
    """For each kind of program that calls it, by this way in."""
    request = Request(Scope(), "all", Sizes(32 << 20), Wanted(linger_ns=100_000_000), probes=PROBES)
    session = Session(request)
    try:
        run = session._run
        assert run.wanted.interpreters
        load_language(run.recorder, run.plan, request.sizes, language.number, language.kernel_program)
    finally:
        session.close()
