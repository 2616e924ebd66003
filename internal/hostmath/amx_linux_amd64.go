package hostmath

import (
	"syscall"

	"golang.org/x/sys/cpu"
)

// hasTiles says whether there is AMX, for int8 and bfloat16, and asks the kernel to let this process use it: its registers are so large that
// Linux keeps them for those alone who ask (Documentation/arch/x86/xstate.rst).
func hasTiles() bool {
	if !cpu.X86.HasAMXTile || !cpu.X86.HasAMXInt8 || !cpu.X86.HasAMXBF16 {
		return false
	}
	const (
		archReqXcompPerm = 0x1023
		xfeatureTileData = 18
	)
	_, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, archReqXcompPerm, xfeatureTileData, 0)
	return errno == 0
}
