package pod

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/hibiken/asynq"
)

// jobsAt is how asynq reaches the Redis that redisstore.Open(where) opens.
func jobsAt(where string) (asynq.RedisConnOpt, error) {
	if strings.HasPrefix(where, "/") {
		return asynq.RedisClientOpt{Network: "unix", Addr: where}, nil
	}
	u, err := url.Parse(where)
	if err != nil {
		return nil, fmt.Errorf("address of redis: %w", err)
	}
	password, _ := u.User.Password()
	opt := asynq.RedisClientOpt{Addr: u.Host, Username: u.User.Username(), Password: password}
	number := strings.Trim(u.Path, "/")
	switch u.Scheme {
	case "unix":
		opt.Network, opt.Addr, number = "unix", u.Path, u.Query().Get("db")
	case "rediss":
		opt.TLSConfig = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	if number != "" {
		if opt.DB, err = strconv.Atoi(number); err != nil {
			return nil, fmt.Errorf("address of redis: %q is not the number of a database", number)
		}
	}
	return opt, nil
}
