package textextraction_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"time"

	"github.com/omnidocs/omnidocs/internal/tiny"
	"github.com/omnidocs/omnidocs/textextraction"
)

func ExampleNewQwenTextExtractor() {
	ctx := context.Background()
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{
		Model:  "Qwen/Qwen3-VL-8B-Instruct",
		Device: "cuda",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()
	res, err := ex.ExtractFile(ctx, "page.png", textextraction.Markdown)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Content, res.WordCount, res.ContentLength)
}

func ExampleQwenTextExtractor_ExtractWith() {
	ctx := context.Background()
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{Model: textextraction.TinyModel})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()
	page, err := textextraction.LoadImage(ctx, "page.png")
	if err != nil {
		log.Fatal(err)
	}
	res, err := ex.ExtractWith(ctx, page, textextraction.Options{
		Format:       textextraction.HTML,
		MaxNewTokens: 200,
		Sampling:     textextraction.Sampling{Temperature: 0.7, TopP: 0.8, Seed: 1},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Content, res.Truncated)
}

func ExampleQwenTextExtractor_Batch() {
	ctx := context.Background()
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextPyTorchConfig{BatchSize: 4})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()
	paths := []string{"1.png", "2.png", "3.png"}
	n := 0
	for res, err := range ex.Batch(ctx, textextraction.Files(ctx, paths...), textextraction.BatchOptions{
		Total:    len(paths),
		Progress: func(done, total int) { log.Printf("%d of %d", done, total) },
	}) {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			fmt.Println(paths[n], "is not there")
		case err != nil:
			fmt.Println(err) // names the page
		default:
			fmt.Println(paths[n], res.WordCount, res.FinishReason)
		}
		n++
	}
}

func ExampleParseFormat() {
	format, err := textextraction.ParseFormat("html")
	fmt.Println(format, err)
	_, err = textextraction.ParseFormat("pdf")
	fmt.Println(err)
	fmt.Println(errors.Is(err, textextraction.ErrFormat))
	// Output:
	// html <nil>
	// textextraction: invalid output_format: "pdf". Expected 'html' or 'markdown'
	// true
}

func ExampleClean() {
	raw := `<p class="a" data-bbox="104 33 512 60" >Profit > loss</p>`
	fmt.Println(textextraction.Clean(raw, textextraction.HTML))
	raw = "Sales:\n\n<!-- Table (120, 40, 880, 310) -->\n| Q1 | Q2 |"
	fmt.Println(textextraction.Clean(raw, textextraction.Markdown))
	// Output:
	// <p class="a">Profit > loss</p>
	// Sales:
	//
	// | Q1 | Q2 |
}

func ExamplePlainText() {
	raw := "# Results\n\nThe *best* model, `qwen_vl`, has 0.93**.\n\n| Model | Score |\n| :--- | ---: |\n| A&amp;B | 2*3 |"
	fmt.Println(textextraction.PlainText(raw, textextraction.Markdown))
	// Output:
	// Results The best model, qwen_vl, has 0.93**. | Model | Score | | A&B | 2*3 |
}

func ExampleExtractResult() {
	res := textextraction.NewExtractResult("# Größe\n\nzwei Wörter", textextraction.Markdown)
	res.FinishReason = textextraction.FinishStop
	res.Timings.Total = 1500 * time.Millisecond
	text, err := json.MarshalIndent(res, "", "  ")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
	// Output:
	// {
	//   "content": "# Größe\n\nzwei Wörter",
	//   "format": "markdown",
	//   "raw_output": "# Größe\n\nzwei Wörter",
	//   "plain_text": "Größe zwei Wörter",
	//   "word_count": 3,
	//   "content_length": 20,
	//   "finish_reason": "stop",
	//   "truncated": false,
	//   "prompt_tokens": 0,
	//   "visual_tokens": 0,
	//   "completion_tokens": 0,
	//   "timings": {
	//     "preprocess": 0,
	//     "encode": 0,
	//     "prefill": 0,
	//     "decode": 0,
	//     "total": 1.5
	//   },
	//   "elements": [
	//     {
	//       "kind": "heading",
	//       "level": 1,
	//       "text": "Größe",
	//       "content": "# Größe",
	//       "start": 0,
	//       "end": 9
	//     },
	//     {
	//       "kind": "text",
	//       "text": "zwei Wörter",
	//       "content": "zwei Wörter",
	//       "start": 11,
	//       "end": 23
	//     }
	//   ]
	// }
}

// Many pages at a time: each joins the others as soon as there is room.
func ExampleQwenTextVLLMConfig() {
	ctx := context.Background()
	ex, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextVLLMConfig{
		Model: textextraction.TinyModel, Device: "go", MaxNumSeqs: 2, MaxTokens: 256, EnforceEager: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: "the black house", Width: 384, Height: 128})
	if err != nil {
		log.Fatal(err)
	}
	for res, err := range ex.Batch(ctx, textextraction.Images(page.Image, page.Image, page.Image), textextraction.BatchOptions{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(res.WordCount, "words")
	}
	_, err = textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextVLLMConfig{TensorParallelSize: 2, Devices: 3})
	fmt.Println(err)
	// Output:
	// 3 words
	// 3 words
	// 3 words
	// textextraction: invalid configuration: QwenTextVLLMConfig: Devices: 3 is no multiple of TensorParallelSize, 2
}

func ExampleQwenTextPyTorchConfig() {
	// What Python's config.model_dump_json() writes can be read; what it does not have cannot.
	var cfg textextraction.QwenTextPyTorchConfig
	err := json.Unmarshal([]byte(`{"model": "Qwen/Qwen3-VL-2B-Instruct", "device": "cuda", "max_new_tokens": 4096}`), &cfg)
	fmt.Println(cfg.Model, cfg.Device, cfg.MaxNewTokens, err)
	err = json.Unmarshal([]byte(`{"load_in_4bit": true}`), &cfg)
	fmt.Println(err)

	// Everything that is wrong is told at once.
	_, err = textextraction.NewQwenTextExtractor(context.Background(), textextraction.QwenTextPyTorchConfig{
		MaxNewTokens: 100, Temperature: 3,
	})
	fmt.Println(err)
	// Output:
	// Qwen/Qwen3-VL-2B-Instruct cuda 4096 <nil>
	// textextraction: QwenTextPyTorchConfig: json: unknown field "load_in_4bit"
	// textextraction: invalid configuration: QwenTextPyTorchConfig: MaxNewTokens: 100 is outside 256 to 32768; Options.MaxNewTokens may be smaller
	// Temperature: 3 is outside 0 to 2 (0 is greedy)
}

func ExamplePresetFor() {
	p := textextraction.PresetFor("allenai/olmOCR-2-7B-1025-FP8")
	fmt.Println(p.Name, p.TextFirst, p.PageSize.LongestSide, p.MaxNewTokens, p.Parser)
	fmt.Println(textextraction.PresetFor("someone/unknown").Name)
	// Output:
	// olmocr2 true 1288 8000 front_matter
	// qwen3vl
}

func ExamplePreset() {
	// A preset of one's own, in JSON; in Go it is a struct. Here the embedded model stops at the first dot.
	var cfg textextraction.QwenTextPyTorchConfig
	err := json.Unmarshal([]byte(`{
		"model": "omnidocs/tiny",
		"device": "go",
		"custom_preset": {
			"name": "first sentence",
			"prompts": {"markdown": "qwenvl markdown"},
			"stops": ["<|im_end|>", "."]
		}
	}`), &cfg)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	ex, err := textextraction.NewQwenTextExtractor(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer ex.Close()
	page, err := tiny.DrawPage(tiny.PageOptions{Markdown: "The door was open. Nobody came.", Width: 512, Height: 128})
	if err != nil {
		log.Fatal(err)
	}
	res, err := ex.Extract(ctx, page.Image, textextraction.Markdown)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Content, res.FinishReason)
	// Output: The door was open stop
}

// Two models in this process and one behind a server, as one extractor.
func ExampleNewPoolOf() {
	ctx := context.Background()
	gpu, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextVLLMConfig{Device: "cuda", MaxNumSeqs: 32})
	if err != nil {
		log.Fatal(err)
	}
	server, err := textextraction.NewQwenTextExtractor(ctx, textextraction.QwenTextAPIConfig{
		Model: "Qwen/Qwen3-VL-8B-Instruct", APIBase: "http://gpu-2:8000/v1",
	})
	if err != nil {
		log.Fatal(err)
	}
	pool, err := textextraction.NewPoolOf(textextraction.PoolOptions{},
		textextraction.Worker{Name: "here", Extractor: gpu, MaxInFlight: 64},
		textextraction.Worker{Name: "gpu-2", Extractor: server, MaxInFlight: 32})
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close() // the workers too
	for res, err := range pool.Batch(ctx, textextraction.Files(ctx, "a.png", "b.png"), textextraction.BatchOptions{}) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(res.Worker, res.WordCount)
	}
}

func ExamplePreset_ReadAnswer() {
	// An answer of Qwen3-VL for a page of 1000 × 1400 pixels, made by another program.
	answer := "# Prices\n\n<!-- Table (100, 200, 900, 400) -->\n" +
		`\begin{tabular}{|l|r|} \hline Item & Price \\ \hline Tea & 2.50 \\ Cake & 3.00 \\ \hline \end{tabular}`
	res := textextraction.PresetFor("Qwen/Qwen3-VL-8B-Instruct").ReadAnswer(answer, textextraction.Markdown,
		textextraction.Sizes{Width: 1000, Height: 1400})
	for _, e := range res.Elements {
		fmt.Println(e.Kind, e.Level, e.Box)
		if e.Table != nil {
			fmt.Println(e.Table.Markdown())
		}
	}
	// Output:
	// heading 1 [0 0 0 0]
	// table 0 [100 280 900 560]
	// | Item | Price |
	// | --- | --- |
	// | Tea | 2.50 |
	// | Cake | 3.00 |
}
