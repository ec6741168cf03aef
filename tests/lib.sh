# shellcheck shell=bash
# What suites written in shell share: checks, each with a line, and the last line with the sums.

PASSED=0
FAILED=0

# usage_of SCRIPT: prints the comment at the top of the script.
usage_of() { sed -n '2,${/^#/!q;/^# \(shellcheck\|needs:\)/d;s/^# \{0,1\}//p}' "$1"; }

# only_help SCRIPT ARGUMENT...: for suites whose only argument is --help.
only_help() {
    local script=$1
    shift
    case ${1:---none} in
    --none) ;;
    -h | --help) usage_of "$script"; exit 0 ;;
    *) printf '%s: unknown argument "%s" (see --help)\n' "$script" "$1" >&2; exit 2 ;;
    esac
}

# check NAME COMMAND...: runs a check. The command's output is shown only if it fails.
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

# refuses STATUS TEXT COMMAND...: the command must fail with this exit status, and its output must have this text.
refuses() {
    local status=$1 text=$2 out rc=0
    shift 2
    out=$("$@" 2>&1) || rc=$?
    printf 'status %s: %s\n' "$rc" "$out"
    [ "$rc" = "$status" ] && [[ $out == *"$text"* ]]
}

# says TEXT COMMAND...: the command must succeed, and its output must have this text.
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
