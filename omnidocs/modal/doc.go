// Package modal reads pages on GPUs that are rented from Modal by the second. It has what OmniDocs' guide for Modal shows in Python, in
// three ways.
//
// Sandboxes, from Go alone: [Client.Start] starts as many as you like, each with a GPU and our own server (or vLLM, see [VLLM]), and
// returns a [Fleet], which is a textextraction.TextExtractor over them. One that dies is left out, and its pages are read by the others.
// All of them are ended with the fleet, with its context, and by Modal itself after a time that is set when they are made; [Client.Reap]
// ends what a process that was killed has left. This is for batches: nothing waits, nothing scales by itself, a sandbox lives a day at most.
//
//	client, err := modal.Open(modal.Options{})
//	defer client.Close()
//	fleet, err := client.Start(ctx, 3, modal.Config{GPU: "A10G:1", Program: "serve-linux-amd64"})
//	defer fleet.Close()
//	for result, err := range fleet.Batch(ctx, pages, textextraction.BatchOptions{}) { … }
//
// Workers, from Go alone: [Client.StartWorkers] starts sandboxes whose program looks for its work by itself, such as the worker of
// omnidocs/jetstream, which pulls pages from a queue. One that dies is replaced, if you like, and they end as they do in a cluster: by
// SIGTERM. This is for jobs that are larger than a process that waits for them; examples/cluster shows one.
//
// A deployment, by Modal's command line: [Deployment.Python] writes the program from the same config, with a class that keeps its model
// loaded, a web endpoint, a job by the clock, scaling and retries. [Client.Worker] and [Endpoint] read with it from Go. This is for what
// is asked for at any time: it scales down to nothing. Modal has no other supported way to these from Go.
//
// What the guide sets stands for what a config leaves empty: the app omnidocs-deployment, an A10G, the volume omnidocs at /data with the
// caches of models, the secret adithya-hf-wandb with HF_TOKEN, 600 seconds for a page, 1800 for the first start. Where the guide is out of
// date, this package is not: A10G is called A10 now, there is no A40, all functions are on machines that may be taken away (the guide's
// spot=True is no argument), and the daily job runs at midnight by cron, not a day after it was deployed.
//
// Package modaltest is a Modal on this machine, for tests. It is what this package has been tested with: not yet a GPU of Modal's.
package modal
