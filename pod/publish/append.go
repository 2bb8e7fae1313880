package publish

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"kinopod/pod/container"
	"kinopod/shared/api"
	"kinopod/shared/torrent"
)

const (
	// bufferSize is read at a time; buffers are in hand between reading from the
	// network and writing to disk.
	bufferSize = 256 << 10
	buffers    = 4
	// syncEvery bounds what is not on disk yet when the last byte comes: a file is
	// listed only when it is, and a disk may take 100 MB/s.
	syncEvery = 32 << 20
)

// diskError gives a full disk a code and a sentence.
func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &api.Error{Code: api.CodeNoSpace, Message: "The pod's disk is full. What you sent so far is kept; go on when there is room again.", Cause: err}
	}
	return err
}

// appender writes the bytes of one request to an upload, and hashes them. The
// caller has the upload's turn.
type appender struct {
	u       *upload
	data    *os.File
	begin   int64
	at      int64 // how far data is written
	sniffed bool

	syncing chan struct{} // asks the syncer for a Sync
	synced  chan error    // of the syncer when it ends
	behind  int64         // bytes since the syncer was asked
}

func (u *upload) appender() (*appender, error) {
	data, err := u.files.UploadFile(u.id, dataFile)
	if err != nil {
		return nil, diskError(err)
	}
	if u.hashes, err = u.files.UploadFile(u.id, hashesFile); err != nil {
		return nil, diskError(errors.Join(err, data.Close()))
	}
	offset, _, _, _ := u.state()
	a := &appender{u: u, data: data, begin: offset, at: offset, sniffed: offset >= container.SniffLength}
	a.syncing, a.synced = make(chan struct{}, 1), make(chan error, 1)
	go func() {
		var err error
		for range a.syncing {
			err = errors.Join(err, data.Sync())
		}
		a.synced <- err
	}()
	if err := u.catchUp(data, offset); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// catchUp has the hasher stand at offset: what lies between the last whole piece
// and it is read once more, at most one piece where nothing went wrong.
func (u *upload) catchUp(data *os.File, offset int64) error {
	if u.hasher != nil {
		return nil
	}
	pieceLength := torrent.PieceLengthFor(u.Size)
	st, err := u.hashes.Stat()
	if err != nil {
		return fmt.Errorf("hashes of upload %s: %w", u.id, err)
	}
	pieces := min(st.Size()/sha1.Size, offset/pieceLength)
	if err := u.hashes.Truncate(pieces * sha1.Size); err != nil {
		return diskError(fmt.Errorf("hashes of upload %s: %w", u.id, err))
	}
	u.failed = nil
	next := pieces * sha1.Size
	hasher := torrent.NewHasher(pieceLength, func(sum [sha1.Size]byte) {
		if _, err := u.hashes.WriteAt(sum[:], next); err != nil {
			u.failed = errors.Join(u.failed, err)
		}
		next += sha1.Size
	})
	from := pieces * pieceLength
	if _, err := io.CopyBuffer(hasher, io.NewSectionReader(data, from, offset-from), make([]byte, bufferSize)); err != nil {
		return fmt.Errorf("hash upload %s: %w", u.id, err)
	}
	if u.failed != nil {
		return diskError(fmt.Errorf("hashes of upload %s: %w", u.id, u.failed))
	}
	u.hasher = hasher
	return nil
}

// write takes the next bytes. What is on disk of them counts, also with an error.
func (a *appender) write(p []byte) error {
	n, err := a.data.WriteAt(p, a.at)
	_, _ = a.u.hasher.Write(p[:n])
	a.at += int64(n)
	a.u.setOffset(a.at)
	if err = errors.Join(err, a.u.failed); err != nil {
		return diskError(fmt.Errorf("write upload %s: %w", a.u.id, err))
	}
	if a.behind += int64(n); a.behind >= syncEvery {
		select {
		case a.syncing <- struct{}{}:
			a.behind = 0
		default: // the disk is slower than the network: what is asked already includes this
		}
	}
	return a.sniff()
}

// sniff looks once at the beginning, so that nobody sends all of a file that is no
// video.
func (a *appender) sniff() error {
	if a.sniffed || a.at < container.SniffLength {
		return nil
	}
	a.sniffed = true
	head := make([]byte, container.SniffLength)
	if _, err := a.data.ReadAt(head, 0); err != nil {
		return fmt.Errorf("read upload %s: %w", a.u.id, err)
	}
	_, err := container.Sniff(head)
	return err
}

// reader reads a request's body ahead of what is written.
type reader struct {
	src  io.Reader
	free chan []byte   // buffers to read into
	full chan []byte   // what was read; closed at src's end
	stop chan struct{} // closed: nobody takes more
	idle chan struct{} // closed: src is not read any more
	err  error         // what ended src; readable when full is closed
}

func newReader(src io.Reader) *reader {
	r := &reader{src: src, free: make(chan []byte, buffers), full: make(chan []byte, buffers), stop: make(chan struct{}), idle: make(chan struct{})}
	for range buffers {
		r.free <- make([]byte, bufferSize)
	}
	go r.run()
	return r
}

func (r *reader) run() {
	defer close(r.idle)
	defer close(r.full)
	for {
		select {
		case p := <-r.free:
			n, err := r.src.Read(p)
			r.full <- p[:n] // there are no more buffers than have room
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				r.err = err
				return
			}
		case <-r.stop:
			return
		}
	}
}

// next gives what was read next. over ends it, after what has been read already.
func (r *reader) next(over <-chan struct{}) (p []byte, more, isOver bool) {
	select {
	case p, more = <-r.full:
		return p, more, false
	default:
	}
	select {
	case p, more = <-r.full:
		return p, more, false
	case <-over:
		return nil, false, true
	}
}

// copy takes what r reads, until it ends or over is closed: then r may still be
// asleep in a Read of a connection that is dead, until r.idle.
func (a *appender) copy(r *reader, over <-chan struct{}) (takenOver bool, err error) {
	defer close(r.stop)
	for {
		p, more, isOver := r.next(over)
		switch {
		case isOver:
			return true, nil
		case !more:
			return false, r.err
		}
		if err := a.write(p); err != nil {
			return false, err
		}
		r.free <- p[:bufferSize]
	}
}

// sync has everything on disk that was written.
func (a *appender) sync() error {
	return errors.Join(a.data.Sync(), a.u.hashes.Sync())
}

// rollBack takes back what was written since the appender was made.
func (a *appender) rollBack() error {
	a.u.hasher = nil // it has hashed what is no more
	if err := a.data.Truncate(a.begin); err != nil {
		return fmt.Errorf("take back bytes of upload %s: %w", a.u.id, err)
	}
	a.at = a.begin
	a.u.setOffset(a.begin)
	return nil
}

// close ends the appender. After a failed write the hasher is caught up from disk
// the next time.
func (a *appender) close() error {
	close(a.syncing)
	err := <-a.synced
	if a.u.failed != nil {
		a.u.hasher = nil
	}
	return errors.Join(err, a.data.Close(), a.u.hashes.Close())
}

// uncheckedFrom notes on disk that bytes from offset on have no compared checksum.
func (u *upload) uncheckedFrom(offset int64) error {
	return diskError(u.files.WriteUpload(u.id, uncheckedFile, []byte(strconv.FormatInt(offset, 10))))
}
