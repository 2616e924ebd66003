// Package observe tells Prometheus and OpenTelemetry what text extractors do. It is a module of its own, so that the library does not
// bring their clients to those who want neither.
//
//	x, err := textextraction.NewQwenTextExtractor(ctx, cfg)
//	collector, err := observe.NewCollector(x, nil) // or of a *textextraction.Pool
//	prometheus.MustRegister(collector)             // and promhttp.Handler() shows pages, slots, tokens, times, cache, memory
//
// [NewCollector] asks an extractor for its statistics when Prometheus asks for them; between, it costs nothing.
//
// [Wrap] makes of an extractor one whose pages are spans of OpenTelemetry, each with a span for each of its phases (preprocess, queue,
// encode, prefill, decode), beneath the span of the caller's context, and which are measured as its conventions for generative models say
// (gen_ai.client.operation.duration, gen_ai.client.token.usage). It takes any extractor: of a model here, of one behind a server, a pool.
//
// [NewObserver] is for the engine within an extractor of a model here, as the Observer of its config: gen_ai.server.request.duration,
// gen_ai.server.time_to_first_token and what else happens there.
//
// The text of pages goes nowhere.
package observe
