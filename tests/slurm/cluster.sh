#!/usr/bin/env bash
# A Slurm of two nodes on this host, for tests: munged, slurmctld and two slurmd, all in one directory and with ports of its own.
set -euo pipefail

usage() {
    cat <<'END'
Usage: tests/slurm/cluster.sh start DIRECTORY | stop DIRECTORY

start   starts the daemons as the calling user; DIRECTORY is made, and wants a short path (it holds a socket).
        Use it with SLURM_CONF=DIRECTORY/slurm.conf. It is stopped, too, when the process that started it ends.
stop    cancels the jobs, ends the daemons and whatever their jobs left running. DIRECTORY stays.

The nodes are node1 and node2, with CPUS processors each (default 2), whatever this host has.
END
}
[ $# -ge 2 ] || { usage >&2 && exit 2; }
dir=$2
PATH=$PATH:/usr/sbin:/sbin # where the daemons are
export SLURM_CONF=$dir/slurm.conf

fail() {
    echo "cluster.sh: $1" >&2
    exit 1
}
# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
}

# Three ports below the range of the system's own choice that nobody listens at.
free_ports() {
    local tries port busy
    for ((tries = 0; tries < 100; tries++)); do
        base=$((15000 + RANDOM % 15000))
        busy=0
        for port in $base $((base + 1)) $((base + 2)); do
            ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || busy=1
        done
        [ "$busy" -eq 1 ] || return 0
    done
    fail "no free ports"
}

# AuthInfo's cred_expire is also how long a requeued job has to wait (120 s by default).
configuration() {
    cat <<END
ClusterName=rlsedit
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$base
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$dir/munge.socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,sched_min_interval=100000,bf_interval=1
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
MessageTimeout=20
KillWait=10
CompleteWait=0
MinJobAge=600
JobRequeue=1
MailProg=/bin/true
SlurmdParameters=config_overrides
NodeName=node1 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((base + 1)) CPUs=${CPUS:-2}
NodeName=node2 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((base + 2)) CPUs=${CPUS:-2}
PartitionName=test Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
END
}

# launch NAME COMMAND...: in the background, in a process group of its own; its id in NAME.id.
launch() {
    local name=$1
    shift
    setsid "$@" >"$dir/$name.out" 2>&1 </dev/null &
    echo $! >"$dir/$name.id"
}
nodes_are_idle() {
    [ "$(sinfo -h -N -o %T)" = $'idle\nidle' ]
}

start() {
    local program
    for program in munged slurmctld slurmd sbatch scontrol; do
        command -v "$program" >/dev/null || fail "no $program here: install slurmctld, slurmd, slurm-client and munge"
    done
    mkdir -p -- "$dir"/{state,spool-node1,spool-node2}
    chmod 755 "$dir"
    free_ports
    (umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
    configuration >"$SLURM_CONF"
    launch guard "$(realpath -- "$0")" guard "$dir" $PPID
    launch munged munged --foreground --socket="$dir/munge.socket" --key-file="$dir/munge.key" --pid-file="$dir/munged.pid" \
        --seed-file="$dir/munge.seed" --log-file="$dir/munged.log" --num-threads=2
    wait_for 20 test -S "$dir/munge.socket" || { cat "$dir"/munged.* >&2 && fail "munged does not start"; }
    launch slurmctld slurmctld -D -f "$SLURM_CONF"
    wait_for 30 scontrol ping || { tail "$dir"/slurmctld.{out,log} >&2 && fail "slurmctld does not start"; }
    launch slurmd-node1 slurmd -D -N node1 -f "$SLURM_CONF"
    launch slurmd-node2 slurmd -D -N node2 -f "$SLURM_CONF"
    wait_for 30 nodes_are_idle || {
        tail "$dir"/slurmd-node*.{out,log} >&2
        sinfo -N -l >&2
        fail "the nodes do not come up"
    }
}

# What jobs of this cluster left running: a step's daemon, or something with its job's number.
leftovers() {
    local place words
    for place in /proc/[0-9]*; do
        words=$(tr '\0' '\n' 2>/dev/null <"$place/environ" | grep -E '^SLURM_(CONF|JOB_ID)=') || continue
        if grep -qxF "SLURM_CONF=$SLURM_CONF" <<<"$words" &&
            { grep -q '^SLURM_JOB_ID=' <<<"$words" || grep -qx slurmstepd "$place/comm"; }; then
            echo "${place#/proc/}"
        fi
    done 2>/dev/null
}

# A zombie is dead: not every container's init collects them.
alive() { grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$(cat "$dir/$1.id")/status" 2>/dev/null; }
dead() { ! alive "$1"; }
no_jobs() { [ -z "$(squeue -h)" ]; }

stop() {
    local name id
    touch -- "$dir/stopped"
    if [ -e "$dir/slurmctld.id" ] && alive slurmctld; then
        scancel --partition=test >/dev/null 2>&1 || true
        wait_for 20 no_jobs || scancel --partition=test --signal=KILL --full >/dev/null 2>&1 || true
    fi
    for name in slurmd-node1 slurmd-node2 slurmctld munged; do
        [ -e "$dir/$name.id" ] || continue
        ! alive "$name" || kill "$(cat "$dir/$name.id")" || true
        wait_for 10 dead "$name" || kill -KILL "$(cat "$dir/$name.id")" || true
    done
    for id in $(leftovers); do
        kill -KILL "$id" 2>/dev/null || true
    done
}

# Nobody may be left to stop a cluster whose test was killed.
guard() {
    while kill -0 "$1" 2>/dev/null && [ ! -e "$dir/stopped" ]; do
        sleep 1
    done
    [ -e "$dir/stopped" ] || stop
}

case $1 in
start) start ;;
guard) guard "$3" ;;
stop) stop ;;
*) usage >&2 && exit 2 ;;
esac
