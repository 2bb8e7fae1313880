package samples

import (
	"reflect"
	"testing"
)

func TestVideos(t *testing.T) {
	const n = 5000
	for name, makeOf := range map[string]func(int) *Maker{"realistic": Realistic, "random": Random} {
		a, b := makeOf(n), makeOf(n)
		ofLargest := 0
		for i := range n {
			v, same := a.Next(), b.Next()
			if !reflect.DeepEqual(v, same) {
				t.Fatalf("%s: video %d is not the same twice: %+v, %+v", name, i, v, same)
			}
			if err := v.Validate(); err != nil || !v.ID.Of(v.Origin) {
				t.Fatalf("%s: video %d: %v: %+v", name, i, err, v)
			}
			if v.Origin == Host(0) {
				ofLargest++
			}
		}
		if ofLargest < n*11/100 || ofLargest > n*15/100 {
			t.Errorf("%s: %d of %d are of the largest pod", name, ofLargest, n)
		}
	}
}
