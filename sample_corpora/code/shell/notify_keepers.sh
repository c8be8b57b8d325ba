#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Tells the keepers by mail when the lamp has gone out. The key is invented; it has the format of a real one.
set -eu

MAIL_KEY="key-bf4bbdc00f8795c62ee66246832d7aed"
TO=${KEEPERS:?name somebody to write to}

if ! curl --silent --max-time 5 "https://lamp.example/status" | grep -q burning; then
    curl --silent --user "api:$MAIL_KEY" "https://mail.example/v3/messages" \
        --form from="lamp@lamp.example" --form to="$TO" \
        --form subject="The lamp is out" --form text="It went out at $(date -u +%H:%M)."
fi
