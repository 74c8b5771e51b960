# Mounts, namespaces, and the files by which a process changes the whole kernel.
MS_RDONLY, MS_BIND, MS_REMOUNT = 1, 4096, 32
MOUNT, UMOUNT, UNSHARE, SETNS, CHROOT, PIVOT = 165, 166, 272, 308, 161, 155

held("mount tmpfs", syscall(MOUNT, b"none", b"/tmp", b"tmpfs", 0, 0) < 0)
held("bind /tmp over /usr", syscall(MOUNT, b"/tmp", b"/usr", 0, MS_BIND, 0) < 0)
held("remount /usr writable", syscall(MOUNT, b"none", b"/usr", 0, MS_REMOUNT | MS_BIND, 0) < 0)
held("umount /proc/sys", syscall(UMOUNT, b"/proc/sys", 2) < 0)
for name, flag in {"user": 0x10000000, "mount": 0x20000, "net": 0x40000000, "pid": 0x20000000,
                   "ipc": 0x08000000, "uts": 0x04000000, "cgroup": 0x02000000, "time": 0x80}.items():
    held(f"unshare {name}", os.WEXITSTATUS(in_child(lambda: os._exit(syscall(UNSHARE, flag) == 0))) == 0)
for name in os.listdir("/proc/self/ns"):
    def enter(name=name):
        fd = os.open(f"/proc/1/ns/{name}", os.O_RDONLY)
        result = syscall(SETNS, fd, 0)
        os.close(fd)
        if result < 0:
            raise OSError(-result, "")
    refused(f"setns {name} of PID 1", enter)
held("chroot", syscall(CHROOT, b"/tmp") < 0)
held("pivot_root", syscall(PIVOT, b"/tmp", b"/tmp") < 0)

for path in ["sys/kernel/core_pattern", "sys/kernel/modprobe", "sys/kernel/hostname", "sys/vm/drop_caches",
             "sys/kernel/randomize_va_space", "sys/kernel/yama/ptrace_scope", "sys/fs/binfmt_misc/register",
             "sysrq-trigger", "irq/default_smp_affinity", "mtrr", "scsi/scsi", "sys/net/ipv4/ip_forward",
             "sys/kernel/unprivileged_bpf_disabled"]:
    refused(f"write /proc/{path}", lambda: os.close(os.open(f"/proc/{path}", os.O_WRONLY)))

found = []
for directory, _, files in os.walk("/sys"):
    found += [f"{directory}/{file}" for file in files if os.access(f"{directory}/{file}", os.W_OK)]
held("writable files in /sys", not found, found[:3])
groups = open("/proc/self/cgroup").read()
held("the host's control groups are not named", "ephemeral" not in groups and "task-" not in groups, groups)
held("no control group is writable", not [each for each in open("/proc/mounts") if " cgroup" in each
     and os.access(each.split()[1], os.W_OK)])
