"""A filter for system calls that no exercise needs and that attacks on a kernel begin with."""

from __future__ import annotations

import errno
import platform
import struct

_CLONE_NEW = 0x7E020080  # any CLONE_NEW* flag: a namespace of one's own, and rights in it
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF instructions
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # where they are in what the kernel shows a filter
#: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: what the kernel's channels and name services use.
_FAMILIES = (1, 2, 10, 16)

#: For each machine its audit number, the calls refused, and those of clone, clone3 and socket.
_MACHINES: dict[str, tuple[int, tuple[int, ...], int, int, int]] = {
    # unshare setns mount umount2 pivot_root ptrace process_vm_readv/writev add_key request_key
    # keyctl bpf perf_event_open userfaultfd io_uring_setup/enter/register open_by_handle_at
    # kexec_load init_module finit_module fsopen fsmount move_mount open_tree mount_setattr;
    # memory that no limit counts: memfd_create memfd_secret shmget shmat; and sched_setaffinity,
    # with which many processes can crowd a neighbor's processor
    "x86_64": (
        0xC000003E,
        (
            *(272, 308, 165, 166, 155, 101, 310, 311, 248, 249, 250, 321, 298, 323, 425, 426, 427),
            *(304, 246, 175, 313, 430, 432, 429, 428, 442, 319, 447, 29, 30, 203),
        ),
        56,
        435,
        41,
    ),
    "aarch64": (
        0xC00000B7,
        (
            *(97, 268, 40, 39, 41, 117, 270, 271, 217, 218, 219, 280, 241, 282, 425, 426, 427),
            *(265, 104, 105, 273, 430, 432, 429, 428, 442, 279, 447, 194, 196, 122),
        ),
        220,
        435,
        198,
    ),
}


def program() -> bytes | None:
    """The filter as `bwrap --seccomp` reads it; None on a machine it is not written for."""
    known = _MACHINES.get(platform.machine())
    if known is None:
        return None
    machine, refused, clone, clone3, socket = known
    code: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, machine),
        (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),  # calls of another architecture
        (_LOAD, 0, 0, _NUMBER),
    ]
    for number in refused:
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE | errno.EPERM)]
    # clone3 hides its flags from a filter; without it the C library uses clone
    code += [(_EQUAL, 0, 1, clone3), (_RETURN, 0, 0, _REFUSE | errno.ENOSYS)]
    code += [
        (_EQUAL, 0, 3, clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, _CLONE_NEW),
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),
    ]
    code += [(_LOAD, 0, 0, _NUMBER), (_EQUAL, 0, len(_FAMILIES) + 2, socket)]
    code += [(_LOAD, 0, 0, _FIRST_ARGUMENT)]
    for left, family in reversed([*enumerate(reversed(_FAMILIES))]):
        code += [(_EQUAL, left + 1, 0, family)]
    code += [(_RETURN, 0, 0, _REFUSE | errno.EAFNOSUPPORT)]
    if machine == _MACHINES["x86_64"][0]:  # x32 calls carry the same machine number
        code += [
            (_LOAD, 0, 0, _NUMBER),
            (0x35, 0, 1, 0x40000000),
            (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),
        ]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)
