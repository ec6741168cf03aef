# shellcheck shell=bash
# What suites written in shell share: one line a check, and the sum at the end.

PASSED=0
FAILED=0

# usage_of SCRIPT: the comment at its top.
usage_of() { sed -n '2,${/^#/!q;/^# \(shellcheck\|needs:\)/d;s/^# \{0,1\}//p}' "$1"; }

# only_help SCRIPT ARGUMENT...: for suites that take no other argument.
only_help() {
    local script=$1
    shift
    case ${1:---none} in
    --none) ;;
    -h | --help) usage_of "$script"; exit 0 ;;
    *) printf '%s: unknown argument "%s" (see --help)\n' "$script" "$1" >&2; exit 2 ;;
    esac
}

# check NAME COMMAND...: the command's output is shown only if it fails.
check() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then
        PASSED=$((PASSED + 1))
        printf 'ok - %s\n' "$name"
    else
        FAILED=$((FAILED + 1))
        printf 'not ok - %s\n' "$name"
        printf '    %s\n' "${out//$'\n'/$'\n'    }"
    fi
}

# refuses STATUS TEXT COMMAND...: the command fails with this exit status and says this.
refuses() {
    local status=$1 text=$2 out rc=0
    shift 2
    out=$("$@" 2>&1) || rc=$?
    printf 'status %s: %s\n' "$rc" "$out"
    [ "$rc" = "$status" ] && [[ $out == *"$text"* ]]
}

# says TEXT COMMAND...: the command succeeds and its output has this in it.
says() {
    local text=$1 out
    shift
    out=$("$@" 2>&1) || { printf 'failed: %s\n' "$out"; return 1; }
    printf '%s\n' "$out"
    [[ $out == *"$text"* ]]
}

summary() {
    printf '%d passed, %d failed\n' "$PASSED" "$FAILED"
    [ "$FAILED" = 0 ]
}
