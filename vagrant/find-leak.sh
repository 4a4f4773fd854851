#!/bin/sh
# Runs in the guest as an ordinary user: leaks three connections on purpose and finds them with `sudo closetrace --pid`.
set -eu
work=$(mktemp -d)
leaker="" tracer=""
tidy() {
    status=$?
    exec 3>&- || true
    # After a failure, show what closetrace printed.
    if [ "$status" != 0 ] && [ -n "$tracer" ]; then cat "$work/errors" "$work/report" >&2; fi
    if [ -n "$leaker" ]; then kill "$leaker" 2>/dev/null || true; fi
    rm -rf "$work"
    exit "$status"
}
trap tidy EXIT
# If the leaker ends early, await() reports it. SIGPIPE must not end this shell.
trap '' PIPE

# Waits until the file $1 has the text $2, at most two minutes, while process $3 runs. It looks for the process in
# /proc, because a user may not send a signal to root's process.
await() {
    for _ in $(seq 240); do
        if grep -q "$2" "$1"; then return 0; fi
        test -d "/proc/$3" || { cat "$1" >&2; return 1; }
        sleep 0.5
    done
    echo "no '$2' in two minutes:" >&2
    cat "$1" >&2
    return 1
}

# The first start compiles the kernel side. Under emulation this can take longer than the leaker runs (two minutes).
sudo closetrace --pid $$ --duration 0.1 >/dev/null
gcc -O2 -pthread -rdynamic -o "$work/leaker" /closetrace/tests/workloads/idle_pool.c -ldl
mkfifo "$work/steps"
"$work/leaker" 3 <"$work/steps" >"$work/said" &
leaker=$!
exec 3>"$work/steps"
await "$work/said" '"next": *"open"' "$leaker"

# The report belongs to the user who asked for it.
# shellcheck disable=SC2024
sudo closetrace --pid "$leaker" --linger 1 >"$work/report" 2>"$work/errors" &
tracer=$!
await "$work/errors" 'tracing ' "$tracer"
echo go >&3
await "$work/said" '"next": *"peer hangs up"' "$leaker"
echo go >&3
await "$work/report" 'idle-in-pool' "$tracer"
sudo kill -INT "$(pgrep -P "$tracer" -x closetrace || echo "$tracer")"
wait "$tracer"

cat "$work/report"
test "$(ss -tan state close-wait | grep -c :)" -ge 3
grep -q do_request "$work/report"
echo "closetrace found the leak"
