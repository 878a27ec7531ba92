/** The reference point of the consoles: what one socket says goes to all the others, as one buffer of an alarm's size. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { answerParent } from '../job.ts';

/** About what the view of an alarm takes. */
const FILLING = 'x'.repeat(1100);

answerParent<object, string>(async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  const consoles = new Set<WebSocket>();
  server.on('connection', (socket, request) => {
    if (request.url === '/ws') {
      consoles.add(socket);
      socket.send('{"type":"snapshot"}');
      return;
    }
    socket.on('message', (data: Buffer) => {
      const frame = Buffer.from(`{"type":"alarm","alarm":{"device":"${data.toString()}","filling":"${FILLING}"}}`);
      for (const one of consoles) one.send(frame, { binary: false });
    });
  });
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}, true);
