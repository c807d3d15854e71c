#!/bin/sh
# Runs the Temporal CLI that lies beside this file and ends it when the process that asked for it is gone, however that process ended.
#
# File descriptor 2 arrives as the reading end of a pipe whose writing end that process alone holds. A line on it asks for an orderly
# stop; the end of the file ends the server at once. Logs of both streams go to standard output.
exec 3<&2 2>&1
dir=${0%/*}

# The server gets its own session or process group, so that a Ctrl-C in a terminal reaches only the process that started it,
# which stops its workers first.
if command -v setsid >/dev/null; then
    GOGC=${GOGC:-400} setsid "$dir/temporal" "$@" 3<&- &
else
    set -m
    GOGC=${GOGC:-400} "$dir/temporal" "$@" 3<&- &
    set +m
fi
server=$!

(
    trap '' HUP INT
    if read -r _ <&3; then
        kill -TERM "$server"
        read -r _ <&3
    fi
    kill -KILL "$server"
) 2>/dev/null &
watchdog=$!

exec 3<&-
trap '' HUP INT TERM
wait "$server"
code=$?
kill "$watchdog" 2>/dev/null
echo "temporal server exited with code $code"
rm -f "$dir/temporal" "$0"
rmdir "$dir" 2>/dev/null
exit "$code"
