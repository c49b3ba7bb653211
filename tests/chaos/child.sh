# A model that writes its own truth: child.sh DIRECTORY KIND CODE [SECONDS]
#
# An empty file NAME@PID.BORN says that it has begun, another one NAME@PID.BORN=CODE, made just
# before its end, how it is going to end; -9 is an end by that signal. Names are made in one step,
# so nothing is ever half written.
set -f
truth=$1 kind=$2 code=$3 seconds=$4
name=${PWD##*/}
read -r stat < /proc/$$/stat
set -- $stat
mark=$truth/$name@$$.${22}

end() {
    : > "$mark=$1"
    case $1 in
    -*) trap - TERM; kill "$1" $$ ;;
    *) exit "$1" ;;
    esac
}

: > "$mark"
case $kind in
timed)
    sleep "$seconds"
    ;;
gated)
    read -r code < "$truth/gates/$name"
    ;;
graceful)
    trap 'end 5' TERM
    read -r code < "$truth/gates/$name"
    ;;
stubborn)
    trap '' TERM
    read -r code < "$truth/gates/$name"
    ;;
forking)
    sleep 1000 &
    read -r code < "$truth/gates/$name"
    kill $!
    ;;
esac
end "$code"
