package swarm

import "kinopod/webapp/piecestore"

// Network is how the engine reaches others. Browser is the one of a browser; tests
// of the engine bring one made of pion and net/http. No callback blocks, and each
// may come from any goroutine; after a close or a cancel none comes any more, but
// one that is on its way may.
type Network interface {
	// Offer makes a peer connection with a data channel. Its offer comes to
	// on.Described: at once, or with ICE candidates where gather is set.
	Offer(gather bool, on ConnEvents) Conn
	// Answer makes a peer connection for somebody's offer. Its answer comes to
	// on.Described, with ICE candidates.
	Answer(offer string, on ConnEvents) Conn
	// Dial opens a WebSocket for text frames.
	Dial(url string, on SocketEvents) Socket
	// Fetch asks for the bytes from..to (to excluded) of a file. Where urgent is set they
	// do not come by way of a cache.
	Fetch(url string, from, to int64, urgent bool, on FetchEvents) (cancel func())
	// Post sends JSON.
	Post(url string, body []byte, done func(status int, answer []byte, err error))
}

// Conn is a peer connection with one data channel.
type Conn interface {
	// Accept takes the answer to our offer.
	Accept(answer string)
	// Send sends one message, made of two parts where body is not empty. It keeps neither.
	Send(head []byte, body piecestore.Chunk)
	// Buffered is the number of bytes that wait to be sent.
	Buffered() int
	// Carried tells what packets went up and down so far, in bytes with their headers.
	// done is not called where the platform does not count them.
	Carried(done func(up, down int64))
	// Close ends the connection. Closed is not called then.
	Close()
}

// ConnEvents is what a Conn tells.
type ConnEvents struct {
	Described func(sdp string)            // our description can be sent
	Open      func()                      // the data channel is open
	Message   func(data piecestore.Chunk) // in order
	Low       func()                      // at most sendLow bytes wait to be sent
	Closed    func(err error)             // failed, or closed by the other side; once
}

// Bounds of what waits to be sent on one connection, in bytes.
const (
	sendHigh = 192 << 10 // little, so that what is asked for late and needed soon does not stand behind it
	sendLow  = 64 << 10
)

// Socket is a WebSocket.
type Socket interface {
	Send(text []byte)
	Close()
}

// SocketEvents is what a Socket tells.
type SocketEvents struct {
	Open    func()
	Message func(text []byte)
	Closed  func(err error)
}

// FetchEvents is what a Fetch tells.
type FetchEvents struct {
	Data func(data piecestore.Chunk) // in order, from the first byte asked for
	Done func(err error)             // after the last byte, or a failure; once
}
