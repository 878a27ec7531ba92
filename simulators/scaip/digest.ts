/** SIP digest as a device answers it (RFC 2617, RFC 7616): MD5 or SHA-256, with or without qop. */
import { createHash } from 'node:crypto';

/** The Authorization value for a challenge; null when the challenge is none that this device knows. */
export function authorization(challenge: string, user: string, password: string, uri: string, cnonce: string): string | null {
  if (!/^\s*digest\s/i.test(challenge)) return null;
  const read = (name: string): string | undefined => {
    const found = new RegExp(`[\\s,]${name}\\s*=\\s*(?:"([^"]*)"|([^\\s,]+))`, 'i').exec(challenge);
    return found?.[1] ?? found?.[2];
  };
  const realm = read('realm');
  const nonce = read('nonce');
  const algorithm = read('algorithm') ?? 'MD5';
  const hashName = { MD5: 'md5', 'SHA-256': 'sha256' }[algorithm.toUpperCase()];
  if (realm === undefined || nonce === undefined || hashName === undefined) return null;
  const hash = (text: string): string => createHash(hashName).update(text).digest('hex');
  const withQop = (read('qop') ?? '').split(',').some((qop) => qop.trim() === 'auth');
  const secret = hash(`${user}:${realm}:${password}`);
  const what = hash(`MESSAGE:${uri}`);
  const response = withQop ? hash(`${secret}:${nonce}:00000001:${cnonce}:auth:${what}`) : hash(`${secret}:${nonce}:${what}`);
  const opaque = read('opaque');
  return [
    `Digest username="${user}"`,
    `realm="${realm}"`,
    `nonce="${nonce}"`,
    `uri="${uri}"`,
    `response="${response}"`,
    `algorithm=${algorithm}`,
    ...(withQop ? ['qop=auth', 'nc=00000001', `cnonce="${cnonce}"`] : []),
    ...(opaque === undefined ? [] : [`opaque="${opaque}"`]),
  ].join(', ');
}
