package table

import (
	"html"
	"strings"
)

// latexFormats are commands that change how a text looks; the text stays. Those of latexSwitches take no group.
var (
	latexFormats = wordSet("textbf textit textsl textsc texttt textrm textsf textmd textup textnormal emph underline uline text mbox makecell shortstack " +
		"thead textsuperscript textsubscript sout hbox centering parbox")
	latexSwitches = wordSet("bf it rm sf tt sl sc em bfseries itshape scshape ttfamily rmfamily sffamily tiny scriptsize footnotesize small normalsize large " +
		"Large LARGE huge Huge centering raggedright raggedleft arraybackslash noindent hfill strut quad qquad relax")
	latexSymbols = map[string]string{
		`\&`: "&", `\%`: "%", `\$`: "$", `\#`: "#", `\_`: "_", `\{`: "{", `\}`: "}", `\ `: " ", `\,`: " ", `\;`: " ", `\:`: " ", `\!`: "", `\-`: "", `\/`: "",
		`\\`: "\n", `\newline`: "\n", `\linebreak`: "\n", `\textbackslash`: `\`, `\textasciitilde`: "~", `\textasciicircum`: "^", `\textless`: "<", `\textgreater`: ">",
		`\textbar`: "|", `\ldots`: "…", `\dots`: "…", `\textellipsis`: "…", `\textdegree`: "°", `\degree`: "°", `\pounds`: "£", `\euro`: "€", `\texteuro`: "€",
		`\S`: "§", `\P`: "¶", `\copyright`: "©", `\textregistered`: "®", `\texttrademark`: "™", `\ss`: "ß", `\textendash`: "–", `\textemdash`: "—", `\textbullet`: "•",
		`\checkmark`: "✓", `\square`: "☐", `\textquotesingle`: "'", `\tabularnewline`: "\n",
	}
)

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		set[`\`+word] = true
	}
	return set
}

// latexText is the text of a piece of LaTeX: without formatting, with escapes undone. Math and unknown commands stay, a table
// within becomes lines.
func latexText(s string) string {
	var b strings.Builder
	writeLatex(&b, s, 0)
	return html.UnescapeString(b.String())
}

// maxGroups bounds how deep groups are followed into each other; deeper ones stay as they are.
const maxGroups = 40

func writeLatex(b *strings.Builder, s string, depth int) {
	if depth > maxGroups {
		b.WriteString(s)
		return
	}
	for i := 0; i < len(s); {
		switch s[i] {
		case '$':
			end := mathEnd(s, i)
			b.WriteString(s[i:end])
			i = end
		case '~':
			b.WriteByte(' ')
			i++
		case '\n', '\r', '\t':
			b.WriteByte(' ')
			i++
		case '{':
			inner, size := group(s[i:])
			writeLatex(b, inner, depth+1)
			i += size
		case '}':
			i++
		case '\\':
			i += writeCommand(b, s[i:], depth)
		default:
			b.WriteByte(s[i])
			i++
		}
	}
}

// writeCommand writes what a command stands for, and returns how much of s that was.
func writeCommand(b *strings.Builder, s string, depth int) int {
	word := command(s)
	next := len(word)
	switch text, symbol := latexSymbols[word]; {
	case symbol:
		b.WriteString(text)
		if strings.HasPrefix(s[next:], "{}") {
			next += 2
		} else if len(word) > 2 && strings.HasPrefix(s[next:], " ") {
			next++ // the space that ends the command's name
		}
		return next
	case word == `\(` || word == `\[`:
		closing := map[string]string{`\(`: `\)`, `\[`: `\]`}[word]
		if end := strings.Index(s[next:], closing); end >= 0 {
			b.WriteString("$" + strings.TrimSpace(s[next:next+end]) + "$")
			return next + end + len(closing)
		}
	case word == `\begin` || word == `\end`:
		return next + writeEnvironment(b, word, s[next:])
	case latexSwitches[word] && !strings.HasPrefix(s[next:], "{"):
		for next < len(s) && s[next] == ' ' {
			next++
		}
		return next
	case latexFormats[word]:
		for next < len(s) && s[next] == '[' { // the position in \makecell[l]{…}
			end := strings.IndexByte(s[next:], ']')
			if end < 0 {
				break
			}
			next += end + 1
		}
		if word == `\parbox` && next < len(s) && s[next] == '{' {
			_, size := group(s[next:])
			next += size
		}
		if next < len(s) && s[next] == '{' {
			inner, size := group(s[next:])
			writeLatex(b, inner, depth+1)
			return next + size
		}
		return next
	}
	b.WriteString(word)
	// The arguments of an unknown command stay with it.
	for next < len(s) && s[next] == '{' {
		_, size := group(s[next:])
		b.WriteString(s[next : next+size])
		next += size
	}
	return next
}

// writeEnvironment writes the beginning or end of an environment within a cell: nothing for a table's, of which cells and rows
// are left.
func writeEnvironment(b *strings.Builder, word, s string) int {
	if !strings.HasPrefix(s, "{") {
		b.WriteString(word)
		return 0
	}
	name, size := group(s)
	groups, table := latexTables[name]
	if !table {
		b.WriteString(word + s[:size])
		return size
	}
	if word == `\begin` {
		return len(s) - len(skipArguments(s[size:], groups))
	}
	return size
}

// mathEnd returns the end of the math that begins at the dollar at i, or of the dollar alone.
func mathEnd(s string, i int) int {
	mark := "$"
	if strings.HasPrefix(s[i:], "$$") {
		mark = "$$"
	}
	for j := i + len(mark); j < len(s); j++ {
		switch {
		case s[j] == '\\':
			j++
		case strings.HasPrefix(s[j:], mark):
			return j + len(mark)
		}
	}
	return i + len(mark)
}
