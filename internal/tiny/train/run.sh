#!/bin/sh
# Runs train.py at low priority with the settings that matter on few, shared cores: threads that sleep instead of spinning
# (4 times less CPU time when others use the cores) and memory that stays with the process.
export OMP_NUM_THREADS=2 GOMP_SPINCOUNT=0 OMP_WAIT_POLICY=passive
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=20000000000 MALLOC_TOP_PAD_=200000000 GLIBC_TUNABLES=glibc.malloc.hugetlb=1
exec nice -n "${NICE:-15}" "${PYTHON:-python}" "$(dirname "$0")/train.py" "$@"
