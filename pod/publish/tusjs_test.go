package publish

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kinopod/shared/api"
)

// tusJS is a program for node: it uploads a file with tus-js-client and prints how
// that ended. With "pause" it breaks off half way and goes on with a new client
// that knows the URL, as a page does after a reload.
const tusJS = `
const fs = require('fs'), tus = require(process.env.TUS + '/tus-js-client')
const [endpoint, path, mode] = process.argv.slice(2)
const size = fs.statSync(path).size
let sent = 0
function upload (extra) {
  return new Promise(resolve => {
    let last, before = 0
    const u = new tus.Upload(fs.createReadStream(path), {
      endpoint, uploadSize: size, chunkSize: 300000, retryDelays: [100, 300, 1000, 2000],
      headers: { 'X-User': 'anna' }, metadata: { filename: 'Übung.mp4', filetype: 'video/mp4', tags: 'a,b' },
      onAfterResponse (req, res) { last = res },
      onChunkComplete (n, done) { sent += n; if (extra.half && done > size / 2) { u.abort(); resolve({ url: u.url }) } },
      onError (e) { resolve({ error: e.message, status: e.originalResponse ? e.originalResponse.getStatus() : 0, body: e.originalResponse ? e.originalResponse.getBody() : '', sent }) },
      onSuccess () { resolve({ url: u.url, id: last.getHeader('Kinopod-Video-Id'), sent }) },
      ...extra.options
    })
    u.start()
  })
}
(async () => {
  let r = mode === 'remove' ? {} : await upload({ half: mode === 'pause' })
  if (mode === 'pause') r = await upload({ options: { uploadUrl: r.url } })
  if (mode === 'remove') {
    r = await upload({ half: true })
    await tus.Upload.terminate(r.url, { headers: { 'X-User': 'anna' } }).catch(e => { r.error = e.message })
  }
  console.log(JSON.stringify(r))
})()
`

type tusResult struct {
	URL, ID, Error, Body string
	Status, Sent         int
}

// tusUpload runs tus-js-client against the pod.
func (w *world) tusUpload(file []byte, mode string) tusResult {
	w.t.Helper()
	modules := os.Getenv("KINOPOD_NODE_MODULES")
	if modules == "" {
		modules = filepath.Join("..", "..", "build", "node", "node_modules")
	}
	modules, err := filepath.Abs(modules)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "tus-js-client")); err != nil {
		w.t.Fatalf("tus-js-client is missing: run npm ci in build/node, or set KINOPOD_NODE_MODULES (%v)", err)
	}
	dir := w.t.TempDir()
	script, media := filepath.Join(dir, "upload.js"), filepath.Join(dir, "file")
	for path, b := range map[string][]byte{script: []byte(tusJS), media: file} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	cmd := exec.Command("node", script, w.server.URL+api.PathUploads, media, mode)
	cmd.Env = append(os.Environ(), "TUS="+modules)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("node: %v", err)
	}
	var r tusResult
	if err := json.Unmarshal(out, &r); err != nil {
		w.t.Fatalf("%s: %v", out, err)
	}
	return r
}

// TestTusJSClient: the client that most people use, as it comes.
func TestTusJSClient(t *testing.T) {
	b := large(t, 2<<20)
	for _, mode := range []string{"plain", "pause"} {
		w := newWorld(t)
		r := w.tusUpload(b, mode)
		v, err := w.catalog.Get(t.Context(), idOf(t, api.PathUploads+"/"+r.ID))
		if err != nil || r.Error != "" {
			t.Fatalf("%s: %+v, %v", mode, r, err)
		}
		if v.Name != "Übung" || len(v.Tags) != 2 || r.URL != w.server.URL+api.UploadPath(v.ID) {
			t.Errorf("%s: %+v %+v", mode, r, v)
		}
		w.whole(v, b)
	}
}

func TestTusJSClientIsToldWhatIsWrong(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.UploadBytes = 4 << 20 })
	for what, c := range map[string]struct {
		file   []byte
		status int
		code   api.Code
	}{
		"not a video": {bytes.Repeat([]byte("Hello. "), 300_000), http.StatusUnprocessableEntity, api.CodeUnsupported},
		"too large":   {make([]byte, 5<<20), http.StatusRequestEntityTooLarge, api.CodeTooLarge},
		"cut":         {mp4(t)[:len(mp4(t))-1000], http.StatusUnprocessableEntity, api.CodeUnsupported},
	} {
		r := w.tusUpload(c.file, "plain")
		var e api.Error
		if err := json.Unmarshal([]byte(r.Body), &e); err != nil || r.Status != c.status || e.Code != c.code || len(e.Message) < 10 {
			t.Errorf("%s: %+v", what, r)
		}
	}
	w.clean("anna")
}

// TestTusJSClientWaitsForRedis: nothing is sent twice because Redis was away at
// the last byte.
func TestTusJSClientWaitsForRedis(t *testing.T) {
	w := newWorld(t)
	b := large(t, 1<<20)
	w.catalog.fail(errRedis)
	time.AfterFunc(2*time.Second, func() { w.catalog.fail(nil) })
	r := w.tusUpload(b, "plain")
	if r.Error != "" || r.ID == "" || r.Sent > len(b) {
		t.Fatalf("%+v", r)
	}
	if w.catalog.added != 1 {
		t.Errorf("listed %d times", w.catalog.added)
	}
}

func TestTusJSClientTerminates(t *testing.T) {
	w := newWorld(t)
	if r := w.tusUpload(large(t, 2<<20), "remove"); r.Error != "" || r.URL == "" {
		t.Errorf("%+v", r)
	}
	w.clean("anna")
}
