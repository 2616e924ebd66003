package atomicfile

// SyncDir does nothing: Windows has no such call, and keeps the names of a folder in a log of its own.
func SyncDir(string) error { return nil }
