package backend

import (
	"os"
	"path/filepath"
	"strings"
)

// cudaDataFlag tells XLA where CUDA's tools are.
const cudaDataFlag = "--xla_gpu_cuda_data_dir"

// nvidiaFolders are the folders called nvidia in which NVIDIA's wheels lie, seen from a plugin: those of its own run path.
func nvidiaFolders(plugin string) []string {
	dir := filepath.Dir(plugin)
	var found []string
	for _, folder := range []string{filepath.Join(dir, "..", "nvidia"), filepath.Join(dir, "..", "..", "nvidia")} {
		if info, err := os.Stat(folder); err == nil && info.IsDir() {
			found = append(found, folder)
		}
	}
	return found
}

// cudaDataDir finds a folder with bin/ptxas and nvvm/libdevice, both of which XLA needs to compile for a GPU: in NVIDIA's wheels
// beside the plugin, in the toolkit that CUDA_HOME or CUDA_PATH name, around the ptxas on PATH, in the toolkit's usual places.
// Empty means that there is none.
func (p place) cudaDataDir(plugin string) string {
	var candidates []string
	for _, nvidia := range nvidiaFolders(plugin) {
		cuda13, cuda12 := filepath.Join(nvidia, "cu13"), filepath.Join(nvidia, "cuda_nvcc")
		if isCUDA12(plugin) {
			cuda13, cuda12 = cuda12, cuda13
		}
		candidates = append(candidates, cuda13, cuda12, nvidia)
	}
	for _, env := range []string{"CUDA_HOME", "CUDA_PATH"} {
		if dir := p.getenv(env); filepath.IsAbs(dir) {
			candidates = append(candidates, dir)
		}
	}
	for _, dir := range splitList(p.getenv("PATH")) {
		file := filepath.Join(dir, "ptxas")
		if real, err := filepath.EvalSymlinks(file); err == nil {
			candidates = append(candidates, filepath.Dir(filepath.Dir(real)))
		}
	}
	candidates = append(candidates, p.abs("/usr/local/cuda"), p.abs("/opt/cuda"))
	for _, dir := range candidates {
		if isExecutable(filepath.Join(dir, "bin", "ptxas")) && len(globBelow(dir, "nvvm/libdevice/libdevice*.bc")) > 0 {
			return dir
		}
	}
	return ""
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// withCUDAData is XLA_FLAGS with the folder of CUDA's tools, unless the flags name one already.
func withCUDAData(flags, dir string) string {
	if dir == "" || strings.Contains(flags, cudaDataFlag) {
		return flags
	}
	return strings.TrimSpace(flags + " " + cudaDataFlag + "=" + dir)
}

// nvidiaLibraries are the libraries that JAX loads before its plugin, in its order (jax_plugins/xla_cuda13/__init__.py). A library
// that is loaded is found by its name from then on, whatever LD_LIBRARY_PATH said when the process started; cuDNN, for one, looks
// for libnvrtc where the wheels do not put it.
var nvidiaLibraries = []string{
	"libcudart.so.*", "libnvrtc.so.*", "libnvJitLink.so.*", "libcublasLt.so.*", "libcublas.so.*", "libnccl.so.*", "libcupti.so.*",
	"libcusparse.so.*", "libcusolver.so.*", "libcufft.so.*", "libnvshmem_host.so.*", "libcudnn.so.*",
}

// nvidiaLibraryFiles finds those libraries in NVIDIA's wheels beside the plugin. CUDA 13's wheels share the folder cu13, those of
// CUDA 12 have one each: one process must not get both.
func nvidiaLibraryFiles(plugin string) []string {
	var files []string
	for _, pattern := range nvidiaLibraries {
		for _, nvidia := range nvidiaFolders(plugin) {
			var found []string
			for _, file := range globBelow(nvidia, filepath.Join("*", "lib", pattern)) {
				switch filepath.Base(filepath.Dir(filepath.Dir(file))) {
				case "cudnn", "nccl", "nvshmem": // the same folder for both
					found = append(found, file)
				case "cu13":
					if !isCUDA12(plugin) {
						found = append(found, file)
					}
				default:
					if isCUDA12(plugin) {
						found = append(found, file)
					}
				}
			}
			if len(found) > 0 {
				files = append(files, found[0])
				break
			}
		}
	}
	return files
}

// isCUDA12 says whether the plugin is JAX's for CUDA 12. Those of other names are taken for the current CUDA 13.
func isCUDA12(plugin string) bool {
	return strings.Contains(filepath.Base(filepath.Dir(plugin)), "cuda12") || strings.Contains(filepath.Base(plugin), "cuda12")
}
