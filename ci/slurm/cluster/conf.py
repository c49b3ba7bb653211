"""The configuration files, as text; each has its manual page in section 5."""

from __future__ import annotations

from cluster.settings import CPUS, GPUS, MARK, MEMORY, NODE_LIST, NODES, Settings

COMMON = """\
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
MpiDefault=none
MailProg=/bin/true
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
# CPUs and memory are claimed, not real
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
# prompt scheduling; het jobs are started by the backfill scheduler only
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=1
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# refuse at submit what can never run
EnforcePartLimits=ALL
# a node set down by hand stays down
ReturnToService=1
# seconds from SIGTERM to SIGKILL; until a silent node is down; that an ended job stays known
KillWait=2
SlurmdTimeout=30
MinJobAge=60
InactiveLimit=0
MaxJobCount=20000
"""

# closed is down: its jobs pend for PartitionDown. short has a small time limit. Jobs in spot are
# cancelled, those in spot-requeue are requeued, when a job in another partition needs their nodes.
PARTITIONS = f"""\
PartitionName=DEFAULT MaxTime=INFINITE DefaultTime=30 PriorityTier=2 PreemptMode=OFF State=UP
PartitionName=debug Nodes={NODE_LIST} Default=YES
PartitionName=gpu Nodes=nid[003-004]
PartitionName=short Nodes={NODE_LIST} MaxTime=2 DefaultTime=1
PartitionName=closed Nodes={NODE_LIST} State=DOWN
PartitionName=spot Nodes={NODE_LIST} PriorityTier=1 PreemptMode=CANCEL
PartitionName=spot-requeue Nodes={NODE_LIST} PriorityTier=1 PreemptMode=REQUEUE
"""


def slurm_conf(settings: Settings, host: str, in_jobs: bool = False) -> str:
    """What the daemons read, and what programs read that run outside of jobs, or in them.

    With either of the two parameters its readers listen at the address of their host's name, else
    on all interfaces. Programs in jobs must do that where nodes have names of their own: srun
    listens there, and tasks look for it at 127.0.0.1, from where it called them.
    """
    listening = "NoCtldInAddrAny" if in_jobs else "NoInAddrAny,NoCtldInAddrAny"
    parts = (
        f"# {MARK}; up overwrites it\n",
        _places(settings, host),
        COMMON,
        f"CommunicationParameters={listening}\n",
        f"TaskProlog={settings.task_prolog}\n" if settings.host_names else "",
        f"DefMemPerCPU={MEMORY // CPUS // 2}\n",
        f"MaxArraySize={settings.max_array_size}\n",
        _containment(settings),
        _accounting(settings),
        *(_node(settings, node) for node in NODES),
        PARTITIONS,
    )
    return "".join(parts)


def _places(settings: Settings, host: str) -> str:
    top = settings.directory
    return f"""\
ClusterName={settings.cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={settings.port}
SlurmdPort={settings.port + 2}
AuthInfo=socket={settings.munge_socket}
SlurmctldPidFile={top}/run/slurmctld.pid
SlurmdPidFile={top}/run/slurmd.%n.pid
SlurmdSpoolDir={top}/spool/%n
StateSaveLocation={top}/ctld
SlurmctldLogFile={settings.log("slurmctld")}
SlurmdLogFile={settings.log("%n")}
# of each node its own: PMIx makes a directory there by the id of the step
TmpFS={top}/tmp/%n
"""


def _containment(settings: Settings) -> str:
    if settings.cgroup:
        return "ProctrackType=proctrack/cgroup\nTaskPlugin=task/cgroup,task/affinity\n"
    return """\
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
# no kernel limit: a step over its memory is found when its use is sampled
JobAcctGatherParams=OverMemoryKill
"""


def _accounting(settings: Settings) -> str:
    if not settings.accounting:
        return "AccountingStorageType=accounting_storage/none\n"
    return f"""\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={settings.dbd_port}
# AuthInfo does not hold for connections to slurmdbd
AccountingStoragePass={settings.munge_socket}
AccountingStorageEnforce=associations,limits,qos
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
"""


def _node(settings: Settings, node: str) -> str:
    feature = "odd" if int(node[-1]) % 2 else "even"
    return (
        f"NodeName={node} NodeHostname={node} NodeAddr={settings.address(node)}"
        f" Port={settings.node_ports[node]}"
        f" CPUs={CPUS} Sockets=1 CoresPerSocket={CPUS} ThreadsPerCore=1 RealMemory={MEMORY}"
        f" TmpDisk=0 Feature=sim,{feature} Gres=gpu:{GPUS}"
        # the host has not all of these CPUs, so that only those who ask for it are bound
        " CpuBind=none State=UNKNOWN\n"
    )


def task_prolog(settings: Settings) -> str:
    """A script that Slurm runs before each task, and that gives it variables by what it prints."""
    return f"#!/bin/sh\necho export SLURM_CONF={settings.conf_in_jobs}\n"


def gres_conf(settings: Settings) -> str:
    return f"NodeName={NODE_LIST} Name=gpu File={settings.directory}/dev/gpu[0-{GPUS - 1}]\n"


def cgroup_conf() -> str:
    """Written even where no cgroups are used: without it slurmd fails on mixed v1 and v2."""
    return """\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainCores=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
AllowedRAMSpace=100
MinRAMSpace=30
"""


def slurmdbd_conf(settings: Settings, host: str, password: str) -> str:
    return f"""\
AuthType=auth/munge
AuthInfo=socket={settings.munge_socket}
DbdAddr=127.0.0.1
DbdHost={host}
DbdPort={settings.dbd_port}
CommunicationParameters=NoInAddrAny
SlurmUser=root
DebugLevel=info
LogFile={settings.log("slurmdbd")}
PidFile={settings.directory}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
# reached by the unix socket in MYSQL_UNIX_PORT
StorageHost=localhost
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct_db
"""
