// Package httpapi serves a text extractor over HTTP.
//
//	POST /v1/extract            a picture or document in the body, or as the field "file" of a form: the result as JSON
//	POST /extract_from_url      {"image_url": "https://…"}: the same for what is at an address
//	POST /v1/chat/completions   OpenAI's protocol, with the page as an image part
//	GET  /v1/models             the model's name, for OpenAI's clients
//	POST /v1/jobs               a document: 202, and where to ask how far it has come
//	GET  /v1/jobs/{id}          its state, and its pages as far as they are there; DELETE cancels it
//	GET  /healthz, /readyz      whether the process lives, and whether it takes pages
//	GET  /metrics               counts and times, in Prometheus' text format
//	GET  /openapi.json          this list for programs
//	GET  /                      a page to drop a document on
//
// Errors are JSON, {"error": {"message": …, "type": …}}, as OpenAI's clients expect them. How large a body, a picture, a queue and an
// answer may be is bounded by [Options]; what is beyond that is refused before it costs anything.
package httpapi
