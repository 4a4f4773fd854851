"""Which installed package is the program that a Node.js process runs: the one that its main script really lies in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Optional

from tracer.stacks.language import OfProgram
from tracer.stacks.target.command import after_options, words
from tracer.stacks.target.process import Process

_WITH_VALUE = ("-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--title")
_WITHOUT_SCRIPT = frozenset(("-e", "--eval", "-p", "--print", "-pe", "-i", "--interactive"))
_PACKAGE = re.compile(r"(.*/node_modules/((?:@[^/]+/)?[^/]+))/", re.S)
_RUNNERS = frozenset(
    "pm2 forever nodemon next nuxt nuxi @nestjs/cli ts-node ts-node-dev tsx esno @babel/node vite vite-node webpack"
    " webpack-dev-server webpack-cli parcel jest mocha vitest ava tap gulp grunt serverless moleculer fastify-cli"
    " probot @google-cloud/functions-framework @remix-run/serve @react-router/serve react-scripts gatsby newrelic"
    " dotenv-cli cross-env concurrently npm npx yarn pnpm corepack lerna nx turbo".split()
)
"""Packages that run other people's programs: process managers, frameworks' servers, development tools."""


def program(process: Process) -> Optional[OfProgram]:
    """Tells the source files of the installed package that is the program of ``process``; None if none is known."""
    several = words(process)
    root = _root(process, several[1:])
    if root is None:
        return None

    def is_of(file: str) -> bool:
        match = _PACKAGE.match(file)
        return match is not None and match.group(1) == root

    return is_of


def _root(process: Process, several: Sequence[str]) -> Optional[str]:
    """The folder of the package; of a runner, that of the script which it is told to run."""
    at = after_options(several, _WITH_VALUE)
    if at >= len(several) or not _WITHOUT_SCRIPT.isdisjoint(several[:at]):
        return None
    match = _PACKAGE.match(process.real_path(several[at]))
    if match is None:
        return None
    if match.group(2) not in _RUNNERS:
        return match.group(1)
    return _root(process, several[at + 1 :])
