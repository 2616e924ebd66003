// Package modaltest is a Modal that runs on this machine, for tests and for trying things out: it speaks the protocol of Modal's clients,
// for Go and for Python, as far as this library and "modal deploy" use it.
//
//	fake, err := modaltest.New(modaltest.Options{Dir: t.TempDir()})
//	defer fake.Close()
//	for name, value := range fake.Env() {
//		t.Setenv(name, value) // Modal's clients read their server's address from the environment
//	}
//	client, err := modal.Open(modal.Options{HTTPClient: fake.HTTPClient()})
//
// A sandbox is a process of this machine with a folder of its own: a path that is in the folder means the file there; what is below the
// mount of a volume is in a folder of that volume, in arguments and in the environment too; an argument that ends in :PORT, with a port
// that the sandbox opens, becomes an address of the loopback interface. A tunnel leads there, with TLS. A GPU is a word that is written
// down, and an image what was uploaded into a sandbox that was made of it. Lifetimes are kept; that a sandbox is idle is not noticed.
//
// Functions are what [Server.HandleMethod] says. What is deployed is written down, see [Server.Deployed], and not run.
//
// [Server.Kill], [Server.Fail] and [Server.Break] make it fail as Modal may.
package modaltest
