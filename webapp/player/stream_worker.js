// Answers the <video> element's requests for /stream/{info hash}/{file} from the
// swarm engine of the page that asks. Without an engine they go to the pod, at the
// same address: the hand-over is a matter of which request comes next.
//
// Messages of the page: {kinopod: 'engine', infoHash, size, type} when its engine is
// there, {kinopod: 'gone', infoHash} when it is not any more. Messages to the page:
// {kinopod: 'who'} when this worker was started anew and knows nothing, and
// {kinopod: 'stream', infoHash, from, to} with a port. On the port the worker says
// 'pull' or 'cancel'; the page says 'ready' once, then a Uint8Array a pull, null at
// the end, or a string with what went wrong.
'use strict';
(() => {
  const engines = new Map(); // client id -> Map(info hash -> {size, type})
  const patience = 1000; // ms until an engine that does not answer is given up
  const handOver = 1 << 20; // bytes of an answer without an engine: the next range may have one

  self.addEventListener('message', (event) => {
    const m = event.data;
    if (!m || !event.source) return;
    const id = event.source.id;
    if (m.kinopod === 'engine') {
      if (!engines.has(id)) engines.set(id, new Map());
      engines.get(id).set(m.infoHash, { size: m.size, type: m.type });
    } else if (m.kinopod === 'gone') {
      engines.get(id)?.delete(m.infoHash);
    }
  });

  self.addEventListener('fetch', (event) => {
    const url = new URL(event.request.url);
    const [, first, infoHash] = url.pathname.split('/');
    if (first !== 'stream') return;
    event.stopImmediatePropagation(); // no cache of ours
    const { destination } = event.request;
    if (destination !== 'video' && destination !== 'audio') return;
    const engine = engines.get(event.clientId)?.get(infoHash);
    if (engine) {
      event.respondWith(answer(event, infoHash, engine));
      return;
    }
    event.respondWith(plain(event.request));
    if (event.clientId) {
      event.waitUntil(self.clients.get(event.clientId).then((page) => page?.postMessage({ kinopod: 'who' })));
    }
  });

  // The pod cuts an open range short by itself, but cannot see what a request is for
  // when it comes through a worker.
  function plain(request) {
    const open = /^bytes=(\d+)-$/.exec(request.headers.get('Range') ?? '');
    if (!open) return fetch(request);
    const from = Number(open[1]);
    return fetch(request.url, { headers: { Range: `bytes=${from}-${from + handOver - 1}` }, credentials: 'same-origin', signal: request.signal });
  }

  async function answer(event, infoHash, { size, type }) {
    const range = parse(event.request.headers.get('Range'), size);
    if (!range) {
      return new Response(null, { status: 416, headers: { 'Content-Range': `bytes */${size}` } });
    }
    const page = await self.clients.get(event.clientId);
    const body = page && await stream(page, infoHash, range.from, range.to);
    if (!body) {
      engines.get(event.clientId)?.delete(infoHash);
      return plain(event.request);
    }
    const headers = {
      'Content-Type': type,
      'Content-Length': String(range.to - range.from),
      'Accept-Ranges': 'bytes',
      'Cache-Control': 'no-store',
      ETag: `"${infoHash}"`,
    };
    if (range.partial) headers['Content-Range'] = `bytes ${range.from}-${range.to - 1}/${size}`;
    return new Response(body, { status: range.partial ? 206 : 200, headers });
  }

  // Gives {from, to (excluded), partial}, or null for what cannot be satisfied.
  function parse(header, size) {
    if (!header) return { from: 0, to: size, partial: false };
    const m = /^bytes=(\d*)-(\d*)$/.exec(header);
    if (!m || (m[1] === '' && m[2] === '')) return null;
    const from = m[1] === '' ? Math.max(0, size - Number(m[2])) : Number(m[1]);
    const to = m[1] === '' || m[2] === '' ? size : Math.min(size, Number(m[2]) + 1);
    return from < to ? { from, to, partial: true } : null;
  }

  // Gives a stream of the bytes from..to out of the page's engine, or null where the
  // page does not answer.
  function stream(page, infoHash, from, to) {
    const { port1: port, port2 } = new MessageChannel();
    return new Promise((resolve) => {
      const timer = setTimeout(() => { port.close(); resolve(null); }, patience);
      let pulled = null; // resolves the pull under way
      let controller;
      const body = new ReadableStream({
        start(c) { controller = c; },
        pull() {
          port.postMessage('pull');
          return new Promise((next) => { pulled = next; });
        },
        cancel() {
          port.postMessage('cancel');
          port.close();
        },
      }, { highWaterMark: 1 });
      port.onmessage = ({ data }) => {
        if (data === 'ready') {
          clearTimeout(timer);
          resolve(body);
          return;
        }
        try {
          if (data instanceof Uint8Array) controller.enqueue(data);
          else if (data === null) controller.close();
          else controller.error(new Error(data));
        } catch { /* the element went away meanwhile */ }
        if (!(data instanceof Uint8Array)) port.close();
        pulled?.();
        pulled = null;
      };
      page.postMessage({ kinopod: 'stream', infoHash, from, to }, [port2]);
    });
  }
})();
