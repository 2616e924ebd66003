// Package hub finds the folder of a model: one that is given as it is, one in
// Hugging Face's cache, or one downloaded into that cache.
//
// The cache is the one of Python's huggingface_hub, in both directions: what
// Python downloaded is found here, what is downloaded here is found by Python,
// half-finished files and locks included.
//
//	models--Qwen--Qwen3-VL-2B-Instruct/
//	  refs/main                     the commit that main was, as 40 hex digits
//	  snapshots/COMMIT/config.json  a link into blobs
//	  blobs/HASH                    a file, HASH.incomplete while it arrives
//
// A model whose files are all in the cache is used without a word to the
// network; to look for a newer one, name a revision or delete the refs file.
//
// The hub is asked through go-huggingface's client. The files are fetched here,
// because that client (v0.4.3) begins a broken download anew, reports a dropped
// connection as a success that leaves a dangling link, checks neither size nor
// hash, and does not write refs, without which Python finds nothing offline.
package hub
