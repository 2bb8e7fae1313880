//go:build !js

package player

import (
	"kinopod/shared/api"
	"kinopod/shared/video"
	"kinopod/webapp/swarm"
)

// Adopt takes the element out of the page that the pod rendered. Call it before
// go-app starts.
func Adopt() {}

// Show makes v the video that plays. It does nothing where v plays already.
func Show(api.Video) {}

// SetPod says which pod the page is of.
func SetPod(api.Pod) {}

// OnWatched has f called once a video is shown and some seconds of it were played.
func OnWatched(func(video.ID)) {}

// Place moves the element into the element with this id.
func Place(string) {}

// Seek plays from a place in the film, 0..1.
func Seek(float64) {}

// Leave ends what Show began; the browser stops to seed.
func Leave() {}

// Watch calls f some four times a second while a video is shown, until stop is
// called.
func Watch(func(swarm.Stats)) (stop func()) { return func() {} }
