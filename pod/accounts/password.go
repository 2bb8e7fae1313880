package accounts

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"kinopod/shared/api"
)

// PasswordHash is argon2id in the PHC string format,
// "$argon2id$v=19$m=32768,t=3,p=1$<salt>$<key>".
type PasswordHash string

// Limits of a password and of a user name, in characters.
const (
	MinPassword = 8
	MaxPassword = 200
	MaxUsername = 40
)

// Fold is the form in which names of users are compared.
func Fold(name string) string { return strings.ToLower(name) }

// checkUsername takes letters and digits of ASCII with ".", "_" and "-" between
// them: what looks different is different, and no URL needs to escape it.
func checkUsername(name string) *api.Error {
	switch {
	case name == "":
		return fail(api.CodeInvalid, "A user name is needed.")
	case len(name) > MaxUsername:
		return fail(api.CodeInvalid, fmt.Sprintf("A user name has at most %d characters.", MaxUsername))
	}
	for i := range len(name) {
		c := name[i]
		inner := i > 0 && i < len(name)-1
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && (!inner || c != '.' && c != '_' && c != '-') {
			return fail(api.CodeInvalid, "A user name is made of letters a to z, digits, and . _ - between them.")
		}
	}
	return nil
}

func checkPassword(password, username string) *api.Error {
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return fail(api.CodeInvalid, "The password is not text.")
	case n < MinPassword:
		return fail(api.CodeInvalid, fmt.Sprintf("A password has at least %d characters.", MinPassword))
	case n > MaxPassword:
		return fail(api.CodeInvalid, fmt.Sprintf("A password has at most %d characters.", MaxPassword))
	case strings.EqualFold(password, username):
		return fail(api.CodeInvalid, "The password must not be the user name.")
	}
	return nil
}

// hasher makes and checks password hashes, a few at a time: each takes 32 MiB, so a
// flood of logins must not run as many at once as it likes.
type hasher struct {
	passes, memory uint32 // memory in KiB

	slots   chan struct{}
	waiting atomic.Int64
	nobody  PasswordHash // of no password, for users that do not exist
}

const (
	saltSize, keySize = 16, 32
	hashThreads       = 1
	hashesAtOnce      = 2
	hashesWaiting     = 64 // some two seconds of work
)

func newHasher() *hasher {
	// Beyond OWASP's least (19 MiB, 2 passes); some 60 ms.
	h := &hasher{passes: 3, memory: 32 << 10, slots: make(chan struct{}, hashesAtOnce)}
	h.nobody = h.format(random(saltSize), random(keySize))
	return h
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return b
}

func (h *hasher) format(salt, key []byte) PasswordHash {
	b64 := base64.RawStdEncoding.EncodeToString
	return PasswordHash(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, hashThreads, b64(salt), b64(key)))
}

// hash makes the hash of a new password.
func (h *hasher) hash(ctx context.Context, password string) (PasswordHash, error) {
	salt := random(saltSize)
	key, err := h.key(ctx, password, salt, h.passes, h.memory, hashThreads)
	if err != nil {
		return "", err
	}
	return h.format(salt, key), nil
}

// matches says whether password made want. An empty want never matches and costs
// the same.
func (h *hasher) matches(ctx context.Context, password string, want PasswordHash) (bool, error) {
	known := want != ""
	if !known {
		want = h.nobody
	}
	passes, memory, threads, salt, key, err := parsePasswordHash(want)
	if err != nil {
		return false, err
	}
	got, err := h.key(ctx, password, salt, passes, memory, threads)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, key) == 1 && known, nil
}

func parsePasswordHash(s PasswordHash) (passes, memory uint32, threads uint8, salt, key []byte, err error) {
	f := strings.Split(string(s), "$")
	if len(f) == 6 && f[0] == "" && f[1] == "argon2id" && f[2] == fmt.Sprintf("v=%d", argon2.Version) {
		_, err = fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads)
		if err == nil {
			salt, err = base64.RawStdEncoding.DecodeString(f[4])
		}
		if err == nil {
			key, err = base64.RawStdEncoding.DecodeString(f[5])
		}
		if err == nil && passes > 0 && threads > 0 && len(key) == keySize {
			return passes, memory, threads, salt, key, nil
		}
	}
	return 0, 0, 0, nil, nil, errors.New("password hash of an unknown form")
}

// key derives a key when it is its turn.
func (h *hasher) key(ctx context.Context, password string, salt []byte, passes, memory uint32, threads uint8) ([]byte, error) {
	if h.waiting.Add(1) > hashesWaiting {
		h.waiting.Add(-1)
		return nil, fail(api.CodeUnavailable, "Too many people are logging in at this moment. Try again in a few seconds.")
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to hash a password: %w", ctx.Err())
	}
	defer func() { <-h.slots }()
	return argon2.IDKey([]byte(password), salt, passes, memory, threads, keySize), nil
}
