package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"kinopod/pod"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/pod/podtest"
	"kinopod/pod/redisstore"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// run is a command without a process of its own.
func run(t *testing.T, environ []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	e := env{args: args, environ: environ, in: strings.NewReader(""), out: &out, err: &errs}
	status = e.run(t.Context())
	return out.String(), errs.String(), status
}

func TestNotUnderstood(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pod.toml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		toml    string
		environ []string
		args    []string
		says    string
	}{
		{"", nil, []string{"sing"}, "sing"},
		{"", nil, []string{"config", "--loud"}, "--loud"},
		{"", nil, []string{"config", "--host", "https://pod.example"}, "host: \"https://pod.example\" is not a host"},
		{"", nil, []string{"config", "--listen", "9090"}, "listen: \"9090\" is not an address"},
		{"", nil, []string{"config", "--limits-quota-bytes", "many"}, "\"many\" is not a size"},
		{"", nil, []string{"config", "--registration", "maybe"}, "registration: \"maybe\" is none of closed, invite, open"},
		{"", []string{"KINOPOD_LOG_LEVEL=loud"}, []string{"config"}, "log.level"},
		{"", []string{"KINOPOD_TRACKER_OPNE=true"}, []string{"config"}, "unknown variable KINOPOD_TRACKER_OPNE; did you mean \"KINOPOD_TRACKER_OPEN\"?"},
		{"tracker_opne = true", nil, []string{"config"}, "pod.toml: unknown key \"tracker_opne\"; did you mean \"tracker_open\"?"},
		{"[limits]\nquota = 1", nil, []string{"config"}, "unknown key \"limits.quota\""},
		{"[limit]\nquota_bytes = 1", nil, []string{"config"}, "unknown key \"limit.quota_bytes\"; did you mean \"limits.quota_bytes\"?"},
		{"listen = [1, 2]", nil, []string{"config"}, "pod.toml: listen: a list holds texts"},
		{"host = \n", nil, []string{"config"}, "pod.toml, line 1"},
		{"tracker_open = \"maybe\"", nil, []string{"config"}, "maybe"},
		{"public_addresses = [\"pod.example\"]", nil, []string{"config"}, "pod.example"},
	} {
		write(c.toml)
		_, errs, status := run(t, c.environ, append(c.args, "--config", file)...)
		if status != exitUsage || !strings.Contains(errs, c.says) {
			t.Errorf("%q %q %q: status %d, %s", c.toml, c.environ, c.args, status, errs)
		}
	}
	if _, errs, status := run(t, nil, "config", "--config", filepath.Join(t.TempDir(), "none.toml")); status != exitUsage || !strings.Contains(errs, "none.toml") {
		t.Errorf("no file: %d %s", status, errs)
	}
}

func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pod.toml")
	text := "host = \"pod.example\"\nname = \"From the file\"\ntracker_open = true\n" +
		"trusted_proxies = [\"10.0.0.0/8\"]\n[limits]\nupload_bytes = \"1.5GiB\"\nquota_bytes = 1000\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, how := range []struct{ args, environ []string }{
		{[]string{"--config", file}, nil},
		{[]string{"--config=" + file}, nil},
		{nil, []string{"KINOPOD_CONFIG=" + file}},
	} {
		environ := append(how.environ, "KINOPOD_NAME=From the environment", "KINOPOD_LIMITS_QUOTA_BYTES=2KiB", "PATH=/bin")
		out, errs, status := run(t, environ, append(how.args, "config", "--json", "--limits-quota-bytes", "3KiB")...)
		var values []struct{ Key, Value, Source string }
		if err := json.Unmarshal([]byte(out), &values); err != nil || status != exitDone {
			t.Fatalf("%d %s %v", status, errs, err)
		}
		got := map[string]string{}
		for _, v := range values {
			got[v.Key] = v.Value + " " + v.Source
		}
		for key, want := range map[string]string{
			"host": "pod.example file", "name": "From the environment env", "tracker_open": "true file", "trusted_proxies": "10.0.0.0/8 file",
			"limits.upload_bytes": "1536MiB file", "limits.quota_bytes": "3KiB flag", "listen": ":9090 default", "log.format": "text default",
		} {
			if got[key] != want {
				t.Errorf("%s is %q, want %q", key, got[key], want)
			}
		}
	}
}

// TestExample sees that the example is a file that changes nothing, and that every
// line of it may be taken as it stands.
func TestExample(t *testing.T) {
	example, _, status := run(t, nil, "config", "--example")
	if status != exitDone {
		t.Fatal(status)
	}
	file := filepath.Join(t.TempDir(), "pod.toml")
	plain, _, _ := run(t, nil, "config")
	var lines []string
	for line := range strings.Lines(example) {
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") && line != "#\n" {
			line = line[1:]
		}
		lines = append(lines, line)
	}
	for _, text := range []string{example, strings.Join(lines, "")} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, errs, status := run(t, nil, "config", "--config", file)
		if got = strings.ReplaceAll(got, "# file", "# default"); status != exitDone || got != plain {
			t.Errorf("%d %s\n%s", status, errs, got)
		}
	}
}

func TestVersionAndHelp(t *testing.T) {
	if out, _, status := run(t, nil, "version"); status != exitDone || !strings.HasPrefix(out, "kinopod "+release) {
		t.Errorf("%d %s", status, out)
	}
	if out, _, status := run(t, nil, "--help"); status != exitDone || !strings.Contains(out, "serve") || !strings.Contains(out, "--host") {
		t.Errorf("%d %s", status, out)
	}
}

// TestServe runs the binary as an operator does.
func TestServe(t *testing.T) {
	p := podtest.Exec(t)
	if !strings.HasPrefix(p.Welcome.SetupURL, p.URL+"/login?setup=") {
		t.Errorf("%+v", p.Welcome)
	}
	_, token, _ := strings.Cut(p.Welcome.SetupURL, "setup=")
	setup := api.Registration{Username: "root", Password: podtest.Password, Setup: token}
	s, err := api.NewClient(p.URL, "").Register(t.Context(), setup)
	if err != nil || s.User.Role != api.RoleAdmin {
		t.Fatalf("first account: %+v %v", s, err)
	}
	setup.Username = "second"
	if _, err := api.NewClient(p.URL, "").Register(t.Context(), setup); !api.Is(err, api.CodeForbidden) {
		t.Errorf("the link works twice: %v", err)
	}

	// commands reach the running pod
	ann := p.User(t, "ann")
	if me, err := ann.Me(t.Context()); err != nil || me.Role != api.RoleUser {
		t.Errorf("%+v %v", me, err)
	}
	create := func(name, password string, flags ...string) (string, string, int) {
		return podtest.Command(t, password+"\n", append([]string{"user", "create", name, "--password-stdin", "--data", p.Dir}, flags...)...)
	}
	if _, errs, status := create("ann", podtest.Password); status != exitFailed || !strings.Contains(errs, "taken") {
		t.Errorf("a taken name: %d %s", status, errs)
	}
	if _, errs, status := create("bob", "short"); status != exitFailed || errs == "" {
		t.Errorf("a short password: %d %s", status, errs)
	}

	users := func(args ...string) (string, string, int) {
		return podtest.Command(t, "", append([]string{"user"}, append(args, "--data", p.Dir)...)...)
	}
	if out, errs, status := users("list"); status != exitDone || !regexp.MustCompile(`(?m)^ann +user +0\.0 MiB`).MatchString(out) || !strings.Contains(out, "root  admin") {
		t.Errorf("users: %d %s %s", status, out, errs)
	}
	if _, errs, status := users("remove", "root"); status != exitFailed || !strings.Contains(errs, "only administrator") {
		t.Errorf("the only administrator: %d %s", status, errs)
	}
	if _, errs, status := users("role", "ann", "moderator"); status != exitDone {
		t.Errorf("role: %d %s", status, errs)
	}
	if me, err := ann.Me(t.Context()); err != nil || me.Role != api.RoleModerator {
		t.Errorf("%+v %v", me, err)
	}
	if _, errs, status := users("role", "ann", "king"); status != exitUsage {
		t.Errorf("role: %d %s", status, errs)
	}
	v, _ := ann.Film(t, podtest.MP4)
	if _, errs, status := users("remove", "ann"); status != exitFailed || !strings.Contains(errs, "--videos") {
		t.Errorf("with a video: %d %s", status, errs)
	}
	if out, errs, status := users("remove", "ann", "--videos"); status != exitDone || !strings.Contains(out, "1 of its uploads") {
		t.Errorf("remove: %d %s %s", status, out, errs)
	}
	if _, err := ann.Me(t.Context()); !api.Is(err, api.CodeUnauthorized) {
		t.Errorf("a removed account: %v", err)
	}
	if _, err := api.NewClient(p.URL, "").Video(t.Context(), v.ID); !api.Is(err, api.CodeNotFound) {
		t.Errorf("its video: %v", err)
	}
	p.User(t, "ann")

	// another pod on the address, and with the data directory
	address := strings.TrimPrefix(p.URL, "http://")
	other := t.TempDir()
	if _, errs, status := podtest.Command(t, "", "serve", "--listen", address, "--data", other); status != exitFailed || !strings.Contains(errs, address+" is in use by another program") {
		t.Errorf("the address is taken: %d %s", status, errs)
	}
	if _, errs, status := podtest.Command(t, "", "serve", "--listen", "127.0.0.1:0", "--data", p.Dir); status != exitFailed || !strings.Contains(errs, "another pod runs with this data directory") {
		t.Errorf("the directory is taken: %d %s", status, errs)
	}

	// a connection that idles does not hold the end up
	idle, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if status, took := p.Stop(t); status != exitDone || took > time.Minute {
		t.Errorf("SIGTERM: status %d after %v\n%s", status, took, p.Log())
	}
	for _, secret := range []string{token, podtest.Password, "127.0.0.1:" + portOf(idle.LocalAddr())} {
		if strings.Contains(p.Log(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}

	// commands do without a running pod
	if out, errs, status := create("eve", podtest.Password, "--admin"); status != exitDone || !strings.Contains(out, "eve (admin)") {
		t.Errorf("offline: %d %s %s", status, out, errs)
	}
	start := time.Now()
	p.Start(t)
	t.Logf("second start in %v", time.Since(start).Round(time.Millisecond))
	if p.Welcome.SetupURL != "" {
		t.Error("a link for the first account, although there are accounts")
	}
	if me, err := podtest.Login(t, p.URL, "eve").Me(t.Context()); err != nil || me.Role != api.RoleAdmin {
		t.Errorf("%+v %v", me, err)
	}
}

func portOf(a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

func TestFriends(t *testing.T) {
	a, b := podtest.Exec(t), podtest.Exec(t)
	hostOf := func(p *podtest.Process) string { return strings.TrimPrefix(p.URL, "http://") }
	friends := func(p *podtest.Process, args ...string) (string, string, int) {
		return podtest.Command(t, "", append([]string{"friends", "--data", p.Dir}, args...)...)
	}
	state := func(p *podtest.Process, of string) string {
		out, errs, status := friends(p, "list", "--json")
		var list api.FriendList
		if err := json.Unmarshal([]byte(out), &list); status != exitDone || err != nil {
			t.Fatalf("%d %s %s %v", status, out, errs, err)
		}
		for _, f := range list.Friends {
			if string(f.Host) == of {
				return string(f.State)
			}
		}
		return ""
	}
	if out, errs, status := friends(a, "list"); status != exitDone || !strings.Contains(out, "alone") {
		t.Errorf("%d %s %s", status, out, errs)
	}
	do := func(p *podtest.Process, want int, says string, args ...string) {
		t.Helper()
		if out, errs, status := friends(p, args...); status != want || !strings.Contains(out+errs, says) {
			t.Errorf("%v: %d %s %s", args, status, out, errs)
		}
	}
	become := func(p *podtest.Process, of, want string) {
		t.Helper()
		podtest.Eventually(t, of+" is "+want, func() bool { return state(p, of) == want })
	}
	do(a, exitUsage, "no scheme", "join", "http://"+hostOf(b))
	do(a, exitDone, "Asked", "join", hostOf(b))
	become(a, hostOf(b), "friend")
	become(b, hostOf(a), "friend")
	do(a, exitDone, "no friend any more", "leave", hostOf(b))
	become(b, hostOf(a), "left")
	do(b, exitFailed, "no friend", "leave", hostOf(a))
	do(b, exitDone, "Asked", "join", hostOf(a))
	do(a, exitDone, "Asked", "join", hostOf(b)) // who left has to want it, too
	become(a, hostOf(b), "friend")
	become(b, hostOf(a), "friend")
	do(b, exitDone, "blocked", "block", hostOf(a))
	become(a, hostOf(b), "left")
	do(b, exitFailed, "blocked", "join", hostOf(a))
	do(b, exitDone, "may come back", "unblock", hostOf(a))
	do(b, exitDone, "Asked", "join", hostOf(a))
	become(b, hostOf(a), "friend")

	// a new key
	key := func(args ...string) (string, string, int) {
		return podtest.Command(t, "", append([]string{"key", "change", "--data", b.Dir}, args...)...)
	}
	if out, errs, status := key(); status != exitDone || !strings.Contains(out, "new key") || !strings.Contains(out, "back: 1.") {
		t.Errorf("%d %s %s", status, out, errs)
	}
	out, errs, status := key("--json")
	var changed pod.ChangedKey
	if err := json.Unmarshal([]byte(out), &changed); status != exitDone || err != nil || len(changed.Key) != 43 || len(changed.Tell) != 1 || string(changed.Tell[0]) != hostOf(a) {
		t.Errorf("%d %s %s %v", status, out, errs, err)
	}
	if _, errs, status := podtest.Command(t, "", "key", "change", "--data", t.TempDir()); status != exitFailed || !strings.Contains(errs, "start it first") {
		t.Errorf("%d %s", status, errs)
	}

	// a forgotten password
	a.User(t, "ann")
	if out, errs, status := podtest.Command(t, "another password\n", "user", "password", "ann", "--password-stdin", "--data", a.Dir); status != exitDone {
		t.Errorf("%d %s %s", status, out, errs)
	}
	if _, err := api.NewClient(a.URL, "").Login(t.Context(), api.Credentials{Username: "ann", Password: "another password"}); err != nil {
		t.Error(err)
	}
}

// TestIndexCheck checks a catalogue with the pod and without; what is wrong is mended.
func TestIndexCheck(t *testing.T) {
	p := podtest.Exec(t)
	check := func(flags ...string) (r pod.IndexReport, status int) {
		t.Helper()
		out, errs, status := podtest.Command(t, "", append([]string{"index", "check", "--json", "--data", p.Dir}, flags...)...)
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%s %s", out, errs)
		}
		return r, status
	}
	db, err := redisstore.Open(t.Context(), filepath.Join(p.Dir, "redis", "redis.sock"), podtest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	var videos []video.Video
	for i := range 300 {
		v := catalogtest.NewVideo(i)
		v.ID, v.Origin = video.NewID("friend.example"), "friend.example"
		videos = append(videos, v)
	}
	if _, err := db.Take(t.Context(), videos...); err != nil {
		t.Fatal(err)
	}
	if r, status := check(); status != exitDone || r.Videos != 300 || r.Searched != 300 || r.Found != 0 {
		t.Errorf("%d %+v", status, r)
	}
	raw := exec.CommandContext(t.Context(), "redis-cli", "-s", filepath.Join(p.Dir, "redis", "redis.sock"), "eval",
		"redis.call('DEL', 'new', 'p:friend.example')", "0")
	if out, err := raw.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if r, status := check(); status != exitFailed || r.Found != 600 || r.Mended != 0 || len(r.Problems) == 0 {
		t.Errorf("%d %d %d", status, r.Found, r.Mended)
	}
	if r, status := check("--repair"); status != exitDone || r.Found != 600 || r.Mended != 600 {
		t.Errorf("%d %d %d %q", status, r.Found, r.Mended, r.Problems)
	}
	if r, status := check(); status != exitDone || r.Found != 0 {
		t.Errorf("%d %+v", status, r)
	}
	_ = db.Close()

	p.Stop(t)
	if err := os.WriteFile(filepath.Join(p.Dir, "search.snapshot"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, status := check(); status != exitFailed || r.Searched != 300 || r.Found != 1 {
		t.Errorf("a broken snapshot: %d %+v", status, r)
	}
	if r, status := check(); status != exitDone || r.Searched != 300 || r.Found != 0 {
		t.Errorf("the one written since: %d %+v", status, r)
	}
}
