// Package compilecache keeps compiled XLA programs on disk, so that a process that starts again compiles nothing.
//
// go-xla v0.4.5 can neither write an executable nor read one, though PJRT's C API can (PJRT_Executable_Serialize and
// PJRT_Executable_DeserializeAndLoad). But all that go-xla knows of a plugin is a table of C functions, and it takes one that its
// caller hands it (pjrt.RegisterPreloadedPlugin). So [Attach] hands it a copy of the plugin's own table in which one function is
// another: PJRT_Client_Compile looks for the program on disk first. What calls it, and what it returns, is as it was.
//
// That function looks into a cache only under [Cache.Run], on whose thread it is called: what compiles outside of it, and other
// users of go-xla in the process, are not concerned.
//
// A cache is never the cause of an error: what cannot be read is compiled, and what cannot be written is not kept.
package compilecache
