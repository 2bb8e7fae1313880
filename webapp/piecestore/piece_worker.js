// Keeps pieces in a file of the origin private file system, for one store of one
// page. Sync access handles, the fast way, exist in workers only.
//
// Messages: {op: 'write', piece, at, bytes} is answered {op: 'written', piece} or
// {op: 'failed', piece}; {op: 'read', id, at, length} is answered {op: 'bytes', id,
// bytes} with bytes null where they could not be read; {op: 'close'} removes the file
// and is answered {op: 'closed'}.
//
// A file whose page is gone is removed by the next worker: each holds a lock of the
// file's name as long as it lives.
'use strict';
const folder = 'kinopod-pieces';
const name = crypto.randomUUID();
let directory = null;
let handle = null;

async function open() {
  await new Promise((held) => {
    navigator.locks.request(`${folder}/${name}`, () => {
      held();
      return new Promise(() => {});
    });
  });
  const root = await navigator.storage.getDirectory();
  directory = await root.getDirectoryHandle(folder, { create: true });
  await sweep();
  const file = await directory.getFileHandle(name, { create: true });
  handle = await file.createSyncAccessHandle();
}

async function sweep() {
  const { held } = await navigator.locks.query();
  const alive = new Set(held.map((lock) => lock.name));
  for await (const key of directory.keys()) {
    if (!alive.has(`${folder}/${key}`)) await directory.removeEntry(key).catch(() => {});
  }
}

const opened = open().catch((err) => console.warn('pieces stay in memory:', String(err)));

onmessage = async ({ data: m }) => {
  await opened;
  switch (m.op) {
    case 'write':
      try {
        const n = handle.write(m.bytes, { at: m.at });
        postMessage({ op: n === m.bytes.length ? 'written' : 'failed', piece: m.piece });
      } catch {
        postMessage({ op: 'failed', piece: m.piece });
      }
      return;
    case 'read': {
      let bytes = null;
      try {
        const buffer = new Uint8Array(m.length);
        if (handle.read(buffer, { at: m.at }) === m.length) bytes = buffer;
      } catch { /* answered with null */ }
      postMessage({ op: 'bytes', id: m.id, bytes }, bytes ? [bytes.buffer] : []);
      return;
    }
    case 'close':
      try {
        handle?.close();
        await directory?.removeEntry(name);
      } catch { /* the next worker sweeps */ }
      postMessage({ op: 'closed' });
  }
};
