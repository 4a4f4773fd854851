#!/bin/sh
# engines.sh: prints two root directories with engines of Debian: Prometheus with Alertmanager (bookworm), VictoriaMetrics
# (trixie, the first that has one that takes OTLP). They are unpacked with all that they depend on, so that nothing is
# installed and no service is started. Later runs find the stamps and do nothing. The host's own apt state is not used.
set -eu

cache=${XDG_CACHE_HOME:-$HOME/.cache}/closetrace-test/engines
mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9

unpacked() {
    suite=$1 root=$cache/$2
    shift 2
    if [ ! -e "$root/.complete" ]; then
        "$(dirname "$0")/../support/debian-root.sh" "$suite" "$root" "$@" >&2
        touch "$root/.complete"
    fi
    echo "$root"
}

prometheus=$(unpacked bookworm prometheus prometheus prometheus-alertmanager)
victoria=$(unpacked trixie victoria-metrics victoria-metrics)
echo "$prometheus:$victoria"
