package hostmath

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// hasTiles says whether there is AMX, for int8 and bfloat16, and asks the kernel to let this process use it: its registers are so large that
// Linux keeps them for those alone who ask (Documentation/arch/x86/xstate.rst).
func hasTiles() bool {
	if !cpu.X86.HasAMXTile || !cpu.X86.HasAMXInt8 || !cpu.X86.HasAMXBF16 {
		return false
	}
	const (
		archGetXcompPerm = 0x1022
		archReqXcompPerm = 0x1023
		xfeatureTileData = 18
		tiles            = 3 << 17 // their configuration and their data, in XCR0
	)
	if enabledStates()&tiles != tiles { // the system below does not keep them
		return false
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, archReqXcompPerm, xfeatureTileData, 0); errno != 0 {
		return false
	}
	var granted uint64
	_, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, archGetXcompPerm, uintptr(unsafe.Pointer(&granted)), 0)
	return errno == 0 && granted>>xfeatureTileData&1 == 1
}

// enabledStates is XCR0, which says what registers the system keeps.
func enabledStates() uint32
