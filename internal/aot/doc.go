// Package aot compiles StableHLO for a GPU that is not there, with XLA's own CUDA plugin, and tells what became of it: which kernels run
// in what order, what is copied, which inputs and outputs share memory, which of cuDNN's calls there are. Speed it cannot tell.
//
// It needs three things, none of which a GPU or its driver: the PJRT plugin for CUDA (wheel jax-cuda13-pjrt 0.11.2, 134 MB, file
// jax_plugins/xla_cuda13/xla_cuda_plugin.so), a folder with bin/ptxas and nvvm/libdevice (wheels nvidia-cuda-nvcc 13.0.88 and
// nvidia-nvvm 13.0.88, both unpacked over each other, folder nvidia/cu13; ptxas must be made executable), and the description of the
// GPU as text: h200.txtpb of XLA's sources (xla/backends/gpu/target_config/specs), or the *.gpu_target_config.pbtxt that the
// flag --xla_dump_to writes on a machine that has one.
//
//	pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_27_x86_64 \
//	    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
//	    jax-cuda13-pjrt==0.11.2 nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88
//	for w in *.whl; do python3 -m zipfile -e $w cuda; done; chmod +x cuda/nvidia/cu13/bin/ptxas
//	export OMNIDOCS_AOT_PLUGIN=$PWD/cuda/jax_plugins/xla_cuda13/xla_cuda_plugin.so OMNIDOCS_AOT_CUDA=$PWD/cuda/nvidia/cu13
//	export OMNIDOCS_AOT_TARGET=$PWD/h200.txtpb
//	go test ./qwen -run TestCUDA -v
//
// Without a GPU nothing is tuned: each product of matrices shows as a Triton kernel of default tiles, where on the card cuBLASLt
// may take its place.
package aot
