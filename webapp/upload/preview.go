package upload

// Preview is what this device can tell of a video by playing a little of it.
type Preview struct {
	// Refused is that the browser cannot play the file, so that viewers with such a
	// browser cannot either.
	Refused       bool
	Duration      float64 // seconds; 0 is not known
	Width, Height int     // pixels; 0 is not known
	Pictures      []Picture
	// Release frees what the pictures' URLs name; nil is nothing.
	Release func()
}

// Picture is a frame that may become the video's thumbnail.
type Picture struct {
	URL  string // of the picture, in this page
	WebP []byte // api.ThumbnailWidth by api.ThumbnailHeight pixels
	// Contrast is the variance of the luminance, 0..1/4: a black or white frame has
	// next to none.
	Contrast float64
}

// plain is the Contrast below which a picture shows nothing.
const plain = 0.002

// best is the index of the first picture that shows something, else of the one
// with the most contrast.
func best(pictures []Picture) int {
	most := 0
	for i, p := range pictures {
		if p.Contrast >= plain {
			return i
		}
		if p.Contrast > pictures[most].Contrast {
			most = i
		}
	}
	return most
}

// contrast is the variance of the luminance of RGBA pixels, 0..1/4.
func contrast(rgba []byte) float64 {
	n, sum, squares := 0.0, 0.0, 0.0
	for i := 0; i+3 < len(rgba); i += 4 {
		y := (0.2126*float64(rgba[i]) + 0.7152*float64(rgba[i+1]) + 0.0722*float64(rgba[i+2])) / 255
		n, sum, squares = n+1, sum+y, squares+y*y
	}
	if n == 0 {
		return 0
	}
	mean := sum / n
	return max(0, squares/n-mean*mean)
}
