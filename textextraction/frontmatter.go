package textextraction

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// FrontMatter is what olmOCR says of a page before its text.
type FrontMatter struct {
	// PrimaryLanguage is the language of most of the text, by its code ("en"). Empty means that there is none to tell.
	PrimaryLanguage string `json:"primary_language"`
	// IsRotationValid tells that the page is upright.
	IsRotationValid bool `json:"is_rotation_valid"`
	// RotationCorrection is how far the page is to be turned counter-clockwise to be so, in degrees: 0, 90, 180 or 270.
	// (The model's documentation says clockwise; its code and its training turn the other way.)
	RotationCorrection int `json:"rotation_correction"`
	// IsTable tells that most of the page is a table, IsDiagram that most of it is a diagram.
	IsTable   bool `json:"is_table"`
	IsDiagram bool `json:"is_diagram"`
	// Problem says why the front matter could not be read; then the other fields are zero, and the text is as the model
	// wrote it, with whatever stands at its head. Empty means that all is well.
	Problem string `json:"problem,omitzero"`
}

// frontMatter is ParserFrontMatter.
func (a *answerReader) frontMatter() {
	head, body, err := cutFrontMatter(a.raw)
	var fm FrontMatter
	if err == nil {
		fm, err = parseFrontMatter(head)
	}
	if err != nil {
		fm, body = FrontMatter{Problem: err.Error()}, span{0, len(a.raw)}
	}
	text := a.raw[body.start:body.end]
	a.result.FrontMatter = &fm
	if err != nil {
		a.result.Content = Clean(text, a.format)
	} else {
		a.result.Content = Clean(strings.ReplaceAll(text, "\r\n", "\n"), a.format)
	}
	a.result.PlainText = PlainText(text, a.format)
	a.result.Elements = a.elements(text, body.start)
}

// cutFrontMatter divides an answer into the lines between two of "---", and the text behind them without the white space
// around it.
func cutFrontMatter(s string) (head string, body span, err error) {
	text := strings.TrimLeftFunc(s, isSpace)
	rest, ok := strings.CutPrefix(text, "---\n")
	if !ok {
		rest, ok = strings.CutPrefix(text, "---\r\n")
	}
	if !ok {
		return "", span{}, errors.New("the answer does not begin with a line ---")
	}
	for at := 0; at < len(rest); {
		line, _, _ := strings.Cut(rest[at:], "\n")
		if strings.TrimRightFunc(line, isSpace) == "---" {
			behind := strings.TrimLeftFunc(rest[at+len(line):], isSpace)
			start := len(s) - len(behind)
			return rest[:at], span{start, start + len(strings.TrimRightFunc(behind, isSpace))}, nil
		}
		at += len(line) + 1
	}
	return "", span{}, errors.New("the front matter has no line --- at its end")
}

var frontMatterKeys = []string{"primary_language", "is_rotation_valid", "rotation_correction", "is_table", "is_diagram"}

// parseFrontMatter reads the lines of a front matter: each of the keys once, and nothing else.
func parseFrontMatter(head string) (fm FrontMatter, err error) {
	seen := map[string]bool{}
	for line := range strings.SplitSeq(head, "\n") {
		if strings.TrimFunc(line, isSpace) == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || !slices.Contains(frontMatterKeys, key) {
			return FrontMatter{}, fmt.Errorf("the front matter has the line %.100q; its keys are %s", line, strings.Join(frontMatterKeys, ", "))
		}
		if seen[key] {
			return FrontMatter{}, fmt.Errorf("the front matter has %s twice", key)
		}
		seen[key] = true
		if err := fm.set(key, unquote(strings.TrimFunc(value, isSpace))); err != nil {
			return FrontMatter{}, fmt.Errorf("the front matter has %s: %.100q, want %w", key, value, err)
		}
	}
	for _, key := range frontMatterKeys {
		if !seen[key] {
			return FrontMatter{}, fmt.Errorf("the front matter has no %s", key)
		}
	}
	return fm, nil
}

// language is a code such as "en", "eng" or "zh-Hans". "no" is Norwegian, though YAML takes it for false.
var language = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$`)

// set sets the field of a key. Its error says what is wanted.
func (fm *FrontMatter) set(key, value string) error {
	if key == "primary_language" {
		if value == "" || value == "~" || strings.EqualFold(value, "null") {
			return nil
		}
		if !language.MatchString(value) {
			return errors.New("the code of a language or null")
		}
		fm.PrimaryLanguage = value
		return nil
	}
	if key == "rotation_correction" {
		degrees, ok := map[string]int{"0": 0, "90": 90, "180": 180, "270": 270}[value]
		if !ok {
			return errors.New("0, 90, 180 or 270")
		}
		fm.RotationCorrection = degrees
		return nil
	}
	is := strings.EqualFold(value, "true")
	if !is && !strings.EqualFold(value, "false") {
		return errors.New("true or false")
	}
	*map[string]*bool{"is_rotation_valid": &fm.IsRotationValid, "is_table": &fm.IsTable, "is_diagram": &fm.IsDiagram}[key] = is
	return nil
}

// unquote takes a pair of quotes off.
func unquote(s string) string {
	if len(s) > 1 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}
