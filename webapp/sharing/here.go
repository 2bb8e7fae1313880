//go:build !js

package sharing

// Now is what holds now.
func Now() State { return State{} }

// Choose changes what the viewer chose, here and in other tabs of this browser.
func Choose(func(*Choice)) {}

// OnChange has f called whenever Now changes, until stop is called.
func OnChange(func()) (stop func()) { return func() {} }
