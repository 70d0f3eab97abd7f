/**
 * Which system calls a container may make where nobody says otherwise: what Docker allows (moby/profiles, 2026), arranged
 * by what the calls are about. What is not named fails with EPERM. libseccomp passes over names that it does not know.
 */
import type { SeccompArg, SeccompCondition, SeccompProfile } from "#proto/seccomp-profile.ts";

const words = (...lines: readonly string[]) => lines.join(" ").split(" ");

const files = words(
  "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat",
  "faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat",
  "fcntl fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64",
  "futimesat getcwd getdents getdents64 ioctl lchown lchown32 link linkat listmount _llseek lseek lstat",
  "lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv",
  "preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename renameat renameat2",
  "rmdir sendfile sendfile64 splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync",
  "sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64",
  "utimes vmsplice write writev",
);

const attributesAndWatches = words(
  "fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat",
  "llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat",
  "fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch",
  "landlock_add_rule landlock_create_ruleset landlock_restrict_self",
);

const eventsAndPipes = words(
  "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old",
  "eventfd eventfd2 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit",
  "_newselect pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4",
);

const memory = words(
  "brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2",
  "mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free",
  "pkey_mprotect remap_file_pages",
);

const processes = words(
  "capget capset execve execveat exit exit_group fork getcpu getegid getegid32 geteuid geteuid32 getgid",
  "getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32",
  "getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set",
  "pidfd_open prctl prlimit64 process_mrelease seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid",
  "setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid",
  "setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 sysinfo ugetrlimit uname vfork wait4",
  "waitid waitpid",
);

const threads = words(
  "futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list get_thread_area",
  "restart_syscall riscv_hwprobe rseq sched_get_priority_max sched_get_priority_min sched_getaffinity",
  "sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64",
  "sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list",
  "set_thread_area set_tid_address uretprobe",
);

const signals = words(
  "kill pause pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn",
  "rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn",
  "tgkill tkill",
);

const sockets = words(
  "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg",
  "recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair",
);

const sharedBetweenProcesses = words(
  "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend",
  "mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop",
  "semtimedop_time64 shmat shmctl shmdt shmget",
);

/** Setting a clock needs CAP_SYS_TIME besides; reading its discipline does not. */
const timeAndChance = words(
  "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime",
  "clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer getrandom gettimeofday nanosleep",
  "setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime",
  "timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times",
);

interface Condition {
  readonly arg?: Pick<SeccompArg, "op" | "value"> & Partial<SeccompArg>;
  readonly includes?: SeccompCondition;
  readonly excludes?: SeccompCondition;
}

function allow(names: readonly string[], { arg, includes = {}, excludes = {} }: Condition = {}) {
  const args = arg === undefined ? [] : [{ index: 0, valueTwo: 0, ...arg }];
  return { names, action: "SCMP_ACT_ALLOW", args, includes, excludes };
}

const withCapability = (name: string, ...lines: readonly string[]) =>
  allow(words(...lines), { includes: { caps: [`CAP_${name}`] } });

const onArchitectures = (arches: string, ...lines: readonly string[]) =>
  allow(words(...lines), { includes: { arches: words(arches) } });

const whereFirstIs = (name: string, value: number) =>
  allow([name], { arg: { op: "SCMP_CMP_EQ", value } });

/** PER_LINUX, PER_LINUX32, both with UNAME26, and the question which it is. */
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];

const sysAdmin = ["CAP_SYS_ADMIN"];
const s390 = ["s390", "s390x"];

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: none of them may be set. */
const noNamespaces = { op: "SCMP_CMP_MASKED_EQ", value: 0x7e020000 };

const enosys = 38;

export const defaultSeccompProfile: SeccompProfile = {
  defaultAction: "SCMP_ACT_ERRNO",
  defaultErrnoRet: 1,
  archMap: [
    arch("X86_64", "X86", "X32"),
    arch("AARCH64", "ARM"),
    arch("S390X", "S390"),
    arch("RISCV64"),
    arch("LOONGARCH64"),
    arch("MIPS64", "MIPS", "MIPS64N32"),
    arch("MIPSEL64", "MIPSEL", "MIPSEL64N32"),
  ],
  architectures: [],
  flags: [],
  rules: [
    allow([
      ...files,
      ...attributesAndWatches,
      ...eventsAndPipes,
      ...memory,
      ...processes,
      ...threads,
      ...signals,
      ...sockets,
      ...sharedBetweenProcesses,
      ...timeAndChance,
    ]),
    // Older kernels let ptrace go round the filter.
    allow(words("process_vm_readv process_vm_writev ptrace"), { includes: { minKernel: "4.8" } }),
    // All families but AF_ALG (38), which has let programs out of containers, and AF_VSOCK (40), which no namespace holds.
    allow(["socket"], { arg: { op: "SCMP_CMP_LT", value: 38 } }),
    whereFirstIs("socket", 39),
    allow(["socket"], { arg: { op: "SCMP_CMP_GT", value: 40 } }),
    ...personalities.map((personality) => whereFirstIs("personality", personality)),
    allow(["clone"], { arg: noNamespaces, excludes: { caps: sysAdmin, arches: s390 } }),
    // There the flags are the second argument.
    allow(["clone"], {
      arg: { ...noNamespaces, index: 1 },
      includes: { arches: s390 },
      excludes: { caps: sysAdmin },
    }),
    // Its flags are in memory, where no filter can look: programs shall fall back on clone.
    {
      names: ["clone3"],
      action: "SCMP_ACT_ERRNO",
      errnoRet: enosys,
      args: [],
      includes: {},
      excludes: { caps: sysAdmin },
    },
    onArchitectures("ppc64le", "sync_file_range2 swapcontext"),
    onArchitectures(
      "arm arm64",
      "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ),
    onArchitectures("amd64 x32", "arch_prctl"),
    onArchitectures("amd64 x32 x86", "modify_ldt"),
    onArchitectures("s390 s390x", "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"),
    onArchitectures("riscv64", "riscv_flush_icache"),
    withCapability("DAC_READ_SEARCH", "open_by_handle_at"),
    withCapability(
      "SYS_ADMIN",
      "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr",
      "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl",
      "quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    withCapability("SYS_BOOT", "reboot"),
    withCapability("SYS_CHROOT", "chroot"),
    withCapability("SYS_MODULE", "delete_module init_module finit_module"),
    withCapability("SYS_PACCT", "acct"),
    withCapability(
      "SYS_PTRACE",
      "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    withCapability("SYS_RAWIO", "iopl ioperm"),
    withCapability("SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    withCapability("SYS_TTY_CONFIG", "vhangup"),
    withCapability("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    withCapability("SYSLOG", "syslog"),
    withCapability("BPF", "bpf"),
    withCapability("PERFMON", "perf_event_open"),
  ],
};

function arch(native: string, ...others: readonly string[]) {
  const name = (part: string) => `SCMP_ARCH_${part}`;
  return { architecture: name(native), subArchitectures: others.map(name) };
}
