#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Waits until a TCP port accepts connections, then runs the command that follows.
set -euo pipefail

usage() {
    echo "usage: wait_for_port.sh HOST:PORT [-t SECONDS] -- COMMAND [ARGUMENT...]" >&2
    exit 64
}

[[ $# -ge 1 && $1 == *:* ]] || usage
host=${1%:*}
port=${1##*:}
shift

limit=30
while [[ $# -gt 0 ]]; do
    case $1 in
        -t)
            [[ $# -ge 2 ]] || usage
            limit=$2
            shift 2
            ;;
        --)
            shift
            break
            ;;
        *) usage ;;
    esac
done

is_open() {
    # Bash opens the socket itself, so that neither nc nor curl has to be installed.
    (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null
}

deadline=$((SECONDS + limit))
until is_open; do
    if ((SECONDS >= deadline)); then
        echo "wait_for_port.sh: $host:$port did not open within $limit s" >&2
        exit 75
    fi
    sleep 0.5
done

[[ $# -eq 0 ]] || exec "$@"
