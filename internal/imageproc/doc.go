// Package imageproc turns picture files into the 8-bit RGB rasters that a vision model's processor starts from.
//
// [Decode] and [DecodeFile] read PNG, JPEG, GIF, WebP, BMP and TIFF, after checking that the picture is no larger
// than [Limits] allows, and turn it upright as its EXIF orientation says. [ToRGB] lays any [image.Image] over white
// and gives an [RGB] raster. [Resize] is the bicubic filter with antialiasing that Hugging Face transformers uses for
// Qwen-VL, equal to it byte for byte; [ResizePillow] has the filters of Pillow.
//
// Nothing here panics on what is in a file, and long work stops when its context is canceled.
package imageproc
