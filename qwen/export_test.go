package qwen

// LoadSpec loads a checkpoint as if its configuration had said something else.
var LoadSpec = load
