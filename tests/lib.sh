# shellcheck shell=bash
# What suites written in shell share: one line a check, and the sum at the end.

PASSED=0
FAILED=0

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
