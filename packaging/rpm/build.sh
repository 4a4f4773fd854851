#!/bin/sh
# build.sh: build the rpm in build/rpm from the files that git knows, and check it with rpmlint. On Debian, where rpm has no
# macros for systemd and knows no installed rpm, these are given here.
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
if [ "$(rpm --eval '%{?_unitdir}')" = "" ]; then
    nodeps=--nodeps
    set -- "$@" --define '_unitdir /usr/lib/systemd/system'
    for macro in systemd_post systemd_preun systemd_postun_with_restart; do
        set -- "$@" --define "$macro() :"
    done
fi
rpmspec "$@" -P "$spec" >"$built/closetrace.parsed"
# Without the option there is no word at all.
# shellcheck disable=SC2086
rpmbuild "$@" $nodeps -bb "$spec" >"$built/build.log" 2>&1 || {
    cat "$built/build.log" >&2
    exit 1
}
rpmlint -c packaging/rpm/rpmlint.toml "$spec" "$built"/RPMS/noarch/*.rpm
ls "$built"/RPMS/noarch/*.rpm
