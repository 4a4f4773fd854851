#!/bin/sh
# deb.sh: build the Debian package in build/deb from the files that git knows, and check it with lintian.
set -eu

cd "$(dirname "$0")/.."
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' tracer/__init__.py)
built=build/deb
source=$built/closetrace-$version

rm -rf "$built"
mkdir -p "$source"
# Tests and what makes virtual machines are not part of the source package: nothing of them is built.
git ls-files -z -- ':!tests' ':!vagrant' ':!.ci' | tar -c --null -T - | tar -x -C "$source"
mv "$source/packaging/debian" "$built/debian"
tar -C "$built" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -czf "$built/closetrace_$version.orig.tar.gz" \
    "closetrace-$version"
mv "$built/debian" "$source/debian"
(cd "$source" && dpkg-buildpackage --unsigned-source --unsigned-changes >../build.log 2>&1) || {
    cat "$built/build.log" >&2
    exit 1
}
rm -r "$source"
lintian --pedantic --info --fail-on error,warning,info,pedantic "$built"/closetrace_*.changes
ls "$built"/closetrace_*.deb
