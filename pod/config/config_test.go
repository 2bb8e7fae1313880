package config

import (
	"net"
	"strings"
	"testing"
)

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "1048576": 1 << 20, "20GiB": 20 << 30, "20 gib": 20 << 30, "1.5GiB": 3 << 29, "500MB": 500e6, "10KB": 10e3, "7B": 7, "2TiB": 2 << 40, " 3 KiB ": 3 << 10,
	} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q: %d %v, want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "-1GiB", "1e3", "1,5GiB", "1 GiB 2", "9999999999TiB", "NaN", "Inf", "0x10", "1_000", "20G"} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %d", text, b)
		}
	}
}

func FuzzBytes(f *testing.F) {
	f.Add("20GiB")
	f.Add("1.5 kb")
	f.Fuzz(func(t *testing.T, text string) {
		var b, again Bytes
		if b.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b || b < 0 {
			t.Fatalf("%q is %d, written %q, read %d (%v)", text, b, b, again, err)
		}
	})
}

// TestKeys sees every field of Config with all that makes it a key.
func TestKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Keys() {
		if k.Name == "" || k.Flag == "" || strings.HasSuffix(k.Name, ".") || len(k.Help) < 10 || !strings.HasSuffix(k.Help, ".") || seen[k.Name] {
			t.Errorf("%+v", k)
		}
		seen[k.Name] = true
	}
	for _, name := range []string{"listen", "tracker_open", "log.level", "limits.upload_bytes", "limits.tracker_connections_per_address"} {
		if !seen[name] {
			t.Errorf("no key %s", name)
		}
	}
}

func TestDefault(t *testing.T) {
	c, err := Default()
	if err != nil || c.Validate() != nil {
		t.Fatalf("%v %v", err, c.Validate())
	}
	for _, k := range Keys() {
		if got := k.Value(c); got != k.Default {
			t.Errorf("%s is %q, its default %q", k.Name, got, k.Default)
		}
	}
}

func TestHost(t *testing.T) {
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9090}
	all := &net.TCPAddr{IP: net.IPv6unspecified, Port: 9090}
	for _, c := range []struct {
		host      string
		allowHTTP bool
		scheme    string
		listening net.Addr
		want      string
		secure    bool
	}{
		{"", false, "auto", all, "localhost:9090", false},
		{"", false, "auto", at, "127.0.0.1:9090", false},
		{"localhost:9090", false, "auto", all, "localhost:9090", false},
		{"[::1]:9090", false, "auto", all, "[::1]:9090", false},
		{"Pod.Example", false, "auto", all, "pod.example", true},
		{"pod.example:8443", false, "auto", all, "pod.example:8443", true},
		{"192.168.1.5:9090", true, "auto", all, "192.168.1.5:9090", false},
		{"notlocalhost", false, "auto", all, "notlocalhost", true},
		{"192.168.1.5:9090", true, "https", all, "192.168.1.5:9090", true},
		{"localhost:9090", false, "https", all, "localhost:9090", true},
		{"pod.example", false, "http", all, "pod.example", false},
	} {
		cfg := Config{Host: c.host, AllowHTTP: c.allowHTTP, Scheme: c.scheme}
		if got := cfg.HostAt(c.listening); string(got) != c.want || cfg.Secure() != c.secure {
			t.Errorf("%+v: %s, secure %v", c, got, cfg.Secure())
		}
	}
}

// TestSecrets sees the password of a Redis kept out of what is printed.
func TestSecrets(t *testing.T) {
	s, err := Read("", nil, []string{"KINOPOD_REDIS=redis://user:hidden@redis.example:6379/1"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	c.Redis = "redis://user:hidden@redis.example:6379/1"
	for _, v := range s.Explain(c, nil) {
		if strings.Contains(v.Value, "hidden") {
			t.Errorf("%s", v)
		}
		if v.Key == "redis" && (v.Source != FromVariable || !strings.Contains(v.Value, "redis.example:6379/1")) {
			t.Errorf("%s", v)
		}
	}
}
