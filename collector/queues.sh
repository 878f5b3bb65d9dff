#!/bin/sh
# Sets aside the queue files that a collector could not open: `sh queues.sh DIRECTORY`, before it starts.
# The collector itself recreates a file whose pages are broken, but not one that has lost both of its meta pages, or its
# end: it would never start again. Such a file is renamed to NAME.TIME.backup, as the collector renames the others. How many
# backups there are is written to DIRECTORY/set-aside, from where the collector shows it (target_info, docs/collector.md).
set -eu
directory=$1

# bbolt's meta page: 16 bytes of page header, then magic, version, page size, flags, root (2), freelist, pages, transaction
# and an FNV-1a of all of that. Prints "TRANSACTION BYTES" if it is valid.
meta() {
  # shellcheck disable=SC2046 # the bytes, one word each
  set -- $(dd if="$1" bs=16 skip=$(($2 / 16)) count=5 2> /dev/null | od -An -v -tu1)
  [ $# = 80 ] || return 1
  shift 16
  hash=-3750763034362895579
  index=0
  for byte in "$@"; do
    [ $index -lt 56 ] && hash=$(((hash ^ byte) * 1099511628211))
    index=$((index + 1))
  done
  [ "$1 $2 $3 $4" = "237 218 12 237" ] || return 1
  size=$(($9 | ${10} << 8 | ${11} << 16 | ${12} << 24))
  shift 40
  pages=$(($1 | $2 << 8 | $3 << 16 | $4 << 24 | $5 << 32 | $6 << 40))
  shift 8
  transaction=$(($1 | $2 << 8 | $3 << 16 | $4 << 24 | $5 << 32 | $6 << 40))
  shift 8
  [ $hash = $(($1 | $2 << 8 | $3 << 16 | $4 << 24 | $5 << 32 | $6 << 40 | $7 << 48 | $8 << 56)) ] || return 1
  echo "$transaction $((pages * size))"
}

# Whether a collector can open the file: a new one, or one with a valid meta page and all the bytes that it speaks of.
opens() {
  bytes=$(wc -c < "$1")
  [ "$bytes" -gt 0 ] || return 0
  newest=-1
  needed=0
  for offset in 0 1024 2048 4096 8192 16384 32768 65536; do
    if found=$(meta "$1" $offset) && [ "${found% *}" -gt "$newest" ]; then
      newest=${found% *}
      needed=${found#* }
    fi
  done
  [ "$newest" -ge 0 ] && [ "$needed" -le "$bytes" ]
}

backups=0
for file in "$directory"/*; do
  case $file in
    */set-aside | */tempdb*) continue ;;
    *.backup) backups=$((backups + 1)); continue ;;
  esac
  [ -f "$file" ] || continue
  if ! opens "$file"; then
    backup=$file.$(date -u +%Y%m%dT%H%M%SZ).backup
    mv "$file" "$backup"
    backups=$((backups + 1))
    echo "queues.sh: $file is broken: its batches are lost, it is set aside as $backup" >&2
  fi
done
[ ! -d "$directory" ] || echo "$backups broken" > "$directory/set-aside"  # a text: a number would be none for the collector
