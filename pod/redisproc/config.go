package redisproc

// config is the whole configuration of the server, read from its standard input.
// Names are relative to its working directory, so that no path needs quoting and
// the socket's name stays short.
//
// appendfsync is "no" because "everysec" breaks the promise that kill -9 loses
// nothing: while its sync runs, that server answers first and writes up to two
// seconds later. With "no" every answer comes after write(2), and syncLoop syncs
// each second in its place.
//
// The limits of hashes and sets keep the catalogue compact (facts.md, "Redis,
// index, jobs"): records of up to 4 KB, 64 a hash, stay in one listpack. How long each kind of
// command takes is not counted: that cost each command of a script something, and nobody reads it.
const config = `
port 0
unixsocket ` + socketName + `
unixsocketperm 700
daemonize no
supervised no
loglevel notice
logfile ""

appendonly yes
appendfsync no
aof-load-truncated yes
save ""
maxmemory-policy noeviction

hash-max-listpack-entries 512
hash-max-listpack-value 4096
set-max-intset-entries 65536

latency-tracking no
`
