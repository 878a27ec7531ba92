/** The inputs that fuzzing begins with: the vectors of the other tests, and whatever once was a finding. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const VECTORS = path.join(import.meta.dirname, '..', 'vectors');
const KEPT = path.join(VECTORS, 'fuzz');
const json = <T>(...name: string[]): T => JSON.parse(readFileSync(path.join(VECTORS, ...name), 'utf8')) as T;

/** The files kept for a parser, in the order of their names. */
export function keptFor(parser: string): Buffer[] {
  const folder = path.join(KEPT, parser);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .toSorted()
    .map((name) => readFileSync(path.join(folder, name)));
}

/** Puts a finding beside them, so that the next run begins with it; the file's path. */
export function keep(parser: string, input: Buffer): string {
  const folder = path.join(KEPT, parser);
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${createHash('sha256').update(input).digest('hex').slice(0, 16)}.bin`);
  writeFileSync(file, input);
  return file;
}

/** Whole SIP messages as they stand in a datagram. */
export function sipMessages(): Buffer[] {
  const typed = json<{ lines: string[] }[]>('sip', 'datagrams.json').map(({ lines }) => Buffer.from(lines.join('\r\n'), 'latin1'));
  const bodies = scaipBodies().slice(0, 4);
  return [...typed, ...bodies.map((body, n) => sipMessage(body, `call-${n}`))];
}

/** A MESSAGE as units send it. */
export function sipMessage(body: Uint8Array, callId: string): Buffer {
  const head = [
    'MESSAGE sip:alarm@192.0.2.1 SIP/2.0',
    'Via: SIP/2.0/TCP 10.0.0.5:5060;branch=z9hG4bK-0001;rport',
    'Max-Forwards: 70',
    'From: "Unit" <sip:26317@10.0.0.5>;tag=286524',
    'To: <sip:alarm@192.0.2.1>',
    `Call-ID: ${callId}`,
    'CSeq: 1 MESSAGE',
    'Contact: <sip:26317@10.0.0.5:5060>;expires=600',
    'Authorization: Digest username="26317", realm="responssenter", nonce="n,\\"o", uri="sip:alarm@192.0.2.1", ' +
      'response="0123456789abcdef0123456789abcdef", algorithm=MD5, qop=auth, nc=00000001, cnonce="c"',
    'Content-Type: application/scaip+xml',
    `Content-Length: ${body.length}`,
  ];
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]);
}

export function scaipBodies(): Buffer[] {
  const folder = path.join(VECTORS, 'scaip');
  const captured = readdirSync(folder)
    .filter((name) => name.endsWith('.xml'))
    .toSorted()
    .map((name) => readFileSync(path.join(folder, name)));
  return [
    ...captured,
    ...json<{ xml?: string }[]>('scaip', 'built.json').flatMap(({ xml }) => (xml === undefined ? [] : [Buffer.from(xml)])),
  ];
}
