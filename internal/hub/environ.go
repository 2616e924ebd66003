package hub

import (
	"os"
	"path/filepath"
	"strings"
)

// environ is what the environment and the Source say together.
type environ struct {
	// roots are the cache folders to look in; the first is downloaded to.
	roots    []string
	endpoint string
	token    string
	offline  bool
}

func newEnviron(src Source) environ {
	home := hfHome()
	return environ{
		roots:    cacheRoots(src.CacheDir, home),
		endpoint: strings.TrimRight(firstOf(os.Getenv("HF_ENDPOINT"), "https://huggingface.co"), "/"),
		token:    firstOf(src.Token, token(home)),
		offline:  src.Offline || isTrue("HF_HUB_OFFLINE") || isTrue("TRANSFORMERS_OFFLINE"),
	}
}

// hfHome is huggingface_hub's constants.HF_HOME.
func hfHome() string {
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return expandHome(dir)
	}
	cache := firstOf(os.Getenv("XDG_CACHE_HOME"), "~/.cache")
	return filepath.Join(expandHome(cache), "huggingface")
}

// cacheRoots lists the folders that may hold models--org--name folders.
func cacheRoots(custom, home string) []string {
	if custom != "" {
		dir := expandHome(custom)
		return []string{dir, filepath.Join(dir, "hub")}
	}
	var roots []string
	// Python OmniDocs makes its folder HF_HOME, so that models come into hub.
	if dir := modelsDir(); dir != "" {
		dir = expandHome(dir)
		roots = append(roots, filepath.Join(dir, "hub"), dir)
	}
	if dir := firstOf(os.Getenv("HF_HUB_CACHE"), os.Getenv("HUGGINGFACE_HUB_CACHE")); dir != "" {
		return append(roots, expandHome(dir))
	}
	return append(roots, filepath.Join(home, "hub"))
}

// modelsDir is OmniDocs' own folder of models, "" if there is none. Its guide sets OMNIDOCS_MODEL_CACHE, which Python does
// not read.
func modelsDir() string {
	return firstOf(os.Getenv("OMNIDOCS_MODELS_DIR"), os.Getenv("OMNIDOCS_MODEL_CACHE"))
}

// token is the token that huggingface_hub would use, "" if there is none.
func token(home string) string {
	if t := firstOf(os.Getenv("HF_TOKEN"), os.Getenv("HUGGING_FACE_HUB_TOKEN")); t != "" {
		return strings.TrimSpace(t)
	}
	file := firstOf(expandHome(os.Getenv("HF_TOKEN_PATH")), filepath.Join(home, "token"))
	data, err := os.ReadFile(file)
	if err != nil {
		return "" // nobody has logged in; the hub says if that matters
	}
	return strings.TrimSpace(string(data))
}

// isTrue reads a switch as huggingface_hub does.
func isTrue(name string) bool {
	switch strings.ToUpper(os.Getenv(name)) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// expandHome replaces a leading ~ by the user's home folder.
func expandHome(path string) string {
	if path != "~" && !strings.HasPrefix(path, "~/") {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return filepath.Join(home, path[1:])
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
