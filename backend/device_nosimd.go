//go:build !goexperiment.simd || !amd64

package backend

// builtWithSIMD says whether GoMLX's pure-Go backend has its vector kernels in this build.
const builtWithSIMD = false
