// Package textextraction turns page images into Markdown or HTML with Qwen-VL models.
package textextraction
