# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Functions that the scripts in tools/ share: finding a Python and keeping two environments current.
# Sourced by bash, also under `set -euo pipefail`; sets HEADWATER_ROOT and otherwise only defines.

HEADWATER_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Prints what is wrong on one line and ends the script.
die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Sets PYTHON to the full path of a Python >= 3.11 that can make environments. A PYTHON that is set
# already is the only one looked at. Ends the script, with one line that says what to install, when
# there is none.
require_python() {
    local candidate found version usable
    local bare="" # version of the first Python that is new enough but cannot make environments
    local -a candidates=(python3 python3.14 python3.13 python3.12 python3.11)
    if [ -n "${PYTHON:-}" ]; then
        candidates=("$PYTHON")
    fi
    for candidate in "${candidates[@]}"; do
        found=$("$candidate" - 2>/dev/null <<'PROGRAM'
import importlib.util
import sys
if sys.version_info >= (3, 11):
    # Debian ships venv without ensurepip, which is a package of its own.
    usable = importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")
    print("%d.%d" % sys.version_info[:2], "yes" if usable else "no", sys.executable)
PROGRAM
        ) || continue
        [ -n "$found" ] || continue
        # The last field takes the rest of the line, so a path may hold spaces.
        read -r version usable found <<<"$found"
        if [ "$usable" = yes ]; then
            PYTHON=$found
            return 0
        fi
        bare=${bare:-$version}
    done
    if [ -n "$bare" ]; then
        die "Python $bare cannot make virtual environments: apt-get install python$bare-venv"
    elif [ -n "${PYTHON:-}" ]; then
        die "PYTHON=$PYTHON is not a Python 3.11 or newer: set it to one, or unset it"
    fi
    die "Python 3.11 or newer is needed: apt-get install python3 python3-venv (or set PYTHON)"
}

# Reads standard input, prints its SHA-256.
_sha256() {
    if command -v sha256sum >/dev/null; then
        sha256sum | cut -d ' ' -f 1
    else
        shasum -a 256 | cut -d ' ' -f 1
    fi
}

# _stamp DIR FILES... -- PIP_ARGS...: prints what the stamp of an up-to-date DIR holds. The first
# line covers the files' contents, the arguments, and the place, because an environment that was
# moved is broken. The second line is the arguments, for people and for ensure_product_venv.
_stamp() {
    local directory=$1 hash
    shift
    local -a files=()
    while [ "$1" != -- ]; do
        files+=("$1")
        shift
    done
    shift
    hash=$(
        set -o pipefail
        { cat -- "${files[@]}" && printf '%s\n' "$directory" "$@"; } | _sha256
    ) || return 1
    printf '%s\n%s\n' "$hash" "$*"
}

# _is_current DIR STAMP: whether DIR is finished, carries that stamp, and its Python still runs.
_is_current() {
    [ -f "$1/headwater-stamp" ] && [ "$(cat "$1/headwater-stamp")" = "$2" ] &&
        "$1/bin/python" -I -S -c '' 2>/dev/null
}

# _with_progress TEXT COMMAND...: runs COMMAND and shows on standard error that it is alive and how
# long it takes; its own output appears only when it fails. Its status is returned.
_with_progress() (
    # A subshell, so that its traps and its temporary file are this function's own.
    set +e
    text=$1
    shift
    # pip leaves its temporary directories behind when it is killed; here they go with ours.
    scratch=$(mktemp -d) || exit 1
    log=$scratch/log
    trap 'rm -rf "$scratch"' EXIT
    SECONDS=0
    # Job control gives the command a process group of its own, so that all of it can be ended.
    set -m
    TMPDIR=$scratch "$@" >"$log" 2>&1 </dev/null &
    child=$!
    set +m
    # Ctrl-C does not reach that group by itself: end it, then die of the same signal, which tells
    # the calling shell to stop as well.
    for name in INT TERM HUP; do
        # shellcheck disable=SC2064  # the values of now are meant
        trap "kill -- -$child 2>/dev/null; wait $child; rm -rf '$scratch'; echo >&2; trap - $name; kill -s $name \$BASHPID" "$name"
    done
    frames="|/-\\" frame=0 next=15
    [ -t 2 ] || printf '%s ...\n' "$text" >&2
    while kill -0 "$child" 2>/dev/null; do
        if ! kill -0 "$$" 2>/dev/null; then # the script was killed without us: nobody waits
            kill -- "-$child" 2>/dev/null
            exit 1
        elif [ -t 2 ]; then
            printf '\r%s %s %ss ' "${frames:frame++%4:1}" "$text" "$SECONDS" >&2
        elif ((SECONDS >= next)); then
            printf '%s ... %ss\n' "$text" "$SECONDS" >&2
            next=$((SECONDS + 15))
        fi
        sleep 0.2
    done
    [ ! -t 2 ] || printf '\r\033[K' >&2
    wait "$child"
    status=$?
    if [ "$status" -eq 0 ]; then
        printf '%s: done in %ss\n' "$text" "$SECONDS" >&2
    else
        cat "$log" >&2
        printf '%s: failed after %ss\n' "$text" "$SECONDS" >&2
    fi
    exit "$status"
)

# Makes an environment afresh when it is unfinished, then installs into it; for make_venv.
_install() {
    local directory=$1 fresh=$2
    shift 2
    if [ "$fresh" = yes ]; then
        # --clear, because an interrupted attempt may have left anything.
        "$PYTHON" -m venv --clear "$directory" || return 1
    fi
    "$directory/bin/python" -m pip install --disable-pip-version-check --no-input "$@"
}

# make_venv DIR STAMP_FILES... -- PIP_ARGS...: makes the environment DIR (an absolute path) hold
# what `pip install PIP_ARGS` installs, and installs again when the contents of the stamp files, the
# arguments or the place changed. Silent when there is nothing to do. Safe to interrupt, and two
# runs at once take turns.
make_venv() {
    local directory=$1 stamp fresh=no
    stamp=$(_stamp "$@") || die "cannot read what $directory is made from"
    if _is_current "$directory" "$stamp"; then
        return 0
    fi
    require_python
    while [ "$1" != -- ]; do
        shift
    done
    shift
    mkdir -p "$HEADWATER_ROOT/.cache"
    # The installing processes inherit the lock, so the next run waits for their end even where this
    # one was killed.
    exec 9>"$HEADWATER_ROOT/.cache/$(basename "$directory").lock"
    if command -v flock >/dev/null; then
        flock 9
    fi
    if ! _is_current "$directory" "$stamp"; then
        if [ ! -f "$directory/headwater-stamp" ] || ! "$directory/bin/python" -I -S -c '' 2>/dev/null; then
            fresh=yes
        fi
        # The stamp goes first and comes last: without it the environment is unfinished.
        rm -f "$directory/headwater-stamp"
        _with_progress "installing into $(basename "$directory")" \
            _install "$directory" "$fresh" "$@" || return 1
        printf '%s\n' "$stamp" >"$directory/headwater-stamp"
    fi
    exec 9>&-
}

# Makes .venv-services current: Keystone, its server and the openstack command.
ensure_services_venv() {
    local services=$HEADWATER_ROOT/tests/services
    make_venv "$HEADWATER_ROOT/.venv-services" \
        "$services/requirements.txt" "$services/constraints.txt" -- \
        -r "$services/requirements.txt" -c "$services/constraints.txt"
}

# ensure_product_venv EXTRA: makes .venv current, holding this checkout (editable) and, when EXTRA is
# not empty, that extra's packages. One that was made with `dev` stays so whatever is asked for,
# because dev contains the rest.
ensure_product_venv() {
    local extra=${1:-} directory=$HEADWATER_ROOT/.venv
    if [ -f "$directory/headwater-stamp" ] && grep -q '\[dev\]$' "$directory/headwater-stamp"; then
        extra=dev
    fi
    make_venv "$directory" \
        "$HEADWATER_ROOT/pyproject.toml" "$HEADWATER_ROOT/setup.py" "$HEADWATER_ROOT/constraints.txt" -- \
        -c "$HEADWATER_ROOT/constraints.txt" -e "$HEADWATER_ROOT${extra:+[$extra]}"
}
