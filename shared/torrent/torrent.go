// Package torrent is the metainfo of a torrent of one file (BEP 3): built from
// piece hashes, parsed and checked, written as a .torrent.
package torrent

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"

	"kinopod/shared/magnet"
)

// Limits of what Parse takes.
const (
	MinPieceLength = 16 << 10
	MaxPieceLength = 16 << 20
	MaxPieces      = 1 << 17
	MaxMetainfo    = 4 << 20 // bytes of a .torrent
)

// BlockLength is the unit of requests on the wire, in bytes.
const BlockLength = 16 << 10

// ErrInvalid is what Parse and Build wrap.
var ErrInvalid = errors.New("not a torrent of one file")

// Torrent is the info dictionary of one file. It does not change once made and
// may be shared.
type Torrent struct {
	InfoHash    magnet.InfoHash
	Name        string // the file's name, one path element
	Length      int64  // bytes of the file
	PieceLength int64  // bytes of each piece but the last
	Info        []byte // the bencoded info dictionary: what InfoHash is the hash of
	hashes      []byte // 20 bytes a piece
}

// PieceLengthFor chooses the piece length for a file of size bytes, a power of two.
// Small files have small pieces, 64 KiB at least, so that viewers soon have something to
// give. From 16 MiB on a piece has 256 KiB: each piece costs every viewer a hash and a
// message to each other. From 512 MiB on it grows, up to 16 MiB, so that a torrent has
// some 2,000 pieces at most for as long as that lasts.
func PieceLengthFor(size int64) int64 {
	n := int64(64 << 10)
	for n < 256<<10 && size > n*128 {
		n *= 2
	}
	for n < MaxPieceLength && size > n*2048 {
		n *= 2
	}
	return n
}

// Build makes the torrent of a file from the SHA-1 of each piece, 20 bytes each,
// one after another. source goes into the info dictionary and makes the info hash
// its own even where two files are equal.
func Build(name string, length, pieceLength int64, hashes []byte, source string) (*Torrent, error) {
	info, err := bencode.Marshal(metainfo.Info{Name: name, Length: length, PieceLength: pieceLength, Pieces: hashes, Source: source})
	if err != nil {
		return nil, fmt.Errorf("encode info dictionary: %w", err)
	}
	return ParseInfo(info)
}

// ParseInfo reads a bencoded info dictionary.
func ParseInfo(info []byte) (*Torrent, error) {
	var in metainfo.Info
	if err := bencode.Unmarshal(info, &in); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	switch {
	case len(in.Files) > 0 || in.MetaVersion > 1:
		return nil, fmt.Errorf("%w: several files, or version 2", ErrInvalid)
	case in.Length <= 0:
		return nil, fmt.Errorf("%w: length %d", ErrInvalid, in.Length)
	case in.PieceLength < MinPieceLength || in.PieceLength > MaxPieceLength || in.PieceLength&(in.PieceLength-1) != 0:
		return nil, fmt.Errorf("%w: piece length %d", ErrInvalid, in.PieceLength)
	case in.Name == "" || in.Name == "." || in.Name == ".." || bytes.ContainsAny([]byte(in.Name), "/\\\x00"):
		return nil, fmt.Errorf("%w: name %q", ErrInvalid, in.Name)
	}
	n := (in.Length-1)/in.PieceLength + 1
	if n > MaxPieces || int64(len(in.Pieces)) != n*sha1.Size {
		return nil, fmt.Errorf("%w: %d bytes of hashes for %d pieces", ErrInvalid, len(in.Pieces), n)
	}
	return &Torrent{
		InfoHash: sha1.Sum(info), Name: in.Name, Length: in.Length, PieceLength: in.PieceLength,
		Info: bytes.Clone(info), hashes: in.Pieces,
	}, nil
}

// Parse reads a .torrent of one file. What it says of trackers and web seeds is
// passed over: who plays a video asks its pod for those.
func Parse(b []byte) (*Torrent, error) {
	if len(b) > MaxMetainfo {
		return nil, fmt.Errorf("%w: over %d bytes", ErrInvalid, MaxMetainfo)
	}
	var outer struct {
		Info bencode.Bytes `bencode:"info"`
	}
	if err := bencode.Unmarshal(b, &outer); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	if len(outer.Info) == 0 {
		return nil, fmt.Errorf("%w: no info dictionary", ErrInvalid)
	}
	return ParseInfo(outer.Info)
}

// Metainfo writes the .torrent with these trackers (BEP 12, a tier each) and web
// seeds (BEP 19).
func (t *Torrent) Metainfo(trackers, webSeeds []string) ([]byte, error) {
	outer := metainfo.MetaInfo{InfoBytes: t.Info, CreatedBy: "Kinopod", UrlList: webSeeds}
	for _, tr := range trackers {
		outer.AnnounceList = append(outer.AnnounceList, []string{tr})
	}
	if len(trackers) > 0 {
		outer.Announce = trackers[0]
	}
	b, err := bencode.Marshal(outer)
	if err != nil {
		return nil, fmt.Errorf("encode metainfo of %s: %w", t.InfoHash, err)
	}
	return b, nil
}

// Pieces is the number of pieces.
func (t *Torrent) Pieces() int { return len(t.hashes) / sha1.Size }

// PieceSize is the length of piece i in bytes; the last one may be shorter.
func (t *Torrent) PieceSize(i int) int64 {
	return min(t.PieceLength, t.Length-int64(i)*t.PieceLength)
}

// Offset is where piece i begins in the file.
func (t *Torrent) Offset(i int) int64 { return int64(i) * t.PieceLength }

// Hash is the SHA-1 that piece i must have.
func (t *Torrent) Hash(i int) [sha1.Size]byte {
	return [sha1.Size]byte(t.hashes[i*sha1.Size:])
}

// Verify says whether b is piece i.
func (t *Torrent) Verify(i int, b []byte) bool {
	return i >= 0 && i < t.Pieces() && int64(len(b)) == t.PieceSize(i) && sha1.Sum(b) == t.Hash(i)
}
