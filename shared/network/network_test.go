package network

import "testing"

func TestParseHost(t *testing.T) {
	for in, want := range map[string]Host{
		"pod.example":      "pod.example",
		"Pod.Example:8443": "pod.example:8443",
		"localhost:9090":   "localhost:9090",
		"127.0.0.1:1":      "127.0.0.1:1",
		"[::1]:9090":       "[::1]:9090",
		"[2001:db8::1]":    "[2001:db8::1]",
	} {
		got, err := ParseHost(in)
		if err != nil || got != want {
			t.Errorf("ParseHost(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "https://pod.example", "pod.example/", "pod.example:", "pod.example:0", "pod.example:65536", "pod.example:080",
		"pod example", "-pod.example", "pod..example", ".example", "pod.example:80:90", "[::1", "[::1]9090", "[127.0.0.1]", "[fe80::1%eth0]",
		"pod_1.example", "user@pod.example", "pod.example?x",
	} {
		if got, err := ParseHost(in); err == nil {
			t.Errorf("ParseHost(%q) = %q, want an error", in, got)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	f.Add("pod.example:8443")
	f.Add("[::1]:9090")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHost(s)
		if err != nil {
			return
		}
		again, err := ParseHost(string(h))
		if err != nil || again != h {
			t.Fatalf("ParseHost(%q) = %q does not read itself: %q, %v", s, h, again, err)
		}
	})
}
