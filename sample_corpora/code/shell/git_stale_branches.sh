#!/usr/bin/env bash
# SPDX-License-Identifier: CC0-1.0
# Lists local branches that were merged, or that nobody has touched for a while.
set -euo pipefail

main=${MAIN_BRANCH:-main}
days=${1:-60}
oldest=$(($(date +%s) - days * 86400))

if ! git rev-parse --verify --quiet "$main" >/dev/null; then
    echo "there is no branch called $main; set MAIN_BRANCH" >&2
    exit 1
fi

merged=0
stale=0
while read -r branch stamp author; do
    [[ $branch == "$main" ]] && continue
    if git merge-base --is-ancestor "$branch" "$main"; then
        printf 'merged  %-40s %s\n' "$branch" "$author"
        merged=$((merged + 1))
    elif ((stamp < oldest)); then
        age=$((($(date +%s) - stamp) / 86400))
        printf '%4dd   %-40s %s\n' "$age" "$branch" "$author"
        stale=$((stale + 1))
    fi
done < <(git for-each-ref refs/heads --sort=committerdate \
    --format='%(refname:short) %(committerdate:unix) %(authorname)')

echo "$merged merged, $stale untouched for $days days"
