package accounts

import (
	"context"
	"errors"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

// Store keeps accounts durably. Each method is atomic: it happens whole or not at
// all, and another caller sees it before or after. Names of users are looked up by
// Fold. Times are kept to the millisecond. Package accountstest says by tests what
// a Store has to do.
type Store interface {
	CountUsers(ctx context.Context) (int, error)
	// Usernames lists all users in no order.
	Usernames(ctx context.Context) ([]string, error)
	// User gives ErrNotFound for a name that nobody has.
	User(ctx context.Context, name string) (User, error)
	// CreateUser adds a user and uses up the grant. ErrTaken where the name is
	// taken, ErrGrant where the grant is not valid. With the first user the setup
	// token ends, whoever made the user.
	CreateUser(ctx context.Context, u User, g Grant) error
	// SetPassword replaces the password where it is still old, or ErrChanged; ""
	// replaces any. It ends the user's sessions but keep. ErrNotFound.
	SetPassword(ctx context.Context, name string, old, hash PasswordHash, keep TokenHash) error
	// SetRole changes a role. ErrNotFound; ErrLastAdmin where no administrator would
	// be left.
	SetRole(ctx context.Context, name string, role api.Role) error
	// RemoveUser forgets a user, their profile and their sessions. ErrNotFound;
	// ErrLastAdmin; ErrBooked where something is reserved for them.
	RemoveUser(ctx context.Context, name string) error

	// Profile is what a user says of themself, the zero one where that is nothing.
	Profile(ctx context.Context, name string) (video.Profile, error)
	// SetProfile replaces it; ErrNotFound.
	SetProfile(ctx context.Context, name string, p video.Profile) error

	// PutSetup replaces the setup token; ErrTaken where there are users.
	PutSetup(ctx context.Context, token TokenHash) error
	// PutInvite keeps an invitation until it is used or expires.
	PutInvite(ctx context.Context, token TokenHash, by string, expires time.Time) error
	// ValidGrant says whether CreateUser would take the grant now.
	ValidGrant(ctx context.Context, g Grant) (bool, error)

	// CreateSession begins a session of a user whose password is still this one, or
	// ErrChanged. A user's sessions beyond MaxSessions end, those that expire
	// soonest first.
	CreateSession(ctx context.Context, s Session, password PasswordHash) error
	// Session gives ErrNotFound for one that ended or expired.
	Session(ctx context.Context, id TokenHash) (Session, error)
	// TouchSession sets LastSeen and Expires of a session that has not ended.
	TouchSession(ctx context.Context, s Session) error
	// Sessions lists a user's sessions in no order.
	Sessions(ctx context.Context, name string) ([]Session, error)
	// EndSession gives ErrNotFound where the user has no such session.
	EndSession(ctx context.Context, name string, id TokenHash) error

	// Reserve books bytes for an upload or a video, in the place of what was booked
	// for that id before. ErrQuota where more would be booked for the user than
	// limit (0 is none); what takes no more than before always goes. ErrNotFound for
	// nobody: a booking of a user who was removed meanwhile would stay.
	Reserve(ctx context.Context, name string, r Reservation, limit int64) error
	// Release forgets what was booked for id; nothing booked is no error.
	Release(ctx context.Context, name string, id video.ID) error
	// Used is the sum of what is booked.
	Used(ctx context.Context, name string) (int64, error)
	// Reservations lists what is booked in no order.
	Reservations(ctx context.Context, name string) ([]Reservation, error)
}

// What a Store answers, wrapped or not, beside failures of its own.
var (
	ErrNotFound = errors.New("not found")
	ErrTaken    = errors.New("taken")
	ErrGrant    = errors.New("grant is not valid")
	ErrChanged  = errors.New("changed meanwhile")
	ErrQuota    = errors.New("over the quota")
	// ErrLastAdmin: a pod without an administrator cannot get one from its pages.
	ErrLastAdmin = errors.New("the last administrator")
	ErrBooked    = errors.New("something is reserved")
)

// MaxSessions is how many sessions one user may have.
const MaxSessions = 100

// User is an account.
type User struct {
	Name     string // as written when registering; see Fold
	Role     api.Role
	Password PasswordHash
	Created  time.Time
}

// Session is one place where a user is logged in.
type Session struct {
	ID                         TokenHash
	User                       string
	Client                     string // "Firefox on Linux"
	Created, LastSeen, Expires time.Time
}

// Reservation is what one upload, and later its video, takes of a user's quota.
type Reservation struct {
	ID    video.ID
	Bytes int64
	At    time.Time
}

// Grant allows to make one account. The zero Grant is an operator's or an open
// pod's: it needs no token.
type Grant struct {
	Kind  GrantKind
	Token TokenHash
}

// GrantKind is what sort of token a Grant has.
type GrantKind uint8

// The kinds of grant.
const (
	GrantFree   GrantKind = iota
	GrantSetup            // valid until there is a user
	GrantInvite           // valid once, until it expires
)
