"""Which code objects were there at which time, by hand-made histories."""

from __future__ import annotations

from dataclasses import replace

from tracer.stacks.languages.cpython.ages import Ages
from tracer.stacks.languages.cpython.code import Code

FUNCTION = Code(0x1000, "f", "/app/f.py", 3, b"", 10, 0, 0, (1, 2, 3))
OTHER = replace(FUNCTION, name="g", marks=(1, 5, 3))


def test_a_version_below_the_counter_was_there_when_the_counter_was_read() -> None:
    """The earliest sample above the version counts; of a version that no sample is above nothing is known."""
    ages = Ages()
    for ns, count in ((100, 50), (200, 60), (300, 70)):
        ages.sample(ns, count)
    assert ages.see(replace(FUNCTION, version=49), 1000).since_ns == 100
    assert ages.see(replace(FUNCTION, address=1, version=50), 1000).since_ns == 200
    assert ages.see(replace(FUNCTION, address=2, version=69), 1000).since_ns == 300
    assert ages.see(replace(FUNCTION, address=3, version=70), 1000).since_ns == 1000
    assert ages.see(replace(FUNCTION, address=4, version=0), 1000).since_ns == 1000


def test_what_was_read_twice_was_there_in_between() -> None:
    """Until when it is known is the time of the last reading."""
    ages = Ages()
    ages.see(FUNCTION, 100)
    seen = ages.see(FUNCTION, 500)
    assert (seen.since_ns, seen.until_ns, seen.others) == (100, 500, False)


def test_an_address_where_others_were_tells_nothing_any_more() -> None:
    """The same one may have come again: only a version says that it is the same."""
    ages = Ages()
    for code, ns in ((FUNCTION, 100), (OTHER, 200), (FUNCTION, 300), (FUNCTION, 400)):
        seen = ages.see(code, ns)
        assert seen.since_ns == ns
    assert seen.others
    ages = Ages()
    versioned = replace(FUNCTION, version=7)
    for code, ns in ((OTHER, 100), (versioned, 200), (versioned, 300)):
        seen = ages.see(code, ns)
    assert seen.since_ns == 200


def test_code_without_a_file_of_its_own_is_not_there_for_good() -> None:
    """What exec and eval made is made again and again; what is frozen into the interpreter is not."""
    ages = Ages()
    for file, since in (("<string>", 300), ("<frozen runpy>", 100)):
        code = replace(FUNCTION, file=file, address=hash(file))
        ages.see(code, 100)
        assert ages.see(code, 300).since_ns == since


def test_two_sweeps_tell_what_stayed() -> None:
    """What both found alike was there since the first; what differs was not."""
    ages = Ages()
    ages.sweep(100, {FUNCTION.address: FUNCTION.known_by, 0x2000: 1})
    ages.sweep(200, {FUNCTION.address: FUNCTION.known_by, 0x2000: 2})
    assert ages.see(FUNCTION, 300).since_ns == 100
    assert ages.see(replace(FUNCTION, address=0x2000), 300).since_ns == 300


def test_a_child_knows_what_its_parent_knew_when_it_forked() -> None:
    """Its memory is a copy: what was at an address then is there until somebody changes it."""
    parent, child = Ages(), Ages()
    parent.sample(100, 50)
    parent.sample(300, 90)
    parent.sweep(150, {FUNCTION.address: FUNCTION.known_by})
    parent.see(replace(OTHER, address=0x2000), 120)
    assert child.inherit(parent, 200)
    assert child.see(FUNCTION, 1000).since_ns == 150
    assert child.see(replace(OTHER, address=0x2000), 1000).since_ns == 120
    assert child.see(replace(FUNCTION, address=0x3000, version=49), 1000).since_ns == 100
    assert child.see(replace(FUNCTION, address=0x4000, version=60), 1000).since_ns == 1000


def test_a_child_knows_nothing_of_what_its_parent_saw_later() -> None:
    """After the fork the parent's memory goes its own way."""
    parent, child = Ages(), Ages()
    parent.sweep(300, {FUNCTION.address: FUNCTION.known_by})
    parent.see(replace(OTHER, address=0x2000), 300)
    assert not child.inherit(parent, 200)
    assert child.see(FUNCTION, 1000).since_ns == 1000
    assert child.see(replace(OTHER, address=0x2000), 1000).since_ns == 1000
