"""Every system call may fail once: a sweep over all calls of small runs that touch NIGHT or OUT."""
