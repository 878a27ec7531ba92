/** Refuses the upgrade to a WebSocket as HTTP says it: a status and a problem document (RFC 9457). */
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';

const PROBLEMS = {
  401: { code: 'no-session', detail: 'Sign in with POST /api/v1/session.' },
  403: { code: 'foreign-origin', detail: 'Pages of another site cannot listen here.' },
  404: { code: 'unknown-route', detail: 'There is nothing to connect to here; the feed is at /ws.' },
  429: { code: 'too-many-sockets', detail: 'This account has too many pages open.' },
  503: { code: 'not-ready', detail: 'The centre cannot take the connection now; try again in a few seconds.' },
} as const;

export function refuseUpgrade(socket: Duplex, status: keyof typeof PROBLEMS): void {
  const body = JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, ...PROBLEMS[status] });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Connection: close',
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => {
    socket.destroy();
  });
}
