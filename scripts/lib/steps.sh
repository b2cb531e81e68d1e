# Sourced by scripts/check and scripts/test: runs named steps, adds up their counts, prints one closing line. A step counts
# what its last "N passed, N failed" line (or ctest's summary) says; a step without one counts as one test. Skipped tests
# are said and counted apart, never as passed.
steps_passed=0 steps_failed=0 steps_skipped=0
steps_dir=$(mktemp -d)
trap 'rm -rf "$steps_dir"' EXIT

# step NAME COMMAND...: quiet when all is well, prints the output of what failed.
step() {
    step_name=$1; shift
    step_start=$(date +%s)
    "$@" >"$steps_dir/out" 2>&1; step_status=$?
    step_counts=$(awk '
        /[0-9]+ passed, [0-9]+ failed/ { line = $0 }
        /tests failed out of [0-9]+/ { match($0, /[0-9]+ tests failed out of [0-9]+/); split(substr($0, RSTART, RLENGTH), w, " "); line = (w[6] - w[1]) " passed, " w[1] " failed" }
        END { if (line != "") { match(line, /[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?/); split(substr(line, RSTART, RLENGTH), w, " "); print w[1], w[3], w[5] + 0 } }' "$steps_dir/out")
    # shellcheck disable=SC2086
    set -- $step_counts
    passed=${1:-0} failed=${2:-0} skipped=${3:-0}
    if [ $# = 0 ]; then [ $step_status = 0 ] && passed=1 || failed=1; fi
    [ $step_status != 0 ] && [ "$failed" = 0 ] && failed=1
    steps_passed=$((steps_passed + passed)) steps_failed=$((steps_failed + failed)) steps_skipped=$((steps_skipped + skipped))
    printf '%-22s %6d passed %4d failed %4d skipped  %4ds\n' "$step_name" "$passed" "$failed" "$skipped" $(($(date +%s) - step_start))
    [ "$failed" = 0 ] && [ "$skipped" = 0 ] || tail -n 60 "$steps_dir/out"
}

finish() {
    if [ $steps_skipped = 0 ]; then echo "$steps_passed passed, $steps_failed failed"
    else echo "$steps_passed passed, $steps_failed failed, $steps_skipped skipped"; fi
    [ $steps_failed = 0 ]
    exit $?
}
