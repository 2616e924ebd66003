package chat

import (
	"fmt"
	"strings"
	"time"
)

// strftime formats t by C's format; a directive that is not here is an error.
func strftime(t time.Time, format string) (string, error) {
	layouts := map[byte]string{
		'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'B': "January", 'b': "Jan", 'A': "Monday", 'a': "Mon",
		'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'j': "002", 'F': "2006-01-02", 'T': "15:04:05", 'e': "_2",
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		i++
		if i == len(format) {
			return "", fmt.Errorf("the format %q ends in %%", format)
		}
		if format[i] == '%' {
			b.WriteByte('%')
			continue
		}
		layout, ok := layouts[format[i]]
		if !ok {
			return "", fmt.Errorf("the directive %%%c is not supported", format[i])
		}
		b.WriteString(t.Format(layout))
	}
	return b.String(), nil
}
