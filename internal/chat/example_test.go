package chat_test

import (
	"fmt"
	"log"
	"os"

	"github.com/omnidocs/omnidocs/internal/chat"
)

func ExampleFromFS() {
	template, err := chat.FromFS(os.DirFS("testdata/checkpoint"))
	if err != nil {
		log.Fatal(err)
	}
	prompt, err := template.Render([]chat.Message{
		{Role: "user", Content: []chat.Part{{Type: "image"}, {Type: "text", Text: "qwenvl markdown"}}},
	}, true)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(prompt)
	// Output:
	// <|im_start|>user
	// <|vision_start|><|image_pad|><|vision_end|>qwenvl markdown<|im_end|>
	// <|im_start|>assistant
}
