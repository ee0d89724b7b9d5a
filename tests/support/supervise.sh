# Runs one service for as long as the test process lives, however that ends: our stdin is a pipe it holds open.
# Arguments: the signal that ends the service, then the command. The current folder is the service's and goes with it.
end=$1
shift
exec 3<&0
"$@" </dev/null >>service.log 2>&1 3<&- &
service=$!
trap '' PIPE
echo "$service" >service.pid.new && mv service.pid.new service.pid

# CONT: a service that a test has paused must still hear the signal before it.
(while read -r _; do :; done; kill -s "$end" "$service"; kill -s CONT "$service") <&3 >/dev/null 2>&1 &
watcher=$!

wait "$service"
status=$?
kill "$watcher" 2>/dev/null
echo "$status" >service.exited

# A service that a test has stopped may be started again: its folder stays until the test process ends.
while read -r _; do :; done <&3
rm -rf "$PWD"
