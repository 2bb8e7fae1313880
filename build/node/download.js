// download gets a torrent's one file with webtorrent.js in a page that serves it at
// /dist/. memory keeps the pieces in memory and not where webtorrent.js likes. It gives
// the bytes' SHA-256, and the ms until the first peer's handshake, the first piece and the last.
export async function download (magnet, memory) {
  const { default: WebTorrent } = await import('/dist/webtorrent.min.js')
  class Memory {
    constructor (n) { this.chunkLength = n; this.chunks = [] }
    put (i, b, cb) { this.chunks[i] = b.slice(); queueMicrotask(() => cb(null)) }
    get (i, o, cb) {
      if (typeof o === 'function') { cb = o; o = null }
      const c = this.chunks[i]
      if (!c) return queueMicrotask(() => cb(new Error('missing')))
      const from = o?.offset ?? 0
      queueMicrotask(() => cb(null, c.subarray(from, from + (o?.length ?? c.length - from))))
    }

    close (cb) { cb(null) }
    destroy (cb) { cb(null) }
  }
  const client = new WebTorrent({ dht: false, lsd: false, utPex: false, tracker: { rtcConfig: { iceServers: [] } } })
  const begin = performance.now()
  let connected = 0
  let first = 0
  const torrent = client.add(magnet, { announce: [], ...(memory ? { store: Memory } : {}) })
  await new Promise((resolve, reject) => {
    torrent.on('error', reject)
    client.on('error', reject)
    torrent.on('wire', () => { connected ||= performance.now() - begin })
    torrent.on('verified', () => { first ||= performance.now() - begin })
    torrent.on('done', resolve)
  })
  const done = performance.now() - begin
  const blob = await torrent.files[0].blob()
  const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()))
  const out = {
    sha256: Array.from(sum, b => b.toString(16).padStart(2, '0')).join(''),
    length: blob.size,
    connected,
    first,
    done,
    sources: torrent.wires.map(w => w.type).join()
  }
  await new Promise(resolve => client.destroy(resolve))
  return out
}
