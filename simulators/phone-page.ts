/** The responder's telephone of the demonstration: every SMS that the gateway took, newest first, with its link to press. */
import type { ServerResponse } from 'node:http';
import { toIso } from '../src/base/clock.ts';
import type { SmsMessage, SmsStatus } from './sms-message.ts';

const STATUS: Readonly<Record<SmsStatus, string>> = { accepted: 'mottatt', sent: 'sendt', delivered: 'levert', failed: 'ikke levert' };

const escape = (text: string): string =>
  text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`).replace(/(?![\t\n])\p{Cc}/gu, '\ufffd');

/** Text for HTML, with its http links made pressable: cut into pieces first and each escaped, so that nothing of it is markup. */
function linked(text: string): string {
  return text
    .split(/(https?:\/\/[^\s<>"']+)/)
    .map((piece, i) => (i % 2 === 1 ? `<a href="${escape(piece)}" rel="noreferrer">${escape(piece)}</a>` : escape(piece)))
    .join('');
}

/** Writes the page; it loads itself anew every five seconds and holds no script. */
export function phonePage(response: ServerResponse, messages: readonly SmsMessage[]): void {
  const items = messages
    .toReversed()
    .map(
      ({ to, from, text, acceptedAt, status }) =>
        `<li><small>${toIso(acceptedAt).slice(11, 19)} UTC · fra ${escape(from)} til ${escape(to)} · ${STATUS[status]}</small><p>${linked(text)}</p></li>`,
    )
    .join('\n');
  response
    .writeHead(200, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
    })
    .end(
      `<!doctype html><html lang="nb"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">` +
        `<meta http-equiv="refresh" content="5"><title>Telefon (demo)</title>` +
        `<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:2rem auto;padding:0 1rem}li{list-style:none;border-bottom:1px solid #767676;padding:.5rem 0}ul{padding:0}p{margin:.25rem 0;white-space:pre-wrap;overflow-wrap:anywhere}</style>` +
        `</head><body><h1>SMS til utrykkere</h1>${items === '' ? '<p>Ingen meldinger ennå.</p>' : `<ul>${items}</ul>`}</body></html>`,
    );
}
