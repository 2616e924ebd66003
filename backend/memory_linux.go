package backend

import "os"

func hostMemory() (MemoryStats, error) { return linuxMemory(os.DirFS("/")) }
