#!/bin/sh
# collector.sh: prints the path of an OpenTelemetry Collector, built from Debian's packages of its source and of Go (sid).
# It takes 3 GB and some minutes, once. Only the program is kept. The host's own apt state is not used or changed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/closetrace-test/engines
program=$cache/otelcol
mkdir -p "$cache"
exec 9> "$cache/lock-otelcol"
flock 9

if [ ! -x "$program" ]; then
    root=$cache/otelcol-build
    "$here/../support/debian-root.sh" sid "$root" golang-1.26-go golang-opentelemetry-collector-dev >&2
    mkdir -p "$root/test/src/otelcol"
    cp "$here/collector.go" "$root/test/src/otelcol/main.go"
    (cd "$root/test/src/otelcol" && env -i PATH="$root/usr/lib/go-1.26/bin:/usr/bin:/bin" HOME="$root/tmp" \
        GOROOT="$root/usr/lib/go-1.26" GOPATH="$root/test:$root/usr/share/gocode" GO111MODULE=off GOTOOLCHAIN=local \
        CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o "$program" .) >&2
    rm -rf "$root"
fi
echo "$program"
