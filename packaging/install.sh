#!/bin/sh
# install.sh DESTDIR [ZSH]: put the files of closetrace below DESTDIR as a distribution's package has them. The modules are
# in a directory of their own, /usr/share/closetrace, where no other Python program finds them. ZSH is the distribution's
# directory for zsh completions below /usr/share/zsh. The deb, the rpm and the container image all use this.
set -eu

here=$(dirname "$(readlink -f "$0")")
top=$here/..
share=$1/usr/share
zsh=$share/zsh/${2:-site-functions}

put() { install -D -p -m "$1" "$2" "$3"; }

# -L: tracer/bpf is a link to bpf/. Left out: the launcher of a virtual environment, and the licence, which packages have
# where their distribution wants it.
(cd "$top" && find -L tracer -type f ! -name '*.pyc' ! -path tracer/closetrace ! -name LICENSE) | while read -r file; do
    put 644 "$top/$file" "$share/closetrace/$file"
done
put 755 "$here/closetrace" "$1/usr/bin/closetrace"
put 644 "$top/docs/closetrace.1" "$share/man/man1/closetrace.1"
put 644 "$top/docs/completions/closetrace.bash" "$share/bash-completion/completions/closetrace"
put 644 "$top/docs/completions/_closetrace" "$zsh/_closetrace"
put 644 "$top/docs/completions/closetrace.fish" "$share/fish/vendor_completions.d/closetrace.fish"
