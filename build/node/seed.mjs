// Seeds a file with webtorrent on node, over WebRTC alone, and prints {"magnet": ...}.
// usage: node seed.mjs FILE TRACKER
import WebTorrent from 'webtorrent'

const [file, tracker] = process.argv.slice(2)
const client = new WebTorrent({ dht: false, lsd: false, utPex: false, natUpnp: false, natPmp: false, utp: false, tracker: { rtcConfig: { iceServers: [] } } })
client.on('error', e => { console.error(e); process.exit(1) })
client.seed(file, { announceList: [[tracker]] }, torrent => console.log(JSON.stringify({ magnet: torrent.magnetURI })))
