package main

import (
	"image"
	"image/color"
	"image/draw"

	scale "golang.org/x/image/draw"
)

// drawnPage is a page of lines of black blocks in the place of words: what stands on a page makes no difference to the time.
func drawnPage(size image.Point) image.Image {
	page := image.NewGray(image.Rectangle{Max: size})
	draw.Draw(page, page.Bounds(), image.White, image.Point{}, draw.Src)
	const line, margin = 18, 24
	for y := margin; y+line < size.Y-margin; y += line {
		for x, n := margin, y; x < size.X-margin; n++ {
			width := 12 + n*n%53
			for dy := range line / 2 {
				for dx := range min(width, size.X-margin-x) {
					page.SetGray(x+dx, y+dy, color.Gray{Y: uint8(dx * dy)})
				}
			}
			x += width + 8
		}
	}
	return page
}

// scaled is a page in another size.
func scaled(page image.Image, size image.Point) image.Image {
	out := image.NewRGBA(image.Rectangle{Max: size})
	scale.CatmullRom.Scale(out, out.Bounds(), page, page.Bounds(), scale.Src, nil)
	return out
}
