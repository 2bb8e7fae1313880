package network

import (
	"slices"
	"testing"
)

func TestQuorum(t *testing.T) {
	for name, c := range map[string]struct {
		us    Host
		lists map[Host][]Host
		want  []Host
	}{
		"the example of the idea": {
			us:    "new",
			lists: map[Host][]Host{"pod1": {"pod2", "pod3", "pod4", "pod5"}, "pod2": {"pod3", "pod5"}, "pod3": {"pod5"}},
			want:  []Host{"pod1", "pod2", "pod3", "pod5"},
		},
		"nobody":                    {us: "new"},
		"half is enough":            {us: "new", lists: map[Host][]Host{"a": {"x"}, "b": {}}, want: []Host{"a", "b", "x"}},
		"twice in a list is once":   {us: "new", lists: map[Host][]Host{"a": {"x", "x"}, "b": {}, "c": {}}, want: []Host{"a", "b", "c"}},
		"we stand in lists as well": {us: "new", lists: map[Host][]Host{"a": {"new"}, "b": {"new"}}, want: []Host{"a", "b"}},
	} {
		if got := Quorum(c.us, c.lists); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestScore(t *testing.T) {
	s := StartScore
	for range 10 {
		s = s.Failed()
	}
	if s != 0 || s.Failed() != 0 {
		t.Errorf("after ten failures %d", s)
	}
	if got := Score(995).Delivered(1000); got != 1000 {
		t.Errorf("995 became %d", got)
	}
}

func TestVersions(t *testing.T) {
	old, now := Versions{Min: 1, Max: 1}, int64(100)
	for name, c := range map[string]struct {
		a, b    Versions
		version int
		ok      bool
	}{
		"the same":                  {old, old, 1, true},
		"the highest of both":       {Versions{Min: 1, Max: 3}, Versions{Min: 2, Max: 5}, 3, true},
		"apart":                     {Versions{Min: 3, Max: 4}, Versions{Min: 1, Max: 2}, 2, false},
		"before the switch":         {Versions{Min: 1, Max: 2, SwitchAt: now + 1}, old, 1, true},
		"left behind by the switch": {Versions{Min: 1, Max: 2, SwitchAt: now}, old, 1, false},
		"upgraded":                  {Versions{Min: 1, Max: 2, SwitchAt: now}, Versions{Min: 1, Max: 2}, 2, true},
	} {
		for _, pair := range [][2]Versions{{c.a, c.b}, {c.b, c.a}} {
			if version, ok := pair[0].Common(pair[1], now); version != c.version || ok != c.ok {
				t.Errorf("%s: %d, %v, want %d, %v", name, version, ok, c.version, c.ok)
			}
		}
	}
}
