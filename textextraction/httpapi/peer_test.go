package httpapi_test

import (
	"encoding/base64"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/textextraction/httpapi"
)

// A client that nobody here wrote, OpenAI's own for Python, asks this server, streaming and not.
//
//	pip install openai
//	OMNIDOCS_PYTHON=$(which python) go test ./textextraction/httpapi -run TestOpenAIClient -v
func TestOpenAIClient(t *testing.T) {
	python := os.Getenv("OMNIDOCS_PYTHON")
	if python == "" || exec.CommandContext(t.Context(), python, "-c", "import openai").Run() != nil {
		t.Skip("OMNIDOCS_PYTHON is not set to a Python that has openai")
	}
	url := serve(t, &fake{}, httpapi.Options{Tokens: []string{"secret"}, Model: "tiny"})
	client := exec.CommandContext(t.Context(), python, "-c", `
import openai, sys
c = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="secret", max_retries=0)
assert [m.id for m in c.models.list()] == ["tiny"]
page = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + sys.argv[2]}}
messages = [{"role": "system", "content": "be exact"}, {"role": "user", "content": [page, {"type": "text", "text": "read"}]}]
want = "# 77 pixels, “read” be exact\n<!-- Image (1, 2, 3, 4) -->\n"
r = c.chat.completions.create(model="tiny", messages=messages, temperature=0, max_tokens=100)
assert r.choices[0].message.content == want, r
assert r.choices[0].finish_reason == "stop" and r.usage.total_tokens == 18, r
pieces = list(c.chat.completions.create(model="tiny", messages=messages, stream=True, stream_options={"include_usage": True}))
assert "".join(p.choices[0].delta.content or "" for p in pieces if p.choices) == want, pieces
assert pieces[-1].usage.completion_tokens == 7, pieces
try:
    c.chat.completions.create(model="tiny", messages=messages[:1])
    raise SystemExit("no error without a page")
except openai.BadRequestError as e:
    assert "no image" in str(e), e
try:
    openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="wrong", max_retries=0).models.list()
    raise SystemExit("no error with a wrong key")
except openai.AuthenticationError:
    pass
print("asked as OpenAI's client asks")
`, url, base64.StdEncoding.EncodeToString(pagePNG(t, 77)))
	out, err := client.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "asked as")
}
