package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"

	"kinopod/pod/accounts"
	"kinopod/shared/api"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
)

// Files of an upload's directory (doc.go).
const (
	recordFile    = "upload.json"
	detailsFile   = "details.json"
	dataFile      = "data"
	hashesFile    = "hashes"
	uncheckedFile = "unchecked"
	sealedFile    = "sealed.json"
	droppedFile   = "dropped"
)

// record is what does not change while bytes come.
type record struct {
	Uploader string    `json:"uploader"`
	Size     int64     `json:"size"` // bytes declared
	FileName string    `json:"fileName"`
	FileType string    `json:"fileType"`
	Created  time.Time `json:"createdAt"`
}

// details is what is said of the video that will be.
type details struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
	Thumbnail   string   `json:"thumbnail"` // hash, "" for none
}

// sealed is what a complete file was found to be.
type sealed struct {
	Info     []byte        `json:"info"` // bencoded info dictionary
	MIME     string        `json:"mime"`
	Duration time.Duration `json:"duration"`
	Width    int           `json:"width"`
	Height   int           `json:"height"`
	At       time.Time     `json:"at"` // from then on it is a video: an upload may have taken days
}

// upload is one upload, until some time after it has become a video.
type upload struct {
	files Files
	id    video.ID
	record

	mu       sync.Mutex
	details  details
	offset   int64
	lastByte time.Time
	listed   time.Time     // when it became a video; zero before
	dropped  bool          // it is no use; what it holds goes as soon as it can
	pause    time.Duration // of sweeps, since something failed
	paused   time.Time     // until then

	// Of whoever has the turn.
	seal   *sealed
	hasher *torrent.Hasher // stands at offset; nil: has to be caught up from disk
	hashes *os.File        // where hasher writes, while bytes come
	failed error           // of hasher's last write
}

// createUpload puts a new upload on disk.
func createUpload(files Files, id video.ID, uploader string, size int64, m metadata) (*upload, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	u := &upload{
		files: files, id: id, details: m.details, lastByte: now,
		record: record{Uploader: uploader, Size: size, FileName: m.fileName, FileType: m.fileType, Created: now},
	}
	r, err := json.Marshal(u.record)
	if err != nil {
		return nil, fmt.Errorf("encode upload: %w", err)
	}
	d, err := json.Marshal(u.details)
	if err != nil {
		return nil, fmt.Errorf("encode upload: %w", err)
	}
	if err := files.CreateUpload(id, map[string][]byte{recordFile: r, detailsFile: d}); err != nil {
		return nil, diskError(err)
	}
	return u, nil
}

// loadUpload reads an upload that is on disk.
func (p *Publisher) loadUpload(id video.ID) (*upload, error) {
	u := &upload{files: p.files, id: id}
	if err := u.readJSON(recordFile, &u.record); err != nil {
		return nil, err
	}
	if err := u.readJSON(detailsFile, &u.details); err != nil {
		return nil, err
	}
	if u.Size <= 0 || u.Uploader == "" {
		return nil, errors.New("the record of the upload makes no sense")
	}
	u.lastByte = u.Created
	switch _, err := u.files.ReadUpload(id, droppedFile); {
	case err == nil:
		u.dropped = true
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	err := u.readJSON(sealedFile, &u.seal)
	switch {
	case u.dropped && (err == nil || errors.Is(err, fs.ErrNotExist)):
		return u, nil
	case err == nil:
		if u.seal.At.IsZero() { // of an earlier version
			u.seal.At = u.Created
		}
		u.offset = u.Size
		return u, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return u, u.readOffset()
}

// noteDropped has it on disk that the upload ended, before anything of it goes: half of
// it would be taken for an upload that can go on.
func (u *upload) noteDropped() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dropped = true
	return diskError(u.files.WriteUpload(u.id, droppedFile, []byte("1")))
}

func (u *upload) readJSON(name string, v any) error {
	b, err := u.files.ReadUpload(u.id, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s of upload %s: %w", name, u.id, err)
	}
	return nil
}

func (u *upload) writeJSON(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s of upload %s: %w", name, u.id, err)
	}
	return diskError(u.files.WriteUpload(u.id, name, b))
}

// readOffset takes the offset from the length of the data, and takes back bytes
// whose checksum nobody could compare any more.
func (u *upload) readOffset() error {
	st, err := os.Stat(u.files.UploadPath(u.id, dataFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data of upload %s: %w", u.id, err)
	}
	u.offset, u.lastByte = st.Size(), st.ModTime()
	keep := u.Size
	b, err := u.files.ReadUpload(u.id, uncheckedFile)
	if err == nil {
		if keep, err = strconv.ParseInt(string(b), 10, 64); err != nil {
			keep = 0
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if u.offset > keep {
		if err := os.Truncate(u.files.UploadPath(u.id, dataFile), keep); err != nil {
			return fmt.Errorf("data of upload %s: %w", u.id, err)
		}
		u.offset = keep
	}
	return u.files.DeleteUploadFile(u.id, uncheckedFile)
}

// mayTouch says whether who may see and change the upload.
func (u *upload) mayTouch(who accounts.Actor) bool {
	return u.Uploader == who.Username || who.MayModerate()
}

// state gives offset and the time of the last byte.
func (u *upload) state() (offset int64, lastByte, listed time.Time, dropped bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.offset, u.lastByte, u.listed, u.dropped
}

// setOffset notes that bytes arrived, or were taken back.
func (u *upload) setOffset(n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.offset, u.lastByte = n, time.Now()
}

// view is the upload as its uploader sees it; not ok once it is a video or gone.
func (u *upload) view(expiry time.Duration) (view api.Upload, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen(expiry), u.listed.IsZero() && !u.dropped
}

// seen is view for whoever has u.mu.
func (u *upload) seen(expiry time.Duration) api.Upload {
	return api.Upload{
		ID: u.id, Uploader: u.Uploader, FileName: u.FileName, Size: u.Size, Offset: u.offset, Created: u.Created, Expires: u.lastByte.Add(expiry),
		Name: u.details.Name, Description: u.details.Description, Tags: append([]string{}, u.details.Tags...),
	}
}

// edit changes details on disk and in memory.
func (u *upload) edit(in api.VideoEdit, expiry time.Duration) (api.Upload, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.listed.IsZero() || u.dropped {
		return api.Upload{}, errNoUpload()
	}
	d := u.details
	if err := d.set(in); err != nil {
		return api.Upload{}, err
	}
	if err := u.putDetails(d); err != nil {
		return api.Upload{}, err
	}
	return u.seen(expiry), nil
}

func (u *upload) putDetails(d details) error {
	if err := u.writeJSON(detailsFile, d); err != nil {
		return err
	}
	u.details = d
	return nil
}

// setThumbnail sets the picture that the video will have; not done once it is one.
func (u *upload) setThumbnail(webp []byte) (done bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.dropped {
		return false, errNoUpload()
	}
	if !u.listed.IsZero() {
		return false, nil
	}
	hash, err := u.files.PutThumbnail(webp, u.id)
	if err != nil {
		return false, diskError(err)
	}
	d := u.details
	if d.Thumbnail == hash {
		return true, nil
	}
	old := d.Thumbnail
	d.Thumbnail = hash
	if err := u.putDetails(d); err != nil {
		return false, errors.Join(err, u.files.RemoveThumbnail(hash))
	}
	if old != "" {
		return true, u.files.RemoveThumbnail(old)
	}
	return true, nil
}

// noteThumbnail keeps what the video has, in case it has to be listed once more.
func (u *upload) noteThumbnail(hash string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	d := u.details
	d.Thumbnail = hash
	return u.putDetails(d)
}

// wait has sweeps pass over the upload for a while, longer each time up to most;
// 0 ends that.
func (u *upload) wait(most time.Duration) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pause = min(max(2*u.pause, sweepEvery), most)
	u.paused = time.Now().Add(u.pause)
	return u.pause
}

// waits says whether sweeps pass over the upload.
func (u *upload) waits() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return time.Now().Before(u.paused)
}
