package publish

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"

	"kinopod/shared/api"
)

const jsonType = "application/json"

// statusChecksum is tus's own: the bytes are not those that the checksum is of.
const statusChecksum = 460

// tusError is err as tusd passes it on: with its sentence as JSON.
func tusError(err error, status int) handler.Error {
	e := api.AsError(err)
	body, _ := json.Marshal(e) // strings: it cannot fail
	return handler.Error{ErrorCode: string(e.Code), Message: e.Error(), HTTPResponse: handler.HTTPResponse{
		StatusCode: status, Body: string(body), Header: handler.HTTPHeader{"Content-Type": jsonType},
	}}
}

// response adds to tusd's answers what tusd does not know: extensions of ours,
// errors in the form of the API, addresses without a scheme.
type response struct {
	http.ResponseWriter
	transfer *transfer
	expiry   time.Duration

	status int
	failed bool         // the answer is an error of tusd, held back
	text   bytes.Buffer // its text
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if w.transfer.method == http.MethodHead && status >= http.StatusInternalServerError {
		// tus-js-client begins anew where a HEAD fails, and sends all bytes again,
		// unless the upload is locked: then it asks again later.
		status = http.StatusLocked
	}
	w.status = status
	h := w.Header()
	if extensions := h.Get("Tus-Extension"); extensions != "" {
		h.Set("Tus-Extension", extensions+",checksum,expiration")
		h.Set("Tus-Checksum-Algorithm", "sha1,sha256")
	}
	// A pod behind a proxy does not know its scheme: the path is enough.
	if at := strings.Index(h.Get("Location"), api.PathUploads+"/"); at > 0 {
		h.Set("Location", h.Get("Location")[at:])
	}
	switch {
	case !w.transfer.finished.IsZero():
		h.Set(api.HeaderVideoID, w.transfer.finished.String())
	case !w.transfer.lastByte.IsZero():
		h.Set("Upload-Expires", w.transfer.lastByte.Add(w.expiry).UTC().Format(http.TimeFormat))
	}
	if status >= http.StatusBadRequest && h.Get("Content-Type") != jsonType {
		w.failed = true
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.failed {
		return w.text.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

// fail answers with an error of ours.
func (w *response) fail(err error) {
	e := api.AsError(err)
	body, _ := json.Marshal(e) // strings: it cannot fail
	w.Header().Set("Tus-Resumable", "1.0.0")
	w.send(e.Status(), body)
}

func (w *response) send(status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", jsonType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.status = status
	w.ResponseWriter.WriteHeader(status)
	if w.transfer.method != http.MethodHead {
		_, _ = w.ResponseWriter.Write(body) // a client that has gone needs no answer
	}
}

// close sends an error of tusd that was held back, in the form of the API.
func (w *response) close(p *Publisher) {
	if !w.failed {
		return
	}
	code, _, _ := strings.Cut(w.text.String(), ":")
	status, e := plain(w.status, code)
	if status >= http.StatusInternalServerError {
		p.log.Warn("an upload's request failed", "status", status, "tus", code)
	}
	body, _ := json.Marshal(e) // strings: it cannot fail
	w.send(status, body)
}

// plain gives status and sentence of tusd's errors.
func plain(status int, code string) (int, *api.Error) {
	e := &api.Error{Code: api.CodeInvalid}
	switch code {
	case "ERR_UNSUPPORTED_VERSION":
		e.Message = "Tus-Resumable must be 1.0.0."
	case "ERR_MAX_SIZE_EXCEEDED":
		e.Code, e.Message = api.CodeTooLarge, "The file is larger than this pod takes."
	case "ERR_UPLOAD_SIZE_EXCEEDED":
		e.Code, e.Message = api.CodeTooLarge, "More bytes came than the file was said to have."
	case "ERR_INVALID_CONTENT_TYPE":
		e.Message = "Content-Type must be application/offset+octet-stream."
	case "ERR_INVALID_UPLOAD_LENGTH":
		e.Message = "Upload-Length must be the size of the file in bytes."
	case "ERR_INVALID_OFFSET":
		e.Message = "Upload-Offset must be a number of bytes."
	case "ERR_MISMATCHED_OFFSET":
		e.Code, e.Message = api.CodeConflict, "The upload is at another offset. Ask for it with HEAD and go on there."
	case "ERR_UPLOAD_NOT_FOUND":
		e.Code, e.Message = api.CodeNotFound, errNoUpload().Error()
	case "ERR_NOT_IMPLEMENTED":
		status, e.Message = http.StatusBadRequest, "This tus extension is not offered: the size must be known when the upload begins."
	case "ERR_READ_TIMEOUT", "ERR_CONNECTION_RESET", "ERR_UNEXPECTED_EOF":
		status, e.Code, e.Message = http.StatusServiceUnavailable, api.CodeUnavailable, "The connection broke. What arrived is kept; go on from there."
	default:
		e.Code, e.Message = api.CodeInternal, api.AsError(nil).Message
		if status < http.StatusInternalServerError {
			e.Code, e.Message = api.CodeInvalid, http.StatusText(status)+"."
		}
	}
	return status, e
}
