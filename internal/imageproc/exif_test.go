package imageproc

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// directory is a TIFF structure of one entry.
func directory(order binary.AppendByteOrder, mark string, tag, kind uint16, count, value uint32) []byte {
	data := order.AppendUint32([]byte(mark), 8)
	data = order.AppendUint16(data, 1)
	data = order.AppendUint16(order.AppendUint16(data, tag), kind)
	data = order.AppendUint32(data, count)
	if kind == 3 {
		return order.AppendUint16(order.AppendUint16(data, uint16(value)), 0)
	}
	return order.AppendUint32(data, value)
}

func TestExifOrientation(t *testing.T) {
	le, be := binary.LittleEndian, binary.BigEndian
	for _, c := range []struct {
		name string
		data []byte
		want int
	}{
		{"little-endian", directory(le, "II*\x00", 274, 3, 1, 6), 6},
		{"big-endian", directory(be, "MM\x00*", 274, 3, 1, 8), 8},
		{"a long", directory(be, "MM\x00*", 274, 4, 1, 3), 3},
		{"a byte", directory(le, "II*\x00", 274, 1, 1, 5), 5},
		{"a ratio", directory(le, "II*\x00", 274, 5, 1, 5), 1},
		{"two values", directory(le, "II*\x00", 274, 3, 2, 5), 1},
		{"another tag", directory(le, "II*\x00", 275, 3, 1, 6), 1},
		{"0", directory(le, "II*\x00", 274, 3, 1, 0), 1},
		{"9", directory(le, "II*\x00", 274, 3, 1, 9), 1},
		{"wrong byte order", directory(be, "II*\x00", 274, 3, 1, 6), 1},
		{"cut", directory(le, "II*\x00", 274, 3, 1, 6)[:20], 1},
		{"empty", nil, 1},
		{"directory far away", []byte("II*\x00\xff\xff\xff\xff"), 1},
		{"directory at the end", []byte("II*\x00\x08\x00\x00\x00"), 1},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, exifOrientation(c.data)) })
	}
}

func TestJPEGOrientationSkipsOtherSegments(t *testing.T) {
	exif := directory(binary.BigEndian, "MM\x00*", 274, 3, 1, 6)
	segment := func(marker byte, body string) string {
		return string(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2))) + body
	}
	app1 := segment(0xe1, "Exif\x00\x00"+string(exif))
	for name, c := range map[string]struct {
		data string
		want int
	}{
		"after JFIF and XMP":  {"\xff\xd8" + segment(0xe0, "JFIF\x00") + segment(0xe1, "http://ns.adobe.com/xap/1.0/\x00") + app1, 6},
		"after a fill byte":   {"\xff\xd8\xff" + app1, 6},
		"after a restart":     {"\xff\xd8\xff\xd0" + app1, 6},
		"after the scan":      {"\xff\xd8" + segment(0xda, "") + app1, 1},
		"a segment too long":  {"\xff\xd8\xff\xe0\xff\xff" + app1, 1},
		"a segment too short": {"\xff\xd8\xff\xe0\x00\x01" + app1, 1},
		"no marker":           {"\xff\xd8\x00" + app1, 1},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, jpegOrientation([]byte(c.data))) })
	}
}
