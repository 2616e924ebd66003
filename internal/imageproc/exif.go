package imageproc

import (
	"bytes"
	"encoding/binary"
)

// Upright is the EXIF orientation of a picture that needs no turning; it is also what a picture without a readable
// orientation gets.
const upright = 1

// exifOrientation reads tag 274 (Orientation, 1 to 8) of the first directory of a TIFF structure, which is what EXIF
// data is. Anything unreadable is upright: a damaged tag is no reason to refuse a page.
func exifOrientation(tiff []byte) int {
	const header = 8
	if len(tiff) < header {
		return upright
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return upright
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return upright
	}
	entries := tiff[at+2:]
	return directoryOrientation(order, entries[:min(entrySize*int(order.Uint16(tiff[at:])), len(entries))])
}

// directoryOrientation is exifOrientation of the entries of one directory.
func directoryOrientation(order binary.ByteOrder, entries []byte) int {
	if value, ok := directoryValue(order, entries, 274); ok && value >= 1 && value <= 8 {
		return int(value)
	}
	return upright
}

// entrySize is the size of a directory's entry in bytes.
const entrySize = 12

// directoryValue finds the entry of a tag, and whether it is there and is one whole number.
func directoryValue(order binary.ByteOrder, entries []byte, tag uint16) (value uint32, ok bool) {
	const (
		typeByte  = 1
		typeShort = 3
		typeLong  = 4
	)
	for ; len(entries) >= entrySize; entries = entries[entrySize:] {
		e := entries[:entrySize]
		if order.Uint16(e) != tag {
			continue
		}
		one := order.Uint32(e[4:]) == 1
		switch order.Uint16(e[2:]) {
		case typeByte:
			return uint32(e[8]), one
		case typeShort:
			return uint32(order.Uint16(e[8:])), one
		case typeLong:
			return order.Uint32(e[8:]), one
		}
		return 0, false
	}
	return 0, false
}

func tiffOrientation(data []byte) int { return exifOrientation(data) }

// jpegOrientation looks for EXIF data in the APP1 segments before the first scan.
func jpegOrientation(data []byte) int {
	const (
		markerAPP1 = 0xe1
		markerSOS  = 0xda
		markerEOI  = 0xd9
	)
	if len(data) < 2 {
		return upright
	}
	for rest := data[2:]; len(rest) >= 4; {
		if rest[0] != 0xff {
			break
		}
		marker := rest[1]
		if marker == 0xff { // a fill byte
			rest = rest[1:]
			continue
		}
		if marker == markerSOS || marker == markerEOI {
			break
		}
		if marker == 0x01 || marker >= 0xd0 && marker <= 0xd7 { // these have no length
			rest = rest[2:]
			continue
		}
		size := int(binary.BigEndian.Uint16(rest[2:])) // counts its own two bytes
		if size < 2 || 2+size > len(rest) {
			break
		}
		if marker == markerAPP1 {
			if exif, ok := bytes.CutPrefix(rest[4:2+size], []byte("Exif\x00\x00")); ok {
				return exifOrientation(exif)
			}
		}
		rest = rest[2+size:]
	}
	return upright
}

// pngOrientation looks for an eXIf chunk, which may stand before or after the pixels.
func pngOrientation(data []byte) int {
	const signature, head, crc = 8, 8, 4
	if len(data) < signature {
		return upright
	}
	for rest := data[signature:]; len(rest) >= head+crc; {
		size := uint64(binary.BigEndian.Uint32(rest))
		if head+size+crc > uint64(len(rest)) {
			break
		}
		if string(rest[4:8]) == "eXIf" {
			return exifOrientation(rest[head : head+size])
		}
		rest = rest[head+size+crc:]
	}
	return upright
}

// webpOrientation looks for an EXIF chunk, which stands after the pixels.
func webpOrientation(data []byte) int {
	const form, head = 12, 8
	if len(data) < form {
		return upright
	}
	for rest := data[form:]; len(rest) >= head; {
		size := uint64(binary.LittleEndian.Uint32(rest[4:]))
		if head+size > uint64(len(rest)) {
			break
		}
		if string(rest[:4]) == "EXIF" {
			exif := rest[head : head+size]
			if after, ok := bytes.CutPrefix(exif, []byte("Exif\x00\x00")); ok { // some writers copy JPEG's prefix
				exif = after
			}
			return exifOrientation(exif)
		}
		rest = rest[min(head+size+size&1, uint64(len(rest))):] // chunks are padded to even sizes
	}
	return upright
}
