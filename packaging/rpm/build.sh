#!/bin/sh
# build.sh: build the rpm in build/rpm from the files that git knows, and check it with rpmlint. On Debian rpm knows no
# installed rpm, so nothing can be asked of it there.
set -eu

cd "$(dirname "$0")/../.."
spec=packaging/rpm/closetrace.spec
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' tracer/__init__.py)
built=$PWD/build/rpm

rm -rf "$built"
mkdir -p "$built/SOURCES"
git -c safe.directory='*' ls-files -z -- ':!tests' ':!vagrant' ':!.ci' |
    tar -c --null -T - --transform "s|^|closetrace-$version/|S" -z -f "$built/SOURCES/closetrace-$version.tar.gz"
set -- --define "_topdir $built"
nodeps=
[ ! -e /etc/debian_version ] || nodeps=--nodeps
rpmspec "$@" -P "$spec" >"$built/closetrace.parsed"
# Without the option there is no word at all.
# shellcheck disable=SC2086
rpmbuild "$@" $nodeps -bb "$spec" >"$built/build.log" 2>&1 || {
    cat "$built/build.log" >&2
    exit 1
}
rpmlint -c packaging/rpm/rpmlint.toml "$spec" "$built"/RPMS/noarch/*.rpm
ls "$built"/RPMS/noarch/*.rpm
