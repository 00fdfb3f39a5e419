"""Filters of system calls for the sandbox, assembled for the kernel without any library.

Here: which calls are refused, their numbers on x86-64 and ARM64, and the classic BPF program that `bwrap --seccomp`
and prctl(PR_SET_SECCOMP) take. Not here: the namespaces (sandbox.py), installing the second filter (confinement.py).

OUTER holds for everything in the sandbox and closes what namespaces leave open: sockets of every family, new
namespaces, mounts, tracing, keyrings, memory that no limit counts, and the parts of the kernel with the worst record.
INNER is added for the process that runs foreign code: it stays one process with one thread, executes nothing, signals
nobody, and cannot change the handlers and timers that stop it.
"""

from __future__ import annotations

import errno
import platform
import struct

# name: (number on x86-64, number on ARM64); None where the architecture has no such call
_OUTER: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "personality": (135, 92),
    "fanotify_init": (300, 262),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
}
_INNER: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None),
    "vfork": (58, None),
    "clone": (56, 220),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "rt_sigaction": (13, 134),
    "setitimer": (38, 103),
    "alarm": (37, None),
    "timer_create": (222, 107),
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
}
_CLONE, _CLONE3 = (56, 220), (435, 435)
_NEW_NAMESPACES = 0x7E020080  # CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH_*
_X32_BIT = 0x40000000

_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data, little endian
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def is_supported() -> bool:
    """Return whether the numbers of this machine's system calls are known here."""
    return platform.machine() in _ARCHITECTURES


def build_outer_filter() -> bytes:
    """Return the program for everything in the sandbox; a machine that is_supported() refuses is a KeyError."""
    column, _ = _ARCHITECTURES[platform.machine()]
    # clone3 takes its flags in memory, where no filter can look: without it libraries go back to clone
    return _assemble(_OUTER, _refuse(_CLONE3[column], errno.ENOSYS) + _refuse_new_namespaces(_CLONE[column]))


def build_inner_filter() -> bytes:
    """Return the program that is added for the process with foreign code."""
    return _assemble(_INNER, b"")


def _assemble(refused: dict[str, tuple[int | None, int | None]], more: bytes) -> bytes:
    column, architecture = _ARCHITECTURES[platform.machine()]
    numbers = [call[column] for call in refused.values()]
    program = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL_PROCESS),  # calls of another architecture (32 bit) have other numbers
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32_BIT, 0, 1),
        _step(_RETURN, _KILL_PROCESS),
        *(_refuse(number, errno.EPERM) for number in numbers if number is not None),
        more,
        _step(_RETURN, _ALLOW),
    ]
    return b"".join(program)


def _refuse(number: int, error: int) -> bytes:
    return _step(_EQUAL, number, 0, 1) + _step(_RETURN, _ERRNO | error)


def _refuse_new_namespaces(clone: int) -> bytes:
    return (
        _step(_EQUAL, clone, 0, 3)
        + _step(_LOAD, _FIRST_ARGUMENT)
        + _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1)
        + _step(_RETURN, _ERRNO | errno.EPERM)
    )


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)  # struct sock_filter
