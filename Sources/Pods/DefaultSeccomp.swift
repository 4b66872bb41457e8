import AgentProtocol

/// The RuntimeDefault seccomp profile (docs/seccomp.md lists it): what ordinary programs call is allowed, the rest fails with
/// EPERM as if the capability were missing. System calls that a capability governs are allowed where
/// the container has it; namespaces can be made only with CAP_SYS_ADMIN.
enum DefaultSeccomp {
  static func profile(capabilities: Set<String>) -> Bulkhead_Agent_V1_Seccomp {
    .with {
      $0.defaultAction = "SCMP_ACT_ERRNO"
      $0.defaultErrno = errnoEPERM
      $0.architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
      $0.syscalls = [allow(ordinary), socket] + personalities + byCapability(capabilities) + namespaces(capabilities)
    }
  }

  private static let errnoEPERM: UInt32 = 1
  private static let errnoENOSYS: UInt32 = 38

  private static func allow(_ names: [String]) -> Bulkhead_Agent_V1_SeccompRule {
    .with {
      $0.names = names
      $0.action = "SCMP_ACT_ALLOW"
    }
  }

  /// Sockets of every family but AF_VSOCK (40): the VM's channel to the node is not the containers'.
  private static var socket: Bulkhead_Agent_V1_SeccompRule {
    var rule = allow(["socket"])
    rule.args = [
      .with {
        $0.index = 0; $0.value = 40; $0.op = "SCMP_CMP_NE"
      }
    ]
    return rule
  }

  /// personality(2) only for the persona Linux and PER_LINUX32, with and without UNAME26, and to ask.
  private static var personalities: [Bulkhead_Agent_V1_SeccompRule] {
    ([0x0, 0x8, 0x20000, 0x20008, 0xffff_ffff] as [UInt64]).map { persona in
      .with {
        $0.names = ["personality"]
        $0.action = "SCMP_ACT_ALLOW"
        $0.args = [
          .with {
            $0.index = 0; $0.value = persona; $0.op = "SCMP_CMP_EQ"
          }
        ]
      }
    }
  }

  /// Without CAP_SYS_ADMIN clone(2) is allowed only with none of the CLONE_NEW* flags, and clone3(2),
  /// whose flags a filter can't see, says ENOSYS so that the C library falls back to clone.
  private static func namespaces(_ capabilities: Set<String>) -> [Bulkhead_Agent_V1_SeccompRule] {
    if capabilities.contains("CAP_SYS_ADMIN") { return [allow(["clone", "clone3", "unshare", "setns"])] }
    let namespaceFlags: UInt64 = 0x7e02_0000
    return [
      .with {
        $0.names = ["clone"]
        $0.action = "SCMP_ACT_ALLOW"
        $0.args = [
          .with {
            $0.index = 0; $0.value = namespaceFlags; $0.valueTwo = 0; $0.op = "SCMP_CMP_MASKED_EQ"
          }
        ]
      },
      .with {
        $0.names = ["clone3"]
        $0.action = "SCMP_ACT_ERRNO"
        $0.errno = errnoENOSYS
      },
    ]
  }

  private static func byCapability(_ capabilities: Set<String>) -> [Bulkhead_Agent_V1_SeccompRule] {
    governed.filter { capabilities.contains($0.key) }.sorted { $0.key < $1.key }.map { allow($0.value) }
  }

  static let governed: [String: [String]] = [
    "CAP_DAC_READ_SEARCH": ["open_by_handle_at"],
    "CAP_SYS_ADMIN": [
      "bpf", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie", "mount", "mount_setattr",
      "move_mount", "open_tree", "perf_event_open", "quotactl", "quotactl_fd", "setdomainname", "sethostname",
      "syslog", "umount", "umount2",
    ],
    "CAP_BPF": ["bpf"],
    "CAP_PERFMON": ["perf_event_open"],
    "CAP_SYS_BOOT": ["reboot"],
    "CAP_SYS_CHROOT": ["chroot"],
    "CAP_SYS_MODULE": ["delete_module", "init_module", "finit_module"],
    "CAP_SYS_PACCT": ["acct"],
    "CAP_SYS_PTRACE": ["kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace"],
    "CAP_SYS_RAWIO": ["iopl", "ioperm"],
    "CAP_SYS_TIME": ["settimeofday", "stime", "clock_settime", "clock_settime64"],
    "CAP_SYS_TTY_CONFIG": ["vhangup"],
    "CAP_SYS_NICE": ["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"],
    "CAP_SYSLOG": ["syslog"],
  ]

  static let ordinary: [String] =
    """
    accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown chown32
    clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
    clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
    epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2
    fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat
    fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
    futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid
    getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid
    getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname
    getsockopt gettid gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl
    ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32
    lgetxattr link linkat listen listxattr llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise
    map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall
    mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
    mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
    name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe
    pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
    process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv
    recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr rename renameat renameat2
    restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
    seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto
    set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
    setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid
    setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr shmat shmctl shmdt shmget
    shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs
    statfs64 statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink
    unlinkat utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
    process_vm_readv process_vm_writev ptrace
    """.split(whereSeparator: \.isWhitespace).map(String.init)
}
