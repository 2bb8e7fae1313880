package publish

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"
	"golang.org/x/exp/slog"

	"kinopod/pod/accounts"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// takeoverTime is how long a request waits for an older one to let go of an upload.
const takeoverTime = 10 * time.Second

// graceTime is what tusd leaves the store after a client has gone.
const graceTime = time.Second

// newHandler makes tusd serve our store.
func (p *Publisher) newHandler() (http.Handler, error) {
	composer := handler.NewStoreComposer()
	composer.UseCore(tusStore{p})
	composer.UseTerminater(tusStore{p})
	composer.UseLocker(tusStore{p})
	h, err := handler.NewHandler(handler.Config{
		StoreComposer: composer, BasePath: api.PathUploads + "/", MaxSize: p.cfg.UploadBytes, DisableDownload: true, DisableConcatenation: true,
		Cors:           &handler.CorsConfig{Disable: true}, // the pod's door decides
		NetworkTimeout: p.cfg.Idle, AcquireLockTimeout: takeoverTime, GracefulRequestCompletionTimeout: graceTime,
		Logger: slog.New(silent{}), // it would log clients' addresses; what matters is logged here
	})
	if err != nil {
		return nil, fmt.Errorf("tus handler: %w", err)
	}
	return http.StripPrefix(api.PathUploads, h), nil
}

// silent drops what tusd logs.
type silent struct{}

func (silent) Enabled(context.Context, slog.Level) bool  { return false }
func (silent) Handle(context.Context, slog.Record) error { return nil }
func (s silent) WithAttrs([]slog.Attr) slog.Handler      { return s }
func (s silent) WithGroup(string) slog.Handler           { return s }

// Handler serves tus 1.0.0 at api.PathUploads and below: creation,
// creation-with-upload, termination, checksum (sha1, sha256) and expiration. The
// request's context says who asks (WithActor). Errors are {"code","message"} as
// everywhere in the API. A ResponseWriter with SetReadDeadline
// (http.ResponseController) has connections closed sooner that are dead.
func (p *Publisher) Handler() http.Handler { return http.HandlerFunc(p.serve) }

func (p *Publisher) serve(w http.ResponseWriter, r *http.Request) {
	if method := r.Header.Get("X-HTTP-Method-Override"); r.Method == http.MethodPost && method != "" {
		r.Method = method
	}
	r.Header.Del("X-HTTP-Method-Override")
	t := &transfer{method: r.Method, control: http.NewResponseController(w)}
	out := &response{ResponseWriter: w, transfer: t, expiry: p.cfg.Expiry}
	defer out.close(p)
	if r.Method != http.MethodOptions {
		who, ok := actorOf(r.Context())
		if !ok {
			out.fail(&api.Error{Code: api.CodeUnauthorized, Message: "Log in to upload."})
			return
		}
		t.actor = who
	}
	if err := t.prepare(r); err != nil {
		out.fail(err)
		return
	}
	p.handler.ServeHTTP(out, r.WithContext(context.WithValue(r.Context(), transferKey{}, t)))
}

// transfer is what belongs to one request.
type transfer struct {
	method   string
	actor    accounts.Actor
	meta     metadata // of a creation
	checksum hash.Hash
	sum      []byte // what checksum must come to
	control  *http.ResponseController
	body     *body
	lock     *tusLock // of an upload, once the request has its turn

	finished video.ID  // what the upload became
	lastByte time.Time // of an unfinished upload; zero if there is none
}

type transferKey struct{}

// transferOf gives what serve put into every request's context.
func transferOf(ctx context.Context) *transfer {
	return ctx.Value(transferKey{}).(*transfer)
}

// prepare reads the headers that tusd does not, and wraps the body.
func (t *transfer) prepare(r *http.Request) error {
	if r.Method == http.MethodPost {
		var err error
		if t.meta, err = parseMetadata(r.Header.Get("Upload-Metadata")); err != nil {
			return err
		}
		if size, err := strconv.ParseInt(r.Header.Get("Upload-Length"), 10, 64); err == nil && size >= 0 && r.ContentLength > size {
			return &api.Error{Code: api.CodeTooLarge, Message: "More bytes came than the file was said to have."}
		}
	}
	if err := t.expect(r.Header.Get("Upload-Checksum")); err != nil {
		return err
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	t.body = &body{ReadCloser: r.Body, checksum: t.checksum, over: make(chan struct{})}
	r.Body = t.body
	return nil
}

// expect reads Upload-Checksum (tus 1.0.0, Checksum).
func (t *transfer) expect(header string) error {
	if header == "" {
		return nil
	}
	algorithm, encoded, _ := strings.Cut(header, " ")
	switch algorithm {
	case "sha1":
		t.checksum = sha1.New()
	case "sha256":
		t.checksum = sha256.New()
	default:
		return invalid("Upload-Checksum may be sha1 or sha256.", nil)
	}
	var err error
	if t.sum, err = base64.StdEncoding.DecodeString(encoded); err != nil || len(t.sum) != t.checksum.Size() {
		return invalid("Upload-Checksum is not of the right form.", err)
	}
	return nil
}

// matches says whether the body was what its checksum says.
func (t *transfer) matches() bool {
	return subtle.ConstantTimeCompare(t.checksum.Sum(nil), t.sum) == 1
}

// interrupt has the request end soon. It is called from other goroutines, and
// again as long as the request does not end.
func (t *transfer) interrupt() {
	t.body.end()
	_ = t.control.SetReadDeadline(time.Now()) // where it is not supported the connection stays until it is idle for too long
}

// errTakenOver is for a connection that most likely is dead.
func errTakenOver() error {
	return tusError(&api.Error{Code: api.CodeConflict, Message: "Another connection goes on with this upload."}, http.StatusLocked)
}

// body is a request's body that other goroutines can end, and that remembers how
// it ended.
type body struct {
	io.ReadCloser
	checksum hash.Hash

	once sync.Once
	over chan struct{} // closed: another request goes on with the upload

	// Of whoever reads.
	read int64 // bytes
	err  error // what ended it; nil at its end as sent
}

func (b *body) end() { b.once.Do(func() { close(b.over) }) }

func (b *body) isOver() bool {
	select {
	case <-b.over:
		return true
	default:
		return false
	}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.isOver() {
		b.err = errTakenOver()
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if b.checksum != nil {
		_, _ = b.checksum.Write(p[:n])
	}
	if err != nil && err != io.EOF {
		if b.isOver() {
			err = errTakenOver()
		}
		b.err = err
	}
	return n, err
}
