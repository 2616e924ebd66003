package textextraction

// Sizes tell how the coordinates in a model's answer lie on the source image.
type Sizes struct {
	// Width and Height are those of the source image, in pixels. Without them elements have no boxes.
	Width, Height int
	// ModelWidth and ModelHeight are those of the image as the model's processor scaled it. They are needed where coordinates
	// are pixels of that, see [BoxesResized].
	ModelWidth, ModelHeight int
	// Turn is how far the source image was turned clockwise before the model saw it, in degrees: 0, 90, 180 or 270.
	Turn int
}

// box brings coordinates from a model's space to the source image: truncated, as Chandra does, and kept within. Less than four
// of them, or more, are no box. Sides the wrong way round are swapped.
func (s Sizes) box(space BoxSpace, coordinates []float64) (box [4]int) {
	if len(coordinates) != 4 || s.Width <= 0 || s.Height <= 0 {
		return box
	}
	width, height := s.Width, s.Height // upright, as the model saw it
	if s.Turn == 90 || s.Turn == 270 {
		width, height = height, width
	}
	extent := [2]float64{boxSpaces[space], boxSpaces[space]}
	if space == BoxesResized {
		extent = [2]float64{float64(s.ModelWidth), float64(s.ModelHeight)}
	}
	for i, v := range coordinates {
		size := [2]int{width, height}[i%2]
		if extent[i%2] <= 0 {
			return [4]int{}
		}
		box[i] = int(min(max(v*float64(size)/extent[i%2], 0), float64(size)))
	}
	for i := range 2 {
		box[i], box[i+2] = min(box[i], box[i+2]), max(box[i], box[i+2])
	}
	switch s.Turn {
	case 90: // the image's left side has become its top
		return [4]int{box[1], s.Height - box[2], box[3], s.Height - box[0]}
	case 180:
		return [4]int{s.Width - box[2], s.Height - box[3], s.Width - box[0], s.Height - box[1]}
	case 270:
		return [4]int{s.Width - box[3], box[0], s.Width - box[1], box[2]}
	}
	return box
}

// polygonBox is what is around a polygon: x and y by turns.
func polygonBox(coordinates []float64) []float64 {
	if len(coordinates) < 4 || len(coordinates)%2 != 0 {
		return nil
	}
	box := []float64{coordinates[0], coordinates[1], coordinates[0], coordinates[1]}
	for i, v := range coordinates {
		box[i%2], box[i%2+2] = min(box[i%2], v), max(box[i%2+2], v)
	}
	return box
}
