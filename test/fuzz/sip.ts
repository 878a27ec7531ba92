/** What is fuzzed of SIP: datagrams, the stream framer, and the values of headers; with all that is written out of them. */
import { MovableClock } from '../../src/base/clock.ts';
import { parameters, parseNameAddress, parseUri, parseVia, receivedVia, splitList, writableUri } from '../../src/protocols/sip/address.ts';
import { DigestGate, parseDigest } from '../../src/protocols/sip/digest.ts';
import { AnswerLane, type Flow } from '../../src/protocols/sip/flow.ts';
import { Framer } from '../../src/protocols/sip/framer.ts';
import { type Framed, LIMITS, type SipRequest, header } from '../../src/protocols/sip/message.ts';
import { findStartLine, parseCSeq, parseDatagram, parseHead, parseStartLine } from '../../src/protocols/sip/parse.ts';
import { readRegistration } from '../../src/protocols/sip/registrar.ts';
import { inviteKey, transactionKey } from '../../src/protocols/sip/server-transactions.ts';
import { serialise, writeAnswer } from '../../src/protocols/sip/write.ts';
import { addressReply, namesForReply, readMessage } from '../../src/protocols/scaip/read.ts';
import { type Fuzzed, holds } from './campaign.ts';
import { keptFor, sipMessage, sipMessages } from './corpus.ts';
import type { Draw } from './mutate.ts';

const NAMES = 'Via From To Call-ID CSeq Contact Expires Authorization Content-Length Content-Type Max-Forwards v f t i m l c'.split(' ');
const WORDS = [
  ...NAMES.map((name) => `\r\n${name}: `),
  ...['\r\n', '\n', '\r', '\r\n\r\n', '\r\n ', '\t', ' ', '\0', ';', ',', '<', '>', '"', '\\', '@', ':', '%00', '%41', '%', '*', '[::1]'],
  ...['MESSAGE sip:a@b SIP/2.0\r\n', 'INVITE ', 'ACK ', 'REGISTER ', 'SIP/2.0', 'SIP/2.0 200 OK\r\n', 'SIP/3.0', 'sip:', 'tel:', 'sips:'],
  ...[';branch=z9hG4bK', ';rport', ';received=', ';tag=', ';expires=0', 'Content-Length: 0\r\n', 'Content-Length: 99999\r\n'],
  ...['Digest ', 'username="', 'realm="responssenter"', 'nonce=', 'response=', 'qop=auth', 'nc=00000001', 'algorithm=SHA-256'],
  ...['<mrq>', '</mrq>', '<mrq><ref>1</ref></mrq>', '<?xml ?>', '<!--', '\u00ff\u00fe', '\u00e5', '{', 'z9hG4bK-0001'],
];

const SOURCE = { address: '192.0.2.7', port: 5060 };
const flow: Flow = {
  transport: 'udp',
  remote: SOURCE,
  local: { address: '192.0.2.1', port: 5060 },
  open: true,
  answers: new AnswerLane(() => {}, false),
  send: () => {},
};
const gate = new DigestGate({ clock: new MovableClock(), random: (size) => new Uint8Array(size).fill(7), realm: 'responssenter' });
const SECRETS = { md5: '0'.repeat(32), sha256: '0'.repeat(64) };
const NOTHING = new Uint8Array(0);

/** Everything that is done with a framed message before the centre decides, and everything that is written for it. */
function judge(framed: Framed, most: number): string {
  if (framed.type === 'ping' || framed.type === 'noise') return framed.type;
  holds(framed.headers.length <= LIMITS.headers, 'at most as many headers as the limit');
  for (const { name, value } of framed.headers) {
    holds(!/[\r\n]/.test(value) && !/[\r\nA-Z]/.test(name), 'a header is one line, its name in lower case');
  }
  if (framed.type === 'malformed') {
    writeAnswer(framed, { status: 400, reason: 'Bad Request' }, { source: SOURCE, tag: 't' });
    return `malformed ${framed.fault}`;
  }
  holds(framed.body.length <= LIMITS.body, 'no body above its limit');
  holds(framed.body.buffer.byteLength <= framed.body.length, 'a body does not hold the chunk that it came in');
  if (framed.type === 'response') return `response ${Math.floor(framed.status / 100)}`;
  holds(framed.body.length + framed.rest.length <= most, 'no more bytes than came');
  return `request ${judgeRequest(framed)}`;
}

function judgeRequest(request: SipRequest): string {
  holds(transactionKey(request, flow) === transactionKey(request, flow), 'one request has one key');
  inviteKey(request, flow);
  const verdict = gate.verify(request, SECRETS);
  holds(verdict !== 'valid', 'no credentials without the secret');
  gate.username(request);
  const registration = readRegistration(request);
  if (registration.wants === 'binding') holds(writableUri(registration.contact), 'a contact can be written into a header');

  const answer = parseDatagram(writeAnswer(request, { status: 200, reason: 'OK' }, { source: SOURCE, tag: 'tag' }));
  holds(answer.type === 'response', `an answer is a response, not ${answer.type}`);
  for (const name of ['from', 'call-id', 'cseq']) {
    holds(header(answer, name) === header(request, name), `an answer echoes ${name}`);
  }
  holds(answer.body.length === 0, 'an answer has no body of the request');

  const message = readMessage(request, flow);
  const names = addressReply(namesForReply(request, message), flow);
  const own = parseDatagram(
    serialise({
      startLine: `MESSAGE ${names.uri} SIP/2.0`,
      headers: [
        { name: 'via', value: 'SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1' },
        { name: 'from', value: `${names.from};tag=1` },
        { name: 'to', value: names.to },
        { name: 'call-id', value: '1' },
        { name: 'cseq', value: '1 MESSAGE' },
      ],
      body: NOTHING,
    }),
  );
  holds(own.type === 'request' && own.uri === names.uri, 'a request of ours is one request');
  holds(own.headers.length === 6, 'and has its own headers only');
  holds(parseNameAddress(header(own, 'from') ?? '').tag === '1', 'and its own tag');
  return `${request.method.slice(0, 8)} ${registration.wants} ${verdict} ${message.request === null ? 'unread' : 'read'} ${request.bodyCut}`;
}

const datagram: Fuzzed = {
  name: 'sip-datagram',
  seeds: [...sipMessages(), ...keptFor('sip-datagram')],
  words: WORDS,
  longest: 65_507,
  feed: (input) => judge(parseDatagram(input), input.length),
};

/** What a device sends after the noise. */
const VALID = sipMessage(Buffer.from('<mrq><ref>after</ref><cid>26317</cid><dty>3</dty></mrq>'), 'after-noise');
const isValid = (framed: Framed | undefined): boolean =>
  framed?.type === 'request' && header(framed, 'call-id') === 'after-noise' && framed.body.length === 55 && !framed.bodyCut;

function* chunks(input: Buffer, draw: Draw): Generator<Buffer> {
  const most = draw.oneIn(4) ? 1 + draw.below(3) : 1 + draw.below(input.length + 1);
  for (let at = 0; at < input.length;) {
    const size = input.length > 4096 ? Math.max(512, most) : 1 + draw.below(most);
    yield input.subarray(at, at + size);
    at += size;
  }
}

/** What came out as noise is a response that cannot be read: nobody knows what it announced. */
const announcesItsBody = (framed: Framed): boolean =>
  framed.type === 'ping' || (framed.type !== 'noise' && ['content-length', 'content-type'].some((name) => header(framed, name) !== null));

const inShort = (messages: readonly Framed[]): string =>
  messages
    .flatMap((one) =>
      one.type === 'ping' || one.type === 'noise' ? [] : [`${one.type} ${header(one, 'call-id')} ${'body' in one ? one.body.length : ''}`],
    )
    .join('\n');

const stream: Fuzzed = {
  name: 'sip-stream',
  seeds: [...sipMessages(), Buffer.concat(sipMessages()), ...keptFor('sip-stream')],
  words: [...WORDS, VALID.toString('latin1')],
  longest: 100_000,
  feed(input, draw) {
    const framer = new Framer();
    const found: Framed[] = [];
    for (const chunk of chunks(input, draw)) {
      found.push(...framer.push(chunk));
      holds(framer.held <= LIMITS.head + LIMITS.body, `holds ${framer.held} bytes`);
    }
    const outcomes = found.slice(0, 8).map((one) => judge(one, input.length));
    const whole = input.length < 4096 ? new Framer().push(input) : found;
    // Lines above the limit are cut where the buffer ends. And with neither a length nor a type there is a body only if it
    // has come already. Nowhere else may it matter how the bytes are cut.
    if (input.length < 4096 && [...whole, ...found].every(announcesItsBody)) {
      holds(inShort(whole) === inShort(found), 'the same messages, however the bytes are cut');
    }
    // Bytes without a start line are dropped at once, whatever they are.
    if (found.length === 0 && !/sip/i.test(input.toString('latin1'))) {
      holds(isValid(framer.push(Buffer.concat([Buffer.from('\r\n'), VALID])).at(-1)), 'a message right behind noise is delivered');
    }
    // Whatever waited: after a silence the stream begins anew.
    framer.settle(true);
    holds(framer.held === 0 && !framer.unfinished, 'a silence ends what was unfinished');
    const after = [...chunks(VALID, draw)].flatMap((chunk) => framer.push(chunk));
    holds(after.length === 1 && isValid(after[0]), 'the message after a silence is delivered');
    return [...new Set(outcomes)].toSorted().join(', ');
  },
};

/** Header values: each is read as whatever it may be, since a device may write anything anywhere. */
const values: Fuzzed = {
  name: 'sip-headers',
  seeds: [
    ...[...new Set(sipMessages().flatMap((message) => message.toString('latin1').split('\r\n')))].flatMap((line) => [
      Buffer.from(line, 'latin1'),
      Buffer.from(line.slice(line.indexOf(':') + 1).trim(), 'latin1'),
    ]),
    ...keptFor('sip-headers'),
  ],
  words: WORDS,
  longest: LIMITS.head,
  feed(input) {
    // As a head gives it: one line of Latin-1.
    const value = input.toString('latin1').replace(/[\r\n]/g, ' ');
    const via = parseVia(value);
    const { uri, tag } = parseNameAddress(value);
    const parsed = uri === null ? null : parseUri(uri);
    const digest = parseDigest(value);
    const list = splitList(value);
    holds(list.join('').length <= value.length, 'a list is no longer than its value');
    holds(!/[\r\n<>"\s]/.test(uri !== null && writableUri(uri) ? uri : ''), 'a writable URI ends no header and no bracket');
    holds(receivedVia(value, SOURCE).length <= value.length + 64, 'a completed Via grows by an address');
    const cseq = parseCSeq(value);
    if (cseq !== null) holds(cseq.number >= 0 && cseq.number <= 0xffff_ffff, 'CSeq has 32 bits');
    const start = parseStartLine(value);
    const found = findStartLine(value);
    holds(found === -1 || parseStartLine(value.slice(found)) !== null, 'what is found is a start line');
    parseHead(input.subarray(0, LIMITS.head));
    const given = parameters(value);
    return [
      via?.transport.length,
      tag === null,
      parsed?.scheme.length,
      digest?.size,
      list.length,
      cseq?.method.length,
      start?.type,
      found > 0,
      given.size,
    ].join(' ');
  },
};

export const SIP: readonly Fuzzed[] = [datagram, stream, values];
