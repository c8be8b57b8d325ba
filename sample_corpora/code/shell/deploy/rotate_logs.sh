#!/bin/sh
# SPDX-License-Identifier: MIT
# Compresses log files of yesterday and throws away those older than a month.
set -eu

folder=${1:-/var/log/lamp}
keep_days=${2:-30}

if [ ! -d "$folder" ]; then
    echo "rotate_logs: $folder is not a folder" >&2
    exit 2
fi

compressed=0
for file in "$folder"/*.log; do
    [ -e "$file" ] || continue
    if [ -n "$(find "$file" -mmin +1440)" ]; then
        stamp=$(date -r "$file" +%Y%m%d)
        target="${file%.log}-$stamp.log.gz"
        if [ -e "$target" ]; then
            echo "rotate_logs: $target exists, $file is left alone" >&2
            continue
        fi
        gzip -c "$file" > "$target.part"
        mv "$target.part" "$target"
        : > "$file"
        compressed=$((compressed + 1))
    fi
done

removed=$(find "$folder" -name '*.log.gz' -mtime +"$keep_days" -print -delete | wc -l)
echo "$compressed compressed, $removed removed"
