package modal_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/omnidocs/omnidocs/omnidocs/modal"
	"github.com/omnidocs/omnidocs/textextraction"
)

// Three GPUs read a batch and are given back. It costs money, so it is compiled and not run; examples/sandboxes runs offline.
func ExampleClient_Start() {
	ctx := context.Background()
	client, err := modal.Open(modal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fleet, err := client.Start(ctx, 3, modal.Config{GPU: "A10G:1", Program: "serve-linux-amd64"})
	if err != nil {
		log.Fatal(err)
	}
	defer fleet.Close()
	for result, err := range fleet.Batch(ctx, textextraction.Files(ctx, "1.png", "2.png", "3.png"), textextraction.BatchOptions{}) {
		if err != nil {
			log.Print(err)
			continue
		}
		fmt.Println(result.Worker, result.WordCount)
	}
}

// A job that runs by a schedule ends what its last run has left, if that was killed.
func ExampleClient_Reap() {
	ctx := context.Background()
	client, err := modal.Open(modal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Reap(ctx, "", "nightly"); err != nil {
		log.Fatal(err)
	}
	fleet, err := client.Start(ctx, 3, modal.Config{Fleet: "nightly", Program: "serve-linux-amd64"})
	if err != nil {
		log.Fatal(err)
	}
	defer fleet.Close()
}

// Ten GPUs pull pages from a queue, which they reach over the internet: the secret has NATS_URL, tls://queue.example.com:4222 for example,
// and NATS_CREDS. It costs money, so it is compiled and not run; the module examples/cluster runs offline.
func ExampleClient_StartWorkers() {
	ctx := context.Background()
	client, err := modal.Open(modal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	workers, err := client.StartWorkers(ctx, 10, modal.Config{
		GPU: "A10G:1", Program: "worker-linux-amd64", Secrets: []string{modal.DefaultSecret, "nats-worker"},
		Args: []string{"-model", modal.DefaultModel, "-device", "cuda", "-parallel", "32"},
	}, modal.WorkersOptions{Replace: 10})
	if err != nil {
		log.Fatal(err)
	}
	defer workers.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() { stop(workers.Wait(ctx)) }() // with no workers left the job would not end
	waitForJob(ctx)
}

func waitForJob(context.Context) {}

// The program for "modal deploy", with a job at midnight.
func ExampleDeployment_Python() {
	program, err := modal.Deployment{
		Config: modal.Config{GPU: "A10G:1", Image: modal.Image{Registry: "registry.example.com/omnidocs:cuda", Python: "3.12"}}, Schedule: "0 0 * * *",
	}.Python()
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(string(program)) {
		if strings.Contains(line, "schedule=") || strings.Contains(line, "gpu=") {
			fmt.Println(strings.TrimSpace(line))
		}
	}
	// Output:
	// gpu="A10:1",
	// @app.function(timeout=3600, schedule=modal.Cron("0 0 * * *", timezone="UTC"), max_containers=1, **COMMON)
}

// The web endpoint of a deployment is read with like any server that speaks OpenAI's protocol.
func ExampleEndpoint_Config() {
	e := modal.Endpoint{URL: "https://me--omnidocs-deployment-server.modal.run", ProxyKey: "wk-1", ProxySecret: "ws-1"}
	x, err := textextraction.NewQwenTextExtractor(context.Background(), e.Config(modal.DefaultModel))
	if err != nil {
		log.Fatal(err)
	}
	defer x.Close()
	fmt.Println(e.Config(modal.DefaultModel).APIBase)
	// Output: https://me--omnidocs-deployment-server.modal.run/v1
}
