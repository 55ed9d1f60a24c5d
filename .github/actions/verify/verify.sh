#!/usr/bin/env bash
# The action's last step: verify, with annotations in the log and a summary for the job. Its exit code is the step's.
set -euo pipefail
words=(verify --format github --no-progress)
[ -z "${INPUT_BASE:-}" ] || words+=("--path_raw=$INPUT_BASE")
[ -z "${INPUT_REQUIRE:-}" ] || words+=("--require=$INPUT_REQUIRE")
[ -z "${INPUT_VERIFY_KEY:-}" ] || words+=("--verify-key=$INPUT_VERIFY_KEY")
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || words+=("--summary=$GITHUB_STEP_SUMMARY")
read -r -a more <<< "${INPUT_FLAGS:-}"
exec node "$GITHUB_ACTION_PATH/../../../bin/weight-diff.js" "${words[@]}" ${more[@]+"${more[@]}"} -- "$INPUT_PATH"
