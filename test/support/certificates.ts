/** Certificates for tests, made by openssl at run time: they sign nothing but themselves and end in a few days. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

/** Why tests that need certificates are skipped; false where openssl is there. */
export const withoutOpenssl: string | false = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed';

/** A certificate for `name` on P-256, and its key; `days` from now. */
export function testCertificate(name: string, days = 30): TestCertificate {
  const directory = mkdtempSync(path.join(tmpdir(), 'certificate-'));
  try {
    const [key, cert] = [path.join(directory, 'key.pem'), path.join(directory, 'cert.pem')];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    execFileSync('openssl', ['req', '-x509', ...kind, '-days', String(days), '-subj', `/CN=${name}`, '-keyout', key, '-out', cert], {
      stdio: 'ignore',
    });
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}
