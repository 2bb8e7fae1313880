// Answers the <video> element's requests for /stream/{info hash}/{file} from the
// swarm engine of the page that asks. Without an engine they go to the pod, at the
// same address: the hand-over is a matter of which request comes next.
//
// Messages of the page: {kinopod: 'engine', infoHash, size, type} when its engine is
// there, {kinopod: 'gone', infoHash} when it is not any more, {kinopod: 'failed'} (boot.js)
// when the app and all its engines are gone. Messages to the page:
// {kinopod: 'who'} when this worker was started anew and knows nothing,
// {kinopod: 'hold'} and {kinopod: 'stream', infoHash, from, to}, both with a port.
//
// After 'hold' the page (boot.js) says 'held' on the port, and 'plain' when the film
// needs bytes before the engine is there: while it has some ahead, the request waits,
// so that other viewers can answer it.
//
// After 'stream' the worker says 'pull' or 'cancel' on the port; the page says 'ready'
// once, then a Uint8Array a pull, null at the end, or a string with what went wrong.
'use strict';
(() => {
  const engines = new Map(); // client id -> Map(info hash -> {size, type})
  const answers = new Map(); // client id -> Set of functions that end an answer under way
  const prefetch = 4; // parts of an answer that wait for the element
  const patience = 1000; // ms until an engine that does not answer is given up
  const handOver = Number('KINOPOD_HAND_OVER'); // bytes of an answer without an engine: the next range may have one
  const waiting = new Set(); // requests that are held: functions that look for an engine

  self.addEventListener('message', (event) => {
    const m = event.data;
    if (!m || !event.source) return;
    const id = event.source.id;
    if (m.kinopod === 'engine') {
      if (!engines.has(id)) engines.set(id, new Map());
      engines.get(id).set(m.infoHash, { size: m.size, type: m.type });
      for (const look of waiting) look();
    } else if (m.kinopod === 'gone') {
      engines.get(id)?.delete(m.infoHash);
    } else if (m.kinopod === 'failed') {
      engines.delete(id);
      for (const end of answers.get(id) ?? []) end(); // the element asks again
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
    event.respondWith(before(event, infoHash));
  });

  // before answers without an engine, or with the one that came meanwhile. The first
  // bytes never wait.
  async function before(event, infoHash) {
    const page = event.clientId && await self.clients.get(event.clientId);
    if (!page) return plain(event.request);
    page.postMessage({ kinopod: 'who' });
    const range = event.request.headers.get('Range');
    const engine = range && range !== 'bytes=0-' && await hold(event, page, infoHash);
    return engine ? answer(event, infoHash, engine) : plain(event.request);
  }

  // hold gives the engine when it is there, or undefined when the page wants the bytes
  // without it, or does not answer.
  function hold(event, page, infoHash) {
    const { port1: port, port2 } = new MessageChannel();
    return new Promise((resolve) => {
      const end = (engine) => {
        waiting.delete(look);
        clearTimeout(timer);
        port.close();
        resolve(engine);
      };
      const look = () => {
        const engine = engines.get(event.clientId)?.get(infoHash);
        if (engine) end(engine);
      };
      const timer = setTimeout(end, patience);
      port.onmessage = ({ data }) => (data === 'held' ? clearTimeout(timer) : end());
      event.request.signal.addEventListener('abort', () => end());
      waiting.add(look);
      page.postMessage({ kinopod: 'hold' }, [port2]);
    });
  }

  // The pod cuts a range short by itself (pod/httpapi/stream.go), but cannot see what a
  // request is for when it comes through a worker.
  function plain(request) {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get('Range') ?? '') ?? [];
    const from = Number(first);
    if (!first || (last && !(navigator.userAgentData && last - from >= handOver))) return fetch(request);
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
      const receive = (data) => {
        try {
          if (data instanceof Uint8Array) controller.enqueue(data);
          else if (data === null) controller.close();
          else controller.error(new Error(data));
        } catch { /* the element went away meanwhile */ }
        if (!(data instanceof Uint8Array)) close();
        pulled?.();
        pulled = null;
      };
      const fail = () => receive('the app stopped');
      const close = () => {
        answers.get(page.id)?.delete(fail);
        port.close();
      };
      const body = new ReadableStream({
        start(c) { controller = c; },
        pull() {
          port.postMessage('pull');
          return new Promise((next) => { pulled = next; });
        },
        cancel() {
          port.postMessage('cancel');
          close();
        },
      }, { highWaterMark: prefetch });
      port.onmessage = ({ data }) => {
        if (data === 'ready') {
          clearTimeout(timer);
          if (!answers.has(page.id)) answers.set(page.id, new Set());
          answers.get(page.id).add(fail);
          resolve(body);
          return;
        }
        receive(data);
      };
      page.postMessage({ kinopod: 'stream', infoHash, from, to }, [port2]);
    });
  }
})();
