#!/bin/sh
# Runs the Temporal CLI that lies beside this file and ends it when the process that asked for it is gone, however that process ended.
#
# File descriptor 2 arrives as the reading end of a pipe whose writing end that process alone holds. A line on it asks for an orderly
# stop; the end of the file ends the server at once. Logs of both streams go to standard output.

# A signal to the process group of that process, such as Ctrl-C in a terminal, must reach neither the server, which is stopped after its
# workers, nor the watchdog. So all of this runs in a session of its own, or, where there is no setsid, in process groups of their own.
if [ "$1" = apart ]; then
    shift
elif command -v setsid >/dev/null; then
    exec setsid "$0" apart "$@"
else
    set -m
fi

exec 3<&2 2>&1
dir=${0%/*}

clean_up() {
    rm -f "$dir/temporal" "$0"
    rmdir "$dir"
} 2>/dev/null

GOGC=${GOGC:-400} "$dir/temporal" "$@" 3<&- &
server=$!

(
    trap '' HUP INT
    if read -r _ <&3; then
        kill -TERM "$server"
        read -r _ <&3
    fi
    kill -KILL "$server"
    clean_up
) 2>/dev/null &
watchdog=$!

exec 3<&-
trap '' HUP INT TERM
wait "$server"
code=$?
kill "$watchdog" 2>/dev/null
echo "temporal server exited with code $code"
clean_up
exit "$code"
