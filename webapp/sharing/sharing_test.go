package sharing

import (
	"testing"

	"kinopod/webapp/swarm"
)

func TestWhatIsAllowed(t *testing.T) {
	told := Choice{Told: true}
	for _, c := range []struct {
		state State
		why   Reason
		want  swarm.Terms
	}{
		{State{}, NotTold, swarm.Terms{Company: swarm.Soon}},
		{State{Choice: told}, Gives, swarm.Terms{}},
		{State{Choice: Choice{Alone: true}}, Alone, swarm.Terms{Company: swarm.Alone}},
		{State{Choice: Choice{Told: true, Alone: true, Metered: true}, Line: Line{SaveData: true}}, Alone, swarm.Terms{Company: swarm.Alone}},
		{State{Choice: told, Line: Line{SaveData: true}}, SaveData, swarm.Terms{NoUpload: true}},
		{State{Choice: told, Line: Line{Type: "cellular", Speed: "4g"}}, Cellular, swarm.Terms{NoUpload: true}},
		{State{Choice: told, Line: Line{Speed: "2g"}}, Slow, swarm.Terms{NoUpload: true}},
		{State{Choice: told, Line: Line{Type: "wifi", Speed: "4g"}}, Gives, swarm.Terms{}},
		{State{Choice: Choice{Told: true, Metered: true}, Line: Line{SaveData: true, Type: "cellular", Speed: "slow-2g"}}, Gives, swarm.Terms{}},
		{State{Choice: Choice{Metered: true}, Line: Line{Type: "cellular"}}, NotTold, swarm.Terms{Company: swarm.Soon}},
		{State{Choice: Choice{Told: true, Megabits: 2}}, Gives, swarm.Terms{UploadRate: 250_000}},
	} {
		if why, got := c.state.Why(), c.state.Terms(); why != c.why || got != c.want {
			t.Errorf("%+v: %v, %+v; want %v, %+v", c.state, why, got, c.why, c.want)
		}
	}
}

// A choice that was kept by an earlier version stays what it was.
func TestKept(t *testing.T) {
	const golden = `{"told":true,"alone":true,"metered":true,"megabits":5}`
	all := Choice{Told: true, Alone: true, Metered: true, Megabits: 5}
	if got := all.String(); got != golden {
		t.Errorf("kept as %s", got)
	}
	for s, want := range map[string]Choice{
		golden: all, "{}": {}, "": {}, "null": {}, "x": {}, `{"told":1}`: {}, `{"told":true}`: {Told: true}, `{"told":true,"later":{}}`: {Told: true},
		`{"megabits":-3}`: {}, `{"megabits":1000000}`: {Megabits: most},
	} {
		if got := Parse(s); got != want {
			t.Errorf("%s: %+v", s, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"told":true,"alone":true,"metered":true,"megabits":5}`)
	f.Add(`{"megabits":-1}`)
	f.Fuzz(func(t *testing.T, s string) {
		c := Parse(s)
		if again := Parse(c.String()); again != c {
			t.Errorf("%q: %+v, then %+v", s, c, again)
		}
		if s := (State{Choice: c}); !s.Told && s.Terms().Company == swarm.Together {
			t.Error("company without a word")
		}
	})
}
