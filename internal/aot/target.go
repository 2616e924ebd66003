package aot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Target says with what and for what is compiled: paths, see the package's comment.
type Target struct {
	// Plugin is the PJRT plugin for CUDA.
	Plugin string
	// CUDA is a folder with bin/ptxas and nvvm/libdevice.
	CUDA string
	// Config describes the GPU, a stream_executor.GpuTargetConfigProto as text.
	Config string
	// Flags are more flags for XLA, as XLA_FLAGS has them. Only those of the first compiler of a process count.
	Flags string
}

// The variables that [FromEnv] reads.
const (
	EnvPlugin = "OMNIDOCS_AOT_PLUGIN"
	EnvCUDA   = "OMNIDOCS_AOT_CUDA"
	EnvTarget = "OMNIDOCS_AOT_TARGET"
	EnvFlags  = "OMNIDOCS_AOT_FLAGS"
)

// ErrNotAsked is the error of [FromEnv] where the variables are not set.
var ErrNotAsked = errors.New(EnvPlugin + ", " + EnvCUDA + " and " + EnvTarget + " are not set")

// FromEnv reads a target from the environment.
func FromEnv() (Target, error) {
	t := Target{os.Getenv(EnvPlugin), os.Getenv(EnvCUDA), os.Getenv(EnvTarget), os.Getenv(EnvFlags)}
	if t.Plugin == "" && t.CUDA == "" && t.Config == "" {
		return t, ErrNotAsked
	}
	return t, t.check()
}

// check sees that everything is there, since XLA's own messages come late and say little.
func (t Target) check() error {
	if t.Plugin == "" || t.CUDA == "" || t.Config == "" {
		return fmt.Errorf("of %s, %s and %s all or none must be set", EnvPlugin, EnvCUDA, EnvTarget)
	}
	for _, file := range []string{t.Plugin, t.Config} {
		if _, err := os.Stat(file); err != nil {
			return err
		}
	}
	if info, err := os.Stat(filepath.Join(t.CUDA, "bin", "ptxas")); err != nil || info.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("%s has no bin/ptxas that can be run", t.CUDA)
	}
	if found, err := filepath.Glob(filepath.Join(t.CUDA, "nvvm", "libdevice", "libdevice*.bc")); err != nil || len(found) == 0 {
		return fmt.Errorf("%s has no nvvm/libdevice/libdevice*.bc", t.CUDA)
	}
	return nil
}

// flags are the flags that XLA is to be started with: it writes what this package reads into the folder dump.
func (t Target) flags(dump string) string {
	return strings.TrimSpace(strings.Join([]string{
		os.Getenv("XLA_FLAGS"),
		"--xla_gpu_cuda_data_dir=" + t.CUDA, "--xla_dump_to=" + dump, "--xla_dump_hlo_as_text",
		"--xla_gpu_experimental_dump_gpu_executable=true", t.Flags,
	}, " "))
}
