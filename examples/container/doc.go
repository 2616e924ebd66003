// Package container holds two Dockerfiles for examples/serve: Dockerfile.cpu for XLA's CPU plugin, Dockerfile.cuda for NVIDIA GPUs.
// Their heads say how they are built and run. The tests hold them to what is in the repository; that they build, only an engine for
// containers can tell.
package container
