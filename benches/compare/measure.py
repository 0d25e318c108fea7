"""Runs a program and prints wall time, processor time and peak memory: measure.py PROGRAM ARGUMENT...

A small process of its own: what a parent holds when it forks counts as its child's peak.
"""
import os
import sys
import time

null = os.open(os.devnull, os.O_RDWR)
begun = time.monotonic()
child = os.fork()
if child == 0:
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
wall = time.monotonic() - begun
print(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
