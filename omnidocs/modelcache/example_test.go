package modelcache_test

import (
	"context"
	"fmt"

	"github.com/omnidocs/omnidocs/omnidocs/modelcache"
	"github.com/omnidocs/omnidocs/textextraction"
)

// Two extractors of one model, which is loaded once.
func ExampleCache_Extractor() {
	ctx := context.Background()
	cache := modelcache.New(modelcache.Config{MaxEntries: 2})
	defer cache.Clear()
	for _, temperature := range []float64{0, 0.7} {
		ex, err := cache.Extractor(ctx, textextraction.QwenTextPyTorchConfig{
			Model: textextraction.TinyModel, Device: "go", Temperature: temperature,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer ex.Close()
	}
	info := cache.Info()
	fmt.Println(info.NumEntries, "model:", info.Keys[0])
	fmt.Println("used by", info.Entries[info.Keys[0]].RefCount)
	// Output:
	// 1 model: Qwen:PyTorchConfig:device=go,model=omnidocs/tiny
	// used by 2
}

// Configs that load the same model have the same key.
func ExampleKey() {
	key, err := modelcache.Key(textextraction.QwenTextVLLMConfig{TensorParallelSize: 2, MaxTokens: 4096})
	fmt.Println(key, err)
	// Output: Qwen:VLLMConfig:model=Qwen/Qwen3-VL-8B-Instruct,tensor_parallel_size=2 <nil>
}
