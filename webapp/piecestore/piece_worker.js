// Keeps the pieces of one video in the origin private file system, for one store of one
// page (browser_js.go). Sync access handles, the fast way, exist in workers only. What is
// in the files is for the page to say (piecestore.go, shelf.go).
//
// Messages: {op: 'open', video} comes first and is answered {op: 'opened', index}, or
// {op: 'none'} where there is no disk. {op: 'quota', quota} follows, with the bytes that the
// browser allows, and is answered {op: 'most', most}: the bytes that all videos may take.
// What came meanwhile is done after that. {op: 'write', piece, at, bytes, entryAt, entry}
// writes a piece, then its entry of the index, and is answered {op: 'written', piece}, or
// {op: 'full', piece} where the file may not grow so far, or {op: 'failed', piece}.
// {op: 'read', piece, at, length} is answered {op: 'bytes', piece, bytes} with bytes
// null where they could not be read. {op: 'note', at, bytes} writes to the index. {op: 'close'} is answered {op: 'closed'}.
'use strict';
const folder = 'kinopod-videos';
const lockOf = (video) => `kinopod-video/${video}`; // LockName in worker.go
const step = 64 * 2 ** 20; // by which room is looked for
const watchedAt = 8; // in an index: the time it was watched last

let videos = null; // directory of all videos
let name = '';
let most = 0; // bytes that all videos may take
let tellMost = null; // takes the answer to 'quota'
let pieces = null; // sync access handles
let index = null;
let length = 0; // bytes of "pieces"
let room = 0; // up to which it may grow

async function open(m) {
  name = m.video;
  const root = await navigator.storage.getDirectory();
  root.removeEntry('kinopod-pieces', { recursive: true }).catch(() => {}); // of earlier versions
  videos = await root.getDirectoryHandle(folder, { create: true });
  const own = await videos.getDirectoryHandle(name, { create: true });
  index = await handleOf(own, 'index');
  pieces = await handleOf(own, 'pieces');
  await aTurn();
  length = room = pieces.getSize();
  const bytes = new Uint8Array(index.getSize());
  index.read(bytes, { at: 0 });
  postMessage({ op: 'opened', index: bytes }, [bytes.buffer]);
  const { quota = 0 } = await navigator.storage.estimate();
  const told = new Promise((resolve) => { tellMost = resolve; });
  postMessage({ op: 'quota', quota });
  most = await told;
  await findRoom(0).catch(() => {}); // the cap may be lower than it was
}

// patiently does what handles are in the way of: those of a tab that was just closed may
// still be open.
async function patiently(f) {
  for (let tries = 20; ; tries--) {
    try {
      return await f();
    } catch (err) {
      if (tries === 0) throw err;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function handleOf(directory, file) {
  const handle = await directory.getFileHandle(file, { create: true });
  return patiently(() => handle.createSyncAccessHandle());
}

// aTurn waits for the event loop's next. What comes after a promise may run though the
// page has gone; a handle that is used then ends Chromium's process of the page, and of
// the page that comes next, in a private window (156).
const aTurn = () => new Promise((resolve) => setTimeout(resolve));

// findRoom lets "pieces" grow up to end, and gives whether it may. The video not watched
// for longest goes first; one that is open stays.
async function findRoom(end) {
  const others = [];
  let sum = length;
  for await (const [key, directory] of videos.entries()) {
    if (key === name) continue;
    const other = await look(key, directory).catch(() => ({ key, size: 0, watched: 0 }));
    others.push(other);
    sum += other.size;
  }
  others.sort((a, b) => a.watched - b.watched);
  const more = Math.max(0, end - length);
  for (const other of others) {
    if (sum + more <= most) break;
    if (await remove(other.key)) sum -= other.size;
  }
  await aTurn();
  if (sum + more > most) return false;
  room = length + Math.max(more, Math.min(step, most - sum));
  return true;
}

async function look(key, directory) {
  const file = async (name) => (await directory.getFileHandle(name)).getFile();
  const notes = await file('index');
  const head = new DataView(await notes.slice(0, watchedAt + 8).arrayBuffer());
  return { key, size: (await file('pieces')).size, watched: head.byteLength < watchedAt + 8 ? 0 : Number(head.getBigUint64(watchedAt)) };
}

// remove removes a video that no tab has open.
function remove(video) {
  return navigator.locks.request(lockOf(video), { ifAvailable: true }, async (lock) => {
    if (!lock) return false;
    try {
      await patiently(() => videos.removeEntry(video, { recursive: true }));
      return true;
    } catch {
      return false;
    }
  });
}

async function write(m) {
  const end = m.at + m.bytes.length;
  const grows = end > length;
  try {
    if ((end <= room || await findRoom(end)) && pieces.write(m.bytes, { at: m.at }) === m.bytes.length) {
      length = Math.max(length, end);
      index.write(m.entry, { at: m.entryAt });
      return postMessage({ op: 'written', piece: m.piece });
    }
  } catch { /* the disk is full */ }
  postMessage({ op: grows ? 'full' : 'failed', piece: m.piece });
}

function read(m) {
  let bytes = null;
  try {
    const buffer = new Uint8Array(m.length);
    if (pieces.read(buffer, { at: m.at }) === m.length) bytes = buffer;
  } catch { /* answered with null */ }
  postMessage({ op: 'bytes', piece: m.piece, bytes }, bytes ? [bytes.buffer] : []);
}

function close() {
  for (const handle of [pieces, index]) {
    handle?.flush();
    handle?.close();
  }
}

async function take(m) {
  switch (m.op) {
    case 'open': return open(m);
    case 'write': return write(m);
    case 'read': return read(m);
    case 'note': return index.write(m.bytes, { at: m.at ?? 0 });
    case 'close': return close();
  }
}

let last = Promise.resolve(); // one after the other
onmessage = ({ data: m }) => {
  if (m.op === 'most') return tellMost(m.most);
  last = last.then(() => take(m)).catch((err) => {
    if (m.op !== 'open') return;
    console.warn('pieces stay in memory:', String(err));
    postMessage({ op: 'none' });
  });
  if (m.op === 'close') last.then(() => postMessage({ op: 'closed' }));
};
